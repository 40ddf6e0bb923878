"""The command `mmeval data power`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

Command = Callable[..., int]
Capture = pytest.CaptureFixture[str]


@pytest.fixture
def table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A shop with 200 test rows in German, 50 in Slovene, and none in Estonian."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MMEVAL_HOME", str(tmp_path / "home"))
    rows = [("de", "test")] * 200 + [("sl", "test")] * 50 + [("et", "train")] * 40 + [("de", "train")] * 40
    lines = [f"text {n},{language},{'ab'[n % 2]},{split}" for n, (language, split) in enumerate(rows)]
    Path("shop.csv").write_text("\n".join(["text,language,label,split", *lines]), encoding="utf-8")
    return "table:shop.csv"


def test_power_is_printed_as_a_table(table: str, command: Command, capsys: Capture) -> None:
    assert command("data", "power", table) == 0
    out = capsys.readouterr().out
    assert out.startswith("shop: label, test split, differences between two models")
    rows = {line.split()[0]: line.split()[1:] for line in out.splitlines()[2:5]}
    assert rows == {
        "de": ["200", "200", "±", "5.5", "6.3", "6.9", "1,963"],
        "sl": ["50", "50", "±", "10.9", "–", "–", "1,963"],
        "mean": ["250", "250", "±", "6.2", "7.0", "3,066"],
    }
    assert "corrected: the same after correcting for 2 languages" in out


def test_json_is_the_only_output(table: str, command: Command, capsys: Capture) -> None:
    assert command("data", "power", table, "--accuracy", ".9", "--disagreement", "0.2", "--json") == 0
    result = json.loads(capsys.readouterr().out)
    assert {key: result[key] for key in ("dataset", "split", "task", "accuracy", "disagreement", "alpha", "power")} == {
        "dataset": "shop",
        "split": "test",
        "task": "label",
        "accuracy": 0.9,
        "disagreement": 0.2,
        "alpha": 0.05,
        "power": 0.8,
    }
    de, sl = result["languages"]
    assert list(de)[:3] == ["language", "rows", "clusters"]
    assert (de["language"], de["rows"], de["clusters"], de["rows_for"]) == ("de", 200, 200, {"0.02": 3925})
    assert sl["detectable_adjusted"] > sl["detectable"] > de["detectable"] > result["mean"]["detectable"] / 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--disagreement", "10"], "--disagreement 10: write a share between 0 and 1, such as 0.1 for 10 %."),
        (["--accuracy", "80"], "--accuracy 80: write a share between 0 and 1, such as 0.1 for 10 %."),
        (["--accuracy", "nan"], "--accuracy nan: write a share between 0 and 1, such as 0.1 for 10 %."),
        (["--split", "dev"], "--split dev: shop has test, train, validation."),
        (["--task", "colour"], "--task colour: shop has label."),
        (
            ["--accuracy", "0.97"],
            "--disagreement 0.1: two models with a mean accuracy of 0.97 disagree in at most 6 % of the rows; "
            "write a smaller number, or another --accuracy.",
        ),
    ],
)
def test_mistakes_are_one_sentence(
    table: str, command: Command, capsys: Capture, options: list[str], message: str
) -> None:
    assert command("data", "power", table, *options) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines()[-1] == f"error: {message}"

"""The commands on a table of the user's own."""

from __future__ import annotations

import csv
import json
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

Command = Callable[..., int]
Capture = pytest.CaptureFixture[str]
COLOURS = {"red": (200, 20, 20), "green": (20, 200, 20), "blue": (20, 20, 200)}


@pytest.fixture
def table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A shop's export in the working folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MMEVAL_HOME", str(tmp_path / "home"))
    with Path("shop.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, delimiter=";")
        writer.writerow(["Artikel", "Foto", "Titel", "Sprache", "Farbe"])
        for number in range(90):
            colour = tuple(COLOURS)[number % 3]
            red, green, blue = COLOURS[colour]
            Image.new("RGB", (16, 16), (red + number % 50, green, blue)).save(f"{number}.png")
            for language in ("de", "en"):
                writer.writerow([number, f"{number}.png", f"{colour} {number}", language, colour])
    Path("7.png").unlink()
    return "table:shop.csv"


COLUMNS = "id=Artikel,image=Foto,text=Titel,language=Sprache,label=Farbe"


def test_a_table_is_prepared_shown_counted_and_checked(table: str, command: Command, capsys: Capture) -> None:
    options = ("--columns", COLUMNS)
    assert command("data", "prepare", table, *options) == 0
    out, err = capsys.readouterr()
    assert out.startswith("shop is ready: 178 examples in 2 languages, 89 images.")
    assert f"Next: mmeval run --dataset table:shop.csv --columns {COLUMNS}, or repeat this command with --save" in out
    assert "shop.csv is separated by semicolons, like its header line\n" in err
    assert "Rejected: 2 rows" in err
    assert command("data", "stats", table, *options, "--json") == 0
    assert json.loads(capsys.readouterr().out)["examples"] == 178
    assert command("data", "show", table, *options, "-n", "5", "--json") == 0
    assert len(json.loads(capsys.readouterr().out)) == 5
    assert command("data", "show", table, *options, "--rejected") == 0
    assert "the image's file 7.png is missing" in capsys.readouterr().out
    assert command("data", "verify", table, *options) == 0
    assert "intact: the content of 3 files is unchanged" in capsys.readouterr().out
    assert command("data", "card", table, *options) == 0
    assert "Farbe: [blue, green, red]" in capsys.readouterr().out


def test_a_saved_table_is_listed_and_has_a_name(table: str, command: Command, capsys: Capture) -> None:
    assert command("data", "prepare", table, "--columns", COLUMNS, "--save", "colours.toml") == 0
    capsys.readouterr()
    assert command("data", "stats", "colours", "--json") == 0
    assert json.loads(capsys.readouterr().out)["name"] == "colours"


def test_a_mistake_prints_one_sentence(table: str, command: Command, capsys: Capture) -> None:
    assert command("data", "prepare", table) == 2
    assert capsys.readouterr().err == (
        "error: shop.csv: which columns hold texts or images and the class? Name them: "
        "--columns text=NAME,image=NAME,label=NAME. Its columns are Artikel, Foto, Titel, Sprache, Farbe.\n"
    )


def test_a_run_on_a_table_records_the_command_that_repeats_it(table: str, command: Command, capsys: Capture) -> None:
    """Otherwise the result couldn't be reproduced."""
    words = ["--dataset", table, "--columns", COLUMNS, "--set", "recipe.epochs=1", "--limit", "20"]
    assert command("run", "--plugin", "embracenet", "--preset", "tiny", *words, "--output", "one") == 0
    record = json.loads(Path("one/run.json").read_text())
    assert record["data"]["name"] == "shop"
    again = shlex.split(record["command"])
    assert again[:1] == ["mmeval"]
    assert again[again.index("--columns") + 1] == COLUMNS
    assert command(*again[1:], "--output", "two") == 0
    second = json.loads(Path("two/run.json").read_text())
    assert second["plan"]["signature"] == record["plan"]["signature"]


def test_a_run_reports_defects_of_its_data_before_and_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: Command, capsys: Capture
) -> None:
    """Omitted languages and rows are named in the terminal, run.json, the README and the report."""
    monkeypatch.setenv("MMEVAL_HOME", str(tmp_path / "home"))
    languages = ("de", "cz", "de")
    rows = [
        {"text": f"t{number}", "label": "ab"[number % 2], "language": languages[number % 3]} for number in range(200)
    ]
    rows += [{"text": "zils", "label": "a", "language": "Latvian"}] * 3
    rows += [{"text": f"x {number}", "label": "a", "language": "zz"} for number in range(20)]
    path = tmp_path / "shop.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    run = tmp_path / "run"
    assert command("run", "--plugin", "tfidf", "--dataset", f"table:{path}", "--output", str(run)) == 0
    out, err = capsys.readouterr()
    assert "Languages of shop.csv: corrected Latvian -> lv, cz -> cs (from country codes and names)\n" in err
    latvian, rejected = (
        "No test rows, so no score: lv (3 rows in other splits).",
        "20 of 223 rows were rejected (9.0 %)",
    )
    assert f"Data check: {latvian}" in err
    assert err.index("Data check: ") < err.index("Bootstrap")
    record = json.loads((run / "run.json").read_text())
    assert record["data_check"]["unscored_languages"] == {"lv": 3}
    assert (record["data_check"]["rejected"]["rows"], record["data_check"]["rejected"]["total"]) == (20, 223)
    assert set(record["data_check"]["languages"]) == {"cs", "de", "lv"}
    for page in (run / "README.md", run / "report.html"):
        text = page.read_text(encoding="utf-8")
        assert latvian in text
        assert rejected in text
        assert "Majority baseline of label" in text
        assert str(tmp_path) not in text, "pages show nobody's folders"
    assert 'Majority baseline of label, always "a": top-1' in out
    assert str(path) in record["command"], "the record keeps what was typed"
    assert command("data", "card", f"table:{path}") == 0
    assert str(tmp_path) not in capsys.readouterr().out

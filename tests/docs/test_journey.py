"""The commands of docs/journey.md run in order, from a catalogue to a published model."""

from __future__ import annotations

import csv
import re
import runpy
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.hub import TOKEN, hub

DOCS = Path(__file__).parents[2] / "docs"
PAGE = DOCS / "journey.md"
BLOCK = re.compile(r"^```(console|python)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
CATEGORIES = {"bags", "lamps", "mugs", "shirts"}


@pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")  # the Hub's client, of its HTTP client
@pytest.mark.slow  # trains three models: half a minute on two cores
def test_every_block_runs_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: Callable[..., int]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MMEVAL_HOME", str(tmp_path / "home"))
    shutil.copy(DOCS / "examples" / "catalogue.py", tmp_path)
    printed: dict[str, str] = {}
    # The stand-in for the Hub knows one user, whose name is "owner".
    text = PAGE.read_text(encoding="utf-8").replace("my-shop/", "owner/")
    with hub({}, token=TOKEN) as server:
        for kind, block in BLOCK.findall(text):
            if kind == "python":
                exec(compile(block, str(PAGE), "exec"), {"__name__": "page"})
                continue
            for line in block.splitlines():
                program, *arguments = shlex.split(line.removeprefix("$ "))
                if program == "python":
                    runpy.run_path(arguments[0], run_name="__main__")
                    continue
                assert program == "mmeval", line
                status = command(*arguments)
                output = capsys.readouterr()
                assert status == 0, f"{line}\n{output.out}\n{output.err}"
                printed[" ".join(arguments)] = output.out
    steps = dict.fromkeys(line.split()[0] for line in printed)
    assert [*steps] == ["data", "bench", "compare", "predict", "leaderboard", "publish"]
    assert "late-fusion is better" in next(text for line, text in printed.items() if line.startswith("compare"))

    predicted = rows("predictions.csv")
    assert len(predicted) == 20
    assert {row["category"] for row in predicted} <= CATEGORIES | {""}
    assert sum(row["category"] != "" for row in predicted) >= 10
    assert rows("again.csv") == predicted, "the published model predicts the same"
    assert len(server.commits) == 1, "the dry run uploads nothing"
    assert Path("comparison", "comparison.html").is_file()
    assert Path("site", "index.html").is_file()


def rows(path: str) -> list[dict[str, str]]:
    with Path(path).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))

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

from mmeval.runs.folder import RunFolder

DOCS = Path(__file__).parents[2] / "docs"
PAGE = DOCS / "journey.md"
BLOCK = re.compile(r"^```(console|python)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
CATEGORIES = {"bags", "lamps", "mugs", "shirts"}


@pytest.mark.slow  # trains three models: half a minute on two cores
def test_every_block_runs_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: Callable[..., int]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MMEVAL_HOME", str(tmp_path / "home"))
    shutil.copy(DOCS / "examples" / "catalogue.py", tmp_path)
    names = []
    for kind, text in BLOCK.findall(PAGE.read_text(encoding="utf-8")):
        if kind == "python":
            exec(compile(text, str(PAGE), "exec"), {"__name__": "page"})
            continue
        for line in text.splitlines():
            program, *arguments = shlex.split(line.removeprefix("$ "))
            if program == "python":
                runpy.run_path(arguments[0], run_name="__main__")
                continue
            assert program == "mmeval"
            assert command(*arguments) == 0, (line, capsys.readouterr())
            names.append(arguments[0])
    assert names == ["data"] * 4 + ["bench", "compare", "predict", "leaderboard", "publish", "publish"]

    with Path("predictions.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 20
    assert {row["category"] for row in rows} <= CATEGORIES | {""}
    assert sum(row["category"] != "" for row in rows) >= 10
    assert Path("comparison", "comparison.html").is_file()
    assert Path("site", "index.html").is_file()
    published, run = RunFolder(Path("public")), RunFolder(Path("runs", "late-fusion-image-text"))
    assert published.record.plan.signature == run.record.plan.signature
    assert "category" in (published.path / "README.md").read_text(encoding="utf-8")
    printed = capsys.readouterr().out
    assert "my-shop/categories" in printed
    assert "Nothing was written or uploaded" in printed

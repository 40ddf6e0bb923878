"""The tutorial, typed in as it stands by someone who has nothing but a Python."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest

from mmeval.runs.folder import RunFolder

PAGE = Path(__file__).parents[2] / "docs" / "tutorial.md"
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def script(page: str) -> str:
    """What a reader does: types the lines after ``$``, and writes a file for each block that begins with its path."""
    lines = []
    for kind, text in BLOCK.findall(page):
        if kind == "console":
            commands = text.splitlines()
            assert all(command.startswith("$ ") for command in commands), text
            lines += [command.removeprefix("$ ") for command in commands]
        else:
            path = re.match(r"# (\S+\.py)\n", text)
            assert path, f"a block that no one can run:\n{text}"
            lines.append(f"printf %s {shlex.quote(text)} > {shlex.quote(path[1])}")
    return "\n".join(lines)


@pytest.mark.slow  # trains two models, one of them with three seeds
def test_every_block_of_the_tutorial_runs(shell: Callable[..., str], tmp_path: Path) -> None:
    said = shell(script(PAGE.read_text(encoding="utf-8")), tmp_path)
    assert "20 of 21 passed" in said
    page = (tmp_path / "public" / "index.html").read_text(encoding="utf-8")
    assert "gated-fusion on emoji14" in page
    assert "brier" in page
    record = RunFolder(tmp_path / "runs" / "gated-fusion").record
    assert record.plan.protocol.seeds == (0, 1, 2)
    assert record.metrics == ["brier"]

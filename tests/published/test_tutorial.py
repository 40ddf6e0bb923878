"""The commands and files of the tutorial work in an environment with nothing but Python."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest

from mmeval.runs.folder import RunFolder

PAGE = Path(__file__).parents[2] / "docs" / "tutorial.md"
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
RUN, CHECK = re.compile(r"^mmeval run\b"), re.compile(r"^mmeval plugins check [\w-]+$")


def script(page: str) -> str:
    """Return a script with the page's commands (the lines after ``$``) and the files that its other blocks show.

    A block that begins with a path is written to that path. Models are trained on fewer examples than on the page. The
    check by the command is short, because the tests of the package run the whole contract.
    """
    lines = []
    for kind, text in BLOCK.findall(page):
        if kind == "console":
            commands = text.splitlines()
            assert all(command.startswith("$ ") for command in commands), text
            shorter = [RUN.sub(r"\g<0> --limit 150", command.removeprefix("$ ")) for command in commands]
            lines += [CHECK.sub(r"\g<0> --only metadata", command) for command in shorter]
        else:
            path = re.match(r"# (\S+\.py)\n", text)
            assert path, f"neither a command nor a file:\n{text}"
            lines.append(f"printf %s {shlex.quote(text)} > {shlex.quote(path[1])}")
    return "\n".join(lines)


@pytest.mark.slow  # trains two models, one of them with three seeds
def test_every_block_of_the_tutorial_runs(shell: Callable[..., str], installation: str, tmp_path: Path) -> None:
    commands = script(PAGE.read_text(encoding="utf-8"))
    assert commands.startswith(f"{installation}\n"), "the environment of these tests was installed by other commands"
    output = shell(commands.removeprefix(installation), tmp_path)
    assert "1 of 1 passed" in output
    assert "22 passed, 1 skipped" in output
    page = (tmp_path / "public" / "report.html").read_text(encoding="utf-8")
    assert "gated-fusion on emoji14" in page
    assert "mean-rank" in page
    record = RunFolder(tmp_path / "runs" / "gated-fusion").record
    assert record.plan.protocol.seeds == (0, 1, 2)
    assert record.metrics == ["mean-rank"]
    assert "my-name/gated-fusion" in output
    assert RunFolder(tmp_path / "public").record.plan.signature == record.plan.signature

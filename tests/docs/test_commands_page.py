"""The reference of commands is generated from Typer's objects, and the commands that the pages show exist."""

from __future__ import annotations

import enum
import re
import shlex
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
import typer

from mmeval.cli.main import app

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = [*sorted(DOCS.glob("*.md")), ROOT / "README.md", ROOT / "CONTRIBUTING.md"]
CONSOLE = re.compile(r"^```console\n(.*?)^```", re.MULTILINE | re.DOTALL)


class Colour(enum.StrEnum):
    RED = "red"
    BLUE = "blue"


@pytest.fixture
def generate(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(DOCS))
    for name in ("generate", "docstrings"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    import generate

    return generate


def sections(generate: Any, *callbacks: Any) -> str:
    small = typer.Typer(help="Small.")
    for callback in callbacks:
        small.command()(callback)
    small.callback()(lambda: None)
    return "\n\n".join(generate.command_sections(typer.main.get_command(small), "small"))


def test_a_command_has_its_help_usage_arguments_and_options(generate: Any) -> None:
    def paint(
        wall: Annotated[Path, typer.Argument(help="The wall.")],
        colour: Annotated[Colour, typer.Option(help="Its colour.")] = Colour.RED,
        coats: Annotated[int, typer.Option(help="Coats.")] = 2,
        finish: Annotated[Literal["matt", "gloss"] | None, typer.Option(show_default="as it is")] = None,
        dry: Annotated[bool, typer.Option(help="Wait.")] = True,
        secret: Annotated[str, typer.Option(hidden=True)] = "",
    ) -> None:
        """Paint a wall.

        It takes
        a day.
        """

    text = sections(generate, paint)
    assert "## `small paint`\n\nPaint a wall.\n\nIt takes a day.\n\n```text\nsmall paint [OPTIONS] WALL\n```" in text
    assert "| [`small paint`](#small-paint) | Paint a wall. |" in text
    assert "| `WALL` | The wall. |" in text
    assert "| `--colour` | `red`, `blue` | Its colour. Default: `red`. |" in text
    assert "| `--coats` | `N` | Coats. Default: `2`. |" in text
    assert "| `--finish` | `matt`, `gloss` |  Default: as it is. |" in text
    assert "| `--dry`, `--no-dry` |  | Wait. Default: `--dry`. |" in text
    assert "secret" not in text


def test_help_texts_are_escaped(generate: Any) -> None:
    def hostile(
        split: Annotated[
            str, typer.Option(metavar="A|B", help="<script>alert(1)</script> | *x* [y](z) `a|b` _w_")
        ] = "",
    ) -> None:
        """<b>Bold</b> # no heading."""

    text = sections(generate, hostile)
    assert "| `--split` | `A\\|B` | \\<script\\>alert(1)\\</script\\> \\| \\*x\\* \\[y\\](z) `a\\|b` \\_w\\_ |" in text
    assert "\\<b\\>Bold\\</b\\> \\# no heading." in text


def test_every_command_is_on_the_page() -> None:
    page = (DOCS / "commands.md").read_text(encoding="utf-8")
    root = typer.main.get_command(app)
    assert [path for path, _ in walk(root, "mmeval") if f"## `{path}`\n" not in page] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_and_options_that_a_page_shows_exist(page: Path) -> None:
    commands = dict(walk(typer.main.get_command(app), "mmeval"))
    unknown = []
    for block in CONSOLE.findall(page.read_text(encoding="utf-8")):
        for line in re.sub(r"\\\n\s*", "", block).splitlines():
            words = shlex.split(line.removeprefix("$ "), comments=True)
            if line.startswith("$ ") and words[:1] == ["mmeval"]:
                path = "mmeval"
                while words[1:] and f"{path} {words[1]}" in commands:
                    path = f"{path} {words.pop(1)}"
                options = {name for option in commands[path].params for name in (*option.opts, *option.secondary_opts)}
                used = {word.partition("=")[0] for word in words if word.startswith("-") and len(word) > 1}
                if (hasattr(commands[path], "commands") and words[1:] and words[1] != "COMMAND") or used - options - {
                    "--help"
                }:
                    unknown.append(line)
    assert unknown == []


def walk(command: Any, path: str) -> list[tuple[str, Any]]:
    """Return a command and its sub-commands with their paths."""
    children = getattr(command, "commands", {})
    return [(path, command)] + [pair for name, child in children.items() for pair in walk(child, f"{path} {name}")]

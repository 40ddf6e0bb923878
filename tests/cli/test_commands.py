"""Help, listings, and the commands that plugins add."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from mmeval import __version__
from mmeval.api.config import options
from mmeval.cli.main import main
from mmeval.plugin.manager import Manager

Command = Callable[..., int]
Capture = pytest.CaptureFixture[str]
KEYS = {"name", "kind", "summary", "distribution", "version", "module", "status"}
GREET = '''"""Says hello."""
import typer

import mmeval


@mmeval.hookimpl
def register_commands(group):
    @group.callback(invoke_without_command=True)
    def greet(name: str = "you") -> None:
        """Say hello."""
        typer.echo(f"hello {name}")
'''
ONE_FILE = '''
import mmeval


class Config(mmeval.ModelConfig):
    depth: int = 2
    """Layers."""


@mmeval.hookimpl
def register_models(register):
    register(mmeval.ModelSpec(name="mine", summary="a test", config=Config, build=lambda *_: None,
        version="0.3", inputs=("text",), paper="none", licence="MIT", presets={"tiny": {}}))
'''


def test_the_version_is_printed(command: Command, capsys: Capture) -> None:
    assert command("--version") == 0
    assert capsys.readouterr().out == f"{__version__}\n"


@pytest.mark.parametrize("word", ["-h", "--help"])
def test_help_names_every_command(word: str, command: Command, capsys: Capture) -> None:
    assert command(word) == 0
    shown = capsys.readouterr().out
    for name in ("run", "score", "report", "plugins", "data"):
        assert f" {name} " in shown


@pytest.mark.parametrize(("name", "kind", "has"), [("plugins", "model", "embracenet"), ("data", "dataset", "emoji14")])
def test_listings_can_be_json(name: str, kind: str, has: str, command: Command, capsys: Capture) -> None:
    assert command(name, "--json") == 0
    listed = json.loads(capsys.readouterr().out)
    assert all(set(row) == KEYS for row in listed)
    (own,) = (row for row in listed if row["name"] == has)
    assert own["kind"] == kind
    assert own["status"] == "ok"
    assert own["distribution"] == "mmeval-multilingual"
    assert own["summary"]


@pytest.mark.parametrize(
    ("name", "has", "then"),
    [
        ("plugins", "embracenet", "mmeval plugins show NAME, or mmeval plugins new NAME"),
        ("data", "emoji14", "mmeval data prepare NAME, or mmeval run --dataset NAME"),
    ],
)
def test_listings_suggest_the_next_command(name: str, has: str, then: str, command: Command, capsys: Capture) -> None:
    assert command(name) == 0
    shown = capsys.readouterr().out
    assert has in shown
    assert shown.endswith(f"Next: {then}\n")


def test_a_listing_in_a_pipe_has_a_line_per_plugin(
    command: Command, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With wrapped lines `mmeval plugins | grep CLIP` would print partial sentences."""
    assert command("plugins", "--json") == 0
    listed = json.loads(capsys.readouterr().out)
    monkeypatch.delenv("COLUMNS")
    monkeypatch.setattr(sys, "argv", ["mmeval", "plugins"])
    with pytest.raises(SystemExit):
        main()
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(listed) + 2
    for row, line in zip(listed, lines[1:], strict=False):
        assert row["summary"] in line


def test_control_characters_of_a_plugins_summary_are_escaped(
    command: Command, capsys: Capture, install: Callable[[str, str, str], None]
) -> None:
    install("models", "nasty", '"""\\x1b[2J\\u202egnp.exe [red]x[/] \\x9b."""\n')
    for words in (["plugins"], ["plugins", "--json"]):
        assert command(*words) == 0
        out = capsys.readouterr().out
        assert not re.search("[\x1b\x9b\u202e]", out)
        assert "\\u202egnp.exe [red]x[/]" in out.replace("\\\\", "\\")


def test_control_characters_of_a_commands_summary_are_escaped_in_help(
    command: Command, capsys: Capture, install: Callable[[str, str, str], None]
) -> None:
    install("commands", "nasty", '"""\\x1b[2J\\u202egnp [red]x[/]."""\n')
    assert command("--help") == 0
    out = capsys.readouterr().out
    assert not re.search("[\x1b\u202e]", out)
    assert "\\x1b[2J\\u202egnp [red]x[/]." in out


@pytest.mark.parametrize(
    "words",
    [
        ["run", "--\x1b[2J"],
        ["\u202egnp"],
        ["run", "--seeds", "\x9b1"],
        ["plugins", "show", "\x1b[2J"],
        ["data", "\x1b"],
    ],
)
def test_control_characters_of_a_wrong_argument_are_escaped(
    words: list[str], command: Command, capsys: Capture
) -> None:
    """A command copied from a web page may contain invisible characters."""
    assert command(*words) == 2
    err = capsys.readouterr().err
    assert err.startswith("error: ")
    assert len(err.splitlines()) == 1
    assert not re.search("[\x1b\x9b\u202e]", err)


def test_a_mistyped_command_refers_to_its_help(command: Command, capsys: Capture) -> None:
    assert command("plugins", "chek") == 2
    message = "No such command 'chek'. Did you mean 'check'? `mmeval plugins --help` explains the command."
    assert capsys.readouterr().err == f"error: {message}\n"


def test_help_is_shown_without_a_command(command: Command, capsys: Capture) -> None:
    command()
    out, err = capsys.readouterr()
    assert " bench " in out + err
    assert "error:" not in err


def test_a_broken_plugin_does_not_break_the_listing(
    command: Command, capsys: Capture, install: Callable[[str, str, str], None]
) -> None:
    install("models", "broken", "def (")
    assert command("plugins", "--json") == 0
    listed = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert listed["broken"]["status"] == "broken: SyntaxError in installed_broken.py"
    assert listed["embracenet"]["status"] == "ok"


def test_show_prints_paper_presets_and_every_option(command: Command, capsys: Capture) -> None:
    assert command("plugins", "show", "embracenet") == 0
    shown = " ".join(capsys.readouterr().out.split())
    spec = Manager().model("embracenet")
    for expected in (spec.paper, spec.licence, spec.version, "image + text", "tiny (default)", *spec.references):
        assert expected in shown
    assert "How to cite: @article{choi2019embracenet," in shown
    for option in options(spec.config()):
        assert f" {option.name} " in shown
        assert option.help.split(";")[0].split(".")[0][:20] in shown


def test_show_prints_the_options_of_a_one_file_plugin(command: Command, capsys: Capture, tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(ONE_FILE)
    assert command("plugins", "show", path) == 0
    shown = capsys.readouterr().out
    assert "mine 0.3" in shown
    assert " depth " in shown
    assert "Layers." in shown


def test_a_plugins_command_is_loaded_only_when_it_is_called(
    command: Command, capsys: Capture, install: Callable[[str, str, str], None]
) -> None:
    """A slow plugin must not slow down other commands."""
    install("commands", "greet", GREET)
    assert command("plugins", "--json") == 0
    assert "greet" in {row["name"] for row in json.loads(capsys.readouterr().out)}
    assert "installed_greet" not in sys.modules
    assert command("greet", "--name", "world") == 0
    assert capsys.readouterr().out == "hello world\n"
    assert "installed_greet" in sys.modules
    assert command("--help") == 0
    assert "greet " in capsys.readouterr().out


def test_a_broken_command_of_a_plugin_prints_one_sentence(
    command: Command, capsys: Capture, install: Callable[[str, str, str], None]
) -> None:
    install("commands", "broken", "raise RuntimeError('no')\n")
    assert command("broken") == 2
    assert capsys.readouterr().err == "error: Plugin broken (dist-broken 1.0) can't be loaded: RuntimeError: no\n"


def test_help_lists_a_broken_command_without_importing_it(
    command: Command, capsys: Capture, install: Callable[[str, str, str], None]
) -> None:
    """A broken plugin must not break the help."""
    install("commands", "broken", '"""Does nothing well."""\nraise RuntimeError("no")\n')
    assert command("--help") == 0
    assert "Does nothing well." in capsys.readouterr().out
    assert "installed_broken" not in sys.modules


def test_a_plugin_with_a_single_command_keeps_its_name(
    command: Command, capsys: Capture, install: Callable[[str, str, str], None]
) -> None:
    code = "import mmeval\n\n\n@mmeval.hookimpl\ndef register_commands(group):\n    @group.command()\n"
    install("commands", "sub", code + "    def one():\n        print('done')\n")
    assert command("sub", "one") == 0
    assert capsys.readouterr().out == "done\n"


def test_a_plugin_that_ends_the_program_prints_one_sentence(command: Command, capsys: Capture, tmp_path: Path) -> None:
    plugin = tmp_path / "leaves.py"
    plugin.write_text("import sys\nsys.exit(0)\n")
    assert command("run", "--plugin", plugin) == 2
    assert capsys.readouterr().err == f"error: Plugin {plugin} can't be loaded: SystemExit: 0\n"

"""`mmeval plugins --timings`: import times, measured in new processes."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from mmeval.plugin import timings
from mmeval.plugin.listing import GROUPS, installed

Install = Callable[..., None]
Command = Callable[..., int]
Capture = pytest.CaptureFixture[str]
BOMB = '"""Goes off."""\nraise RuntimeError("imported")\n'
SLEEPER = '"""Takes its time."""\nimport time\ntime.sleep(600)\n'


@pytest.fixture
def timed(install: Install, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], str]:
    """Return a function that installs a plugin with a text and returns its timing."""

    def measure(text: str) -> str:
        install("one", text)
        monkeypatch.setenv("MMEVAL_PLUGINS", "one")
        (timing,) = timings.timings(installed())
        return timing

    return measure


@pytest.fixture
def dangerous(install: Install) -> None:
    """A plugin that raises and one that sleeps, in every group."""
    for kind, group in GROUPS.items():
        install(f"bomb-{kind}", BOMB, group, folder=f"bomb_{kind}")
        install(f"sleeper-{kind}", SLEEPER, group, folder=f"sleeper_{kind}")


def test_a_plugin_without_heavy_imports_has_its_seconds_only(timed: Callable[[str], str]) -> None:
    """The imports of mmeval itself do not count."""
    assert re.fullmatch(r"0\.\d\d s", timed("import mmeval\n"))


def test_a_heavy_import_is_named(timed: Callable[[str], str]) -> None:
    """The author learns which import to move into `build`."""
    assert re.fullmatch(r"\d+\.\d\d s \(torch\)", timed("import torch\n"))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (BOMB, "fails: RuntimeError: imported"),
        ("import not_there\n", "fails: ModuleNotFoundError: No module named 'not_there'"),
        ("raise SystemExit('not without a licence')\n", "fails: not without a licence"),
        ("import sys\nsys.exit(0)\n", "fails: it ended the process"),
        ("import os\nos._exit(3)\n", "fails: it ended the process"),
        ("def (\n", "-"),
        ('MMEVAL_API = "99.0"\n', "-"),
    ],
)
def test_a_broken_plugin_is_reported_in_its_row(timed: Callable[[str], str], text: str, expected: str) -> None:
    """A plugin that the listing calls broken is not measured."""
    assert timed(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "print('hello', end='')\n",
        "import atexit\natexit.register(print, 'bye')\n",
        "import sys\nsys.stdout.buffer.write(b'\\xff')\n",
    ],
)
def test_a_plugin_that_prints_is_measured(timed: Callable[[str], str], text: str) -> None:
    assert re.fullmatch(r"0\.\d\d s", timed(text))


def test_a_plugin_that_hangs_is_stopped(timed: Callable[[str], str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timings, "LIMIT", 1)
    assert timed(SLEEPER) == "over 1 s"


@pytest.mark.parametrize("as_json", [False, True])
def test_broken_plugins_do_not_break_the_table(
    install: Install, command: Command, capsys: Capture, monkeypatch: pytest.MonkeyPatch, as_json: bool
) -> None:
    """Every plugin is listed with its time, also as JSON."""
    for name, text in (("bomb", BOMB), ("quits", "raise SystemExit\n"), ("torn", "def (\n"), ("good", "")):
        install(name, text)
    monkeypatch.setenv("MMEVAL_PLUGINS", "bomb,quits,torn,good")
    assert command("plugins", "--timings", *(["--json"] if as_json else [])) == 0
    shown = capsys.readouterr()
    if as_json:
        times = {entry["name"]: entry["import"] for entry in json.loads(shown.out)}
    else:
        header, *rows, then = shown.out.splitlines()
        assert header.split()[-1] == "import"
        assert then == "Next: mmeval plugins show NAME, or mmeval plugins new NAME"
        times = {row.split()[0]: row.split("1.0")[-1].strip() for row in rows}
    assert re.fullmatch(r"0\.\d\d s", times.pop("good"))
    assert times == {"bomb": "fails: RuntimeError: imported", "quits": "fails: it ended the process", "torn": "-"}
    assert re.fullmatch(r"Importing each plugin: 4 plugins in \d+\.\d s\n", shown.err)


def test_the_plain_listing_measures_nothing(dangerous: None, command: Command, capsys: Capture) -> None:
    """Measuring takes as long as the slowest plugin."""
    for word in ("plugins", "data"):
        assert command(word, "--json") == 0
        listed = json.loads(capsys.readouterr().out)
        assert not any("import" in entry for entry in listed)
        assert {entry["status"] for entry in listed} == {"ok"}


def test_plugins_that_are_not_named_cost_nothing(
    dangerous: None, everything: Path, command: Command, capsys: Capture, tmp_path: Path
) -> None:
    """Help, a run and its score, with installed plugins that raise or sleep for ten minutes."""
    folder = tmp_path / "run"
    assert command("--help") == 0
    assert "Takes its time." in capsys.readouterr().out
    words = ["--plugin", everything, "--dataset", everything, "--metric", everything]
    assert command("run", *words, "--device", "cpu", "--output", folder) == 0
    assert command("score", folder, "--metric", everything) == 0
    assert "confidence, mean 0.750" in capsys.readouterr().out
    assert not [name for name in sys.modules if name.startswith(("acme_bomb", "acme_sleeper"))]

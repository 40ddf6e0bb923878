"""`mmeval plugins check`: results as a table, as JSON and as an exit status."""

from __future__ import annotations

import gc
import json
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from mmeval.files import scratch_folder
from mmeval.testing import CHECKS

Command = Callable[..., int]
Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def _in_the_folder_of_plugins(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the paths short."""
    monkeypatch.chdir(Path(__file__).parent / "plugins")


def test_a_sound_plugin_prints_a_table_and_exits_with_0(command: Command, capsys: Capture) -> None:
    """A person sees each check, and why it does not apply; CI reads the exit status."""
    assert command("plugins", "check", "./zero_shot.py") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].strip() == "Checks of ./zero_shot.py"
    assert [line.split()[1] for line in lines[1:-1]] == list(CHECKS)
    assert [line.split()[0] for line in lines[1:-1]].count("✓") == 17
    rows = {line.split()[1]: line for line in lines[1:-1]}
    assert rows["metadata"].strip().endswith(CHECKS["metadata"].rule)
    assert rows["missing-image"].startswith(" –")
    assert rows["missing-image"].strip().endswith("it doesn't use the image")
    assert lines[-1] == "17 of 22 passed, 5 not applicable"


def test_a_failed_check_exits_with_1_and_names_the_consequence(command: Command, capsys: Capture) -> None:
    """With status 0 a CI job would publish the model."""
    only = ("--only", "documented-options", "--only", "metadata")
    assert command("plugins", "check", "broken/documented_options.py", *only) == 1
    title, metadata, failed, consequence, total = capsys.readouterr().out.splitlines()
    assert title.strip() == "Checks of broken/documented_options.py"
    assert metadata.split()[:2] == ["✓", "metadata"]
    assert failed.split()[:2] == ["✗", "documented-options"]
    assert failed.strip().endswith("options without a docstring: gamma")
    assert consequence.strip() == f"If it stays so: {CHECKS['documented-options'].consequence}."
    assert total == "1 of 2 passed, 1 failed"


def test_a_check_that_was_not_reached_has_not_passed(command: Command, capsys: Capture) -> None:
    """`--only bf16` of a model that can't be trained must not look as if bf16 were fine."""
    assert command("plugins", "check", "broken/trains_shape.py", "--only", "bf16") == 1
    out = capsys.readouterr().out
    assert '"trains" must pass first' in out
    assert out.splitlines()[-1] == "0 of 1 passed, 1 not reached"


def test_the_folder_of_a_check_that_was_killed_is_removed_by_the_next(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each may contain a data set and three trained models."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    for name in ("dead", "older"):
        (tmp_path / f"mmeval-contract-{name}" / "run").mkdir(parents=True)
    (tmp_path / "mmeval-contract-dead" / ".lock").write_text("")
    alive, remove = scratch_folder("mmeval-contract-")
    assert command("plugins", "check", "./zero_shot.py", "--only", "metadata") == 0
    gc.collect()
    assert list(tmp_path.iterdir()) == [alive]
    remove()


def test_a_cache_folder_that_cannot_be_used_is_not_attributed_to_the_plugin(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("MMEVAL_HOME", str(tmp_path / "file"))
    assert command("plugins", "check", "./zero_shot.py", "--only", "trains") == 1
    shown = capsys.readouterr()
    assert shown.err.startswith(f"error: {tmp_path / 'file'}")
    assert "MMEVAL_HOME" in shown.err
    assert "trains" not in shown.out


def test_json_is_the_only_output(command: Command, capsys: Capture) -> None:
    """One object per check, in the order of the table; the exit status is the same."""
    words = ("--json", "--only", "bf16", "--only", "metadata", "--only", "documented-options")
    assert command("plugins", "check", "broken/documented_options.py", *words) == 1
    rows = json.loads(capsys.readouterr().out)
    assert all(row.pop("seconds") >= 0 for row in rows)
    assert rows == [
        {"check": "metadata", "verdict": "passed", "message": ""},
        {"check": "documented-options", "verdict": "failed", "message": "options without a docstring: gamma"},
        {"check": "bf16", "verdict": "not applicable", "message": "not a torch model"},
    ]


def test_options_reach_the_plugin(command: Command, capsys: Capture) -> None:
    """`--set` and `--preset` choose the configuration, as in `mmeval run`."""
    words = ("plugins", "check", "broken/presets.py", "--only", "trains")
    assert command(*words, "--set", "longest=2") == 0
    assert command(*words, "--preset", "large") == 1
    assert "n-grams of nine characters were never finished" in capsys.readouterr().out


def test_the_list_explains_every_check(command: Command, capsys: Capture) -> None:
    """No plugin is needed to read the rules."""
    assert command("plugins", "check", "--list") == 0
    words = capsys.readouterr().out.split()
    assert [word for word in words if word in CHECKS and "-" in word] == [name for name in CHECKS if "-" in name]
    for check in CHECKS.values():
        assert {*check.name.split(), *check.rule.split(), *check.consequence.split()} <= {*words}


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], "Which plugin? `mmeval plugins` lists them; `mmeval plugins check --list` lists the checks."),
        (["embracent"], 'No plugin is named "embracent". Did you mean "embracenet"? `mmeval plugins` lists all.'),
        (["./nowhere.py"], "--plugin nowhere.py: there is no such file."),
        (
            ["plain", "--only", "bf61"],
            'No check is named "bf61". Did you mean "bf16"? `mmeval plugins check --list` lists all.',
        ),
        (
            ["plain", "--only", "metadata", "--only", "vibes"],
            'No check is named "vibes". `mmeval plugins check --list` lists all.',
        ),
        (["plain", "--preset", "huge"], '--preset huge: plain has no preset "huge"; it has tiny.'),
        (
            ["plain", "--set", "bucket=3"],
            '--set bucket=3: plain has no option "bucket". Did you mean "buckets"? '
            "`mmeval plugins show plain` lists the options.",
        ),
    ],
)
def test_a_mistake_exits_with_status_2(words: list[str], expected: str, command: Command, capsys: Capture) -> None:
    """Status 1 would mean that the plugin broke a rule."""
    assert command("plugins", "check", *words) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err == f"error: {expected}\n"


def test_the_traceback_of_a_failed_check_is_shown_on_demand(command: Command, capsys: Capture) -> None:
    """The message names a line; the traceback is printed apart from the table."""
    words = ("plugins", "check", "broken/presets.py", "--only", "presets")
    assert command(*words) == 1
    assert "Traceback" not in capsys.readouterr().err
    assert command("--traceback", *words) == 1
    out, err = capsys.readouterr()
    assert "Traceback" not in out
    assert "Traceback (most recent call last)" in err
    assert 'presets.py", line 14, in build\n    raise ValueError("n-grams of nine characters' in err

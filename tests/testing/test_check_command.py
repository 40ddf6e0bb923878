"""`mmeval plugins check`: the contract as a table, as JSON and as an exit status."""

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
def _beside_the_plugins(monkeypatch: pytest.MonkeyPatch) -> None:
    """Names stay short, as where an author works."""
    monkeypatch.chdir(Path(__file__).parent / "plugins")


def test_a_sound_plugin_is_a_table_and_status_0(command: Command, capsys: Capture) -> None:
    """CI goes by the status; a person sees each rule, and why one doesn't apply."""
    assert command("plugins", "check", "./zero_shot.py") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].strip() == "./zero_shot.py and the contract"
    assert [line.split()[1] for line in lines[1:-1]] == list(CHECKS)
    assert [line.split()[0] for line in lines[1:-1]].count("✓") == 17
    says = {line.split()[1]: line for line in lines[1:-1]}
    assert says["metadata"].strip().endswith(CHECKS["metadata"].reason)
    assert says["missing-image"].startswith(" –")
    assert says["missing-image"].strip().endswith("it doesn't use the image")
    assert lines[-1] == "17 of 21 passed, 4 not applicable"


def test_a_broken_rule_is_status_1_and_says_what_it_breaks(command: Command, capsys: Capture) -> None:
    """A CI job that goes on after a broken rule publishes the model all the same."""
    only = ("--only", "documented-options", "--only", "metadata")
    assert command("plugins", "check", "broken/documented_options.py", *only) == 1
    title, metadata, broken, effect, total = capsys.readouterr().out.splitlines()
    assert title.strip() == "broken/documented_options.py and the contract"
    assert metadata.split()[:2] == ["✓", "metadata"]
    assert broken.split()[:2] == ["✗", "documented-options"]
    assert broken.strip().endswith("without a docstring: gamma")
    assert effect.strip() == f"else {CHECKS['documented-options'].breaks}"
    assert total == "1 of 2 passed, 1 failed"


def test_what_was_not_reached_is_not_passed(command: Command, capsys: Capture) -> None:
    """`--only bf16` of a model that can't be trained must not look as if bf16 were fine."""
    assert command("plugins", "check", "broken/trains_shape.py", "--only", "bf16") == 1
    out = capsys.readouterr().out
    assert '"trains" must pass first' in out
    assert out.splitlines()[-1] == "0 of 1 passed, 1 not reached"


def test_d4_the_folder_of_a_check_that_was_killed_is_removed_by_the_next(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each may hold a data set and three trained models."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    for name in ("dead", "older"):
        (tmp_path / f"mmeval-contract-{name}" / "run").mkdir(parents=True)
    (tmp_path / "mmeval-contract-dead" / ".lock").write_text("")
    alive, remove = scratch_folder("mmeval-contract-")
    assert command("plugins", "check", "./zero_shot.py", "--only", "metadata") == 0
    gc.collect()
    assert list(tmp_path.iterdir()) == [alive]
    remove()


def test_d6_a_cache_folder_that_cannot_be_used_is_not_blamed_on_the_plugin(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("MMEVAL_HOME", str(tmp_path / "file"))
    assert command("plugins", "check", "./zero_shot.py", "--only", "trains") == 1
    shown = capsys.readouterr()
    assert shown.err.startswith(f"error: {tmp_path / 'file'}")
    assert "MMEVAL_HOME" in shown.err
    assert "trains" not in shown.out


def test_json_is_all_that_is_printed(command: Command, capsys: Capture) -> None:
    """A program reads it: one object per check, in the table's order, and the same status."""
    words = ("--json", "--only", "bf16", "--only", "metadata", "--only", "documented-options")
    assert command("plugins", "check", "broken/documented_options.py", *words) == 1
    rows = json.loads(capsys.readouterr().out)
    assert all(row.pop("seconds") >= 0 for row in rows)
    assert rows == [
        {"check": "metadata", "verdict": "passed", "message": ""},
        {"check": "documented-options", "verdict": "failed", "message": "without a docstring: gamma"},
        {"check": "bf16", "verdict": "not applicable", "message": "not a torch model"},
    ]


def test_options_reach_the_plugin(command: Command, capsys: Capture) -> None:
    """`--set` and `--preset` ask for the configuration that is to be checked, as they do in `mmeval run`."""
    words = ("plugins", "check", "broken/presets.py", "--only", "trains")
    assert command(*words, "--set", "longest=2") == 0
    assert command(*words, "--preset", "large") == 1
    assert "n-grams of nine characters were never finished" in capsys.readouterr().out


def test_the_list_explains_every_check(command: Command, capsys: Capture) -> None:
    """An author reads the rules before breaking one; no plugin is needed for that."""
    assert command("plugins", "check", "--list") == 0
    words = capsys.readouterr().out.split()
    assert [word for word in words if word in CHECKS and "-" in word] == [name for name in CHECKS if "-" in name]
    for check in CHECKS.values():
        assert {*check.name.split(), *check.reason.split(), *check.breaks.split()} <= {*words}


@pytest.mark.parametrize(
    ("words", "says"),
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
def test_a_mistake_is_one_sentence_and_status_2(words: list[str], says: str, command: Command, capsys: Capture) -> None:
    """Status 1 would say that the plugin broke a rule."""
    assert command("plugins", "check", *words) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err == f"error: {says}\n"


def test_the_traceback_of_a_failed_check_is_shown_on_demand(command: Command, capsys: Capture) -> None:
    """The message names a line; an author who needs the way to it gets that, apart from the table."""
    words = ("plugins", "check", "broken/presets.py", "--only", "presets")
    assert command(*words) == 1
    assert "Traceback" not in capsys.readouterr().err
    assert command("--traceback", *words) == 1
    out, err = capsys.readouterr()
    assert "Traceback" not in out
    assert "Traceback (most recent call last)" in err
    assert 'presets.py", line 14, in build\n    raise ValueError("n-grams of nine characters' in err

"""Notes and bars: where they go, and that what has a bar of its own can silence those within."""

from __future__ import annotations

import re

import pytest

from mmeval.console import note, progress, quiet

Capture = pytest.CaptureFixture[str]


def talk() -> None:
    note("a note [sic]")
    with progress("Counting", 2, "frogs") as advance:
        advance(2, last="green")


def test_all_that_is_no_result_goes_to_standard_error(capsys: Capture) -> None:
    """So that `mmeval plugins --json | jq` works; in a log, a closing line takes the bar's place."""
    talk()
    out, err = capsys.readouterr()
    assert out == ""
    assert re.fullmatch(r"a note \[sic\]\nCounting: 2 frogs in \d+\.\d s, last green\n", err)


def test_within_quiet_nothing_is_said(capsys: Capture) -> None:
    """Twenty trainings within one bar would bury it."""
    with quiet():
        talk()
        with quiet():
            talk()
        talk()
    assert capsys.readouterr() == ("", "")


def test_a_bar_around_quiet_still_says_how_it_ended(capsys: Capture) -> None:
    with progress("Checking", 1, "checks") as advance, quiet():
        talk()
        advance(1)
    assert re.fullmatch(r"Checking: 1 checks in \d+\.\d s\n", capsys.readouterr().err)


def test_after_quiet_notes_are_heard_again(capsys: Capture) -> None:
    """Also after an error within it: what failed must not leave the rest of the process mute."""
    with pytest.raises(ZeroDivisionError), quiet():
        _ = 1 / 0
    note("back")
    assert capsys.readouterr().err == "back\n"

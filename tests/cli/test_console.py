"""Notes and bars: where they go, and that what has a bar of its own can silence those within."""

from __future__ import annotations

import io
import os
import pty
import re
import sys

import pytest

from mmeval.console import console, note, progress, quiet, replace_unprintable

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


LONG = "st:sentence-transformers/paraphrase-multilingual-MiniLM-L12-v2 " * 9


@pytest.mark.parametrize("columns", [None, "40"])
def test_nothing_is_wrapped_where_there_is_no_terminal(
    columns: str | None, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`mmeval ... | grep` must find an encoder by its name, in a table, too."""
    from rich.table import Table

    monkeypatch.delenv("COLUMNS", raising=False)
    if columns:
        monkeypatch.setenv("COLUMNS", columns)
    table = Table("name", "what")
    table.add_row(LONG.strip(), LONG.strip())
    console().print(table)
    console(stderr=True).print(LONG.strip())
    out, err = capsys.readouterr()
    assert sum(line.count(LONG.strip()) for line in out.splitlines()) == 2
    assert err == f"{LONG.strip()}\n"


def test_a_terminal_is_as_wide_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    ours, theirs = pty.openpty()
    with os.fdopen(theirs, "w") as terminal:
        monkeypatch.setattr(sys, "stdout", terminal)
        assert console().width == 40
    os.close(ours)


def test_a_character_that_the_encoding_lacks_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    """D6: marks keep their meaning, letters their number; without this, the end of a run is a UnicodeEncodeError."""
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding="ascii"))
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    replace_unprintable()
    print("\u2713 0.1\u20130.2 \u0141 \U0001f438 \u2026", flush=True)
    assert written.getvalue() == b"+ 0.1-0.2 \\u0141 \\U0001f438 ...\n"

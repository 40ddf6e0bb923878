"""Notes and progress bars: their stream, and how a caller silences them."""

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


def test_notes_and_bars_go_to_standard_error(capsys: Capture) -> None:
    """So that `mmeval plugins --json | jq` works; without a terminal a closing line replaces the bar."""
    talk()
    out, err = capsys.readouterr()
    assert out == ""
    assert re.fullmatch(r"a note \[sic\]\nCounting: 2 frogs in \d+\.\d s, last green\n", err)


def test_quiet_suppresses_notes_and_bars(capsys: Capture) -> None:
    """The bar of a benchmark would be lost among those of its runs."""
    with quiet():
        talk()
        with quiet():
            talk()
        talk()
    assert capsys.readouterr() == ("", "")


def test_a_bar_around_quiet_prints_its_closing_line(capsys: Capture) -> None:
    with progress("Checking", 1, "checks") as advance, quiet():
        talk()
        advance(1)
    assert re.fullmatch(r"Checking: 1 checks in \d+\.\d s\n", capsys.readouterr().err)


def test_notes_are_printed_again_after_quiet(capsys: Capture) -> None:
    """Also if the block raises an error."""
    with pytest.raises(ZeroDivisionError), quiet():
        _ = 1 / 0
    note("back")
    assert capsys.readouterr().err == "back\n"


LONG = "st:sentence-transformers/paraphrase-multilingual-MiniLM-L12-v2 " * 9


@pytest.mark.parametrize("columns", [None, "40"])
def test_lines_are_not_wrapped_without_a_terminal(
    columns: str | None, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`mmeval ... | grep` must find an encoder's name in a table."""
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


def test_the_width_of_a_terminal_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    ours, theirs = pty.openpty()
    with os.fdopen(theirs, "w") as terminal:
        monkeypatch.setattr(sys, "stdout", terminal)
        assert console().width == 40
    os.close(ours)


def test_a_character_that_the_encoding_lacks_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without it, a run would end in a UnicodeEncodeError."""
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding="ascii"))
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    replace_unprintable()
    print("\u2713 0.1\u20130.2 \u0141 \U0001f438 \u2026", flush=True)
    assert written.getvalue() == b"+ 0.1-0.2 \\u0141 \\U0001f438 ...\n"

"""Console output of all commands: tables, notes, JSON and progress bars."""

from __future__ import annotations

import codecs
import contextlib
import io
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from mmeval.escaping import json_text, one_line

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

Advance = Callable[..., None]
_quiet = False
REPLACE = "mmeval-replace"
"""Name of the codec error handler that replaces characters missing from a stream's encoding."""
SUBSTITUTES = {"✓": "+", "✗": "x", "●": "*", "·": ".", "×": "x", "–": "-", "—": "-", "…": "...", "\u00a0": " "}
"""ASCII substitutes for the symbols that mmeval prints."""


def console(*, stderr: bool = False) -> Console:
    """Return a rich console on standard output, or on standard error for everything that is not a result."""
    from mmeval.safe_console import SafeConsole

    return SafeConsole(stderr=stderr)


def cell(value: object, style: str = "") -> Text:
    """Return a value as one line of text for a table or the console, without markup and control characters."""
    from rich.text import Text

    return Text(one_line(str(value)), style)


def print_json(data: Any) -> None:  # noqa: ANN401 - what JSON holds
    """Print JSON on standard output, for programs; ASCII only if the stream's encoding is not Unicode."""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    print(json_text(data, ascii_only=not encoding.lower().startswith("utf")))


def note(text: str) -> None:
    """Print one line on standard error about the progress of a command."""
    if _quiet:
        return
    console(stderr=True).print(cell(text), style="dim", soft_wrap=True)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Suppress notes and progress bars within the block, for a caller with its own progress bar."""
    global _quiet
    before, _quiet = _quiet, True
    try:
        yield
    finally:
        _quiet = before


@contextlib.contextmanager
def progress(label: str, total: float | None, unit: str) -> Iterator[Advance]:
    """Show a progress bar on standard error; yield ``advance(count, **facts)``, whose facts are shown behind the bar.

    If standard error is not a terminal (a log, CI), one line at the end replaces the bar.

    Args:
        label: the text before the bar.
        total: the number of units; None if it is not known.
        unit: the name of the units, such as ``images``.
    """
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    bar = Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=28),
        TextColumn(("{task.completed:,.0f} " if total is None else "{task.completed:,.0f}/{task.total:,.0f} ") + unit),
        TextColumn("{task.fields[facts]}", style="cyan", markup=False),
        TimeElapsedColumn(),
        TimeRemainingColumn(compact=True),
        console=(stderr := console(stderr=True)),
        disable=_quiet or not stderr.is_terminal,
    )
    with bar:
        task = bar.add_task(one_line(label), total=total, facts="")

        def advance(count: int = 1, **facts: str) -> None:
            if facts:
                bar.update(task, facts=one_line("  ".join(f"{name} {value}" for name, value in facts.items())))
            bar.update(task, advance=count)

        yield advance
        state = bar.tasks[0]
        if bar.disable:
            facts = f", {state.fields['facts']}" if state.fields["facts"] else ""
            note(f"{label}: {state.completed:,.0f} {unit} in {state.finished_time or state.elapsed or 0:.1f} s{facts}")


def replace_unprintable() -> None:
    """Make standard output and standard error replace characters missing from their encoding.

    An ASCII log then shows ``\\u0141`` for a Polish letter, where Python would end the command with an error.
    """
    codecs.register_error(REPLACE, _substitute)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=REPLACE)


def _substitute(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    missing = error.object[error.start : error.end]
    escapes = (character.encode("ascii", "backslashreplace").decode("ascii") for character in missing)
    return "".join(SUBSTITUTES.get(*pair) for pair in zip(missing, escapes, strict=True)), error.end

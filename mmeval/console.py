"""The one console and the one progress bar, so that every command looks the same."""

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
"""What is done with a character that the stream's encoding lacks (an error handler of Python's codecs)."""
SUBSTITUTES = {"✓": "+", "✗": "x", "●": "*", "·": ".", "×": "x", "–": "-", "—": "-", "…": "...", "\u00a0": " "}
"""ASCII in the place of what mmeval itself prints."""


def console(*, stderr: bool = False) -> Console:
    """A rich console on standard output, or on standard error for all that is not a result."""
    from mmeval.screen import Screen

    return Screen(stderr=stderr)


def cell(value: object, style: str = "") -> Text:
    """Text of a file or a user for a table or a line of the console: one line, no markup, nothing that acts."""
    from rich.text import Text

    return Text(one_line(str(value)), style)


def print_json(data: Any) -> None:  # noqa: ANN401 - what JSON holds
    """Print JSON on standard output, for programs; in ASCII where the stream has no more."""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    print(json_text(data, ascii_only=not encoding.lower().startswith("utf")))


def note(text: str) -> None:
    """Say one line about what is going on, on standard error."""
    if _quiet:
        return
    console(stderr=True).print(cell(text), style="dim", soft_wrap=True)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Show neither notes nor bars within the block, for what has a bar of its own around it."""
    global _quiet
    before, _quiet = _quiet, True
    try:
        yield
    finally:
        _quiet = before


@contextlib.contextmanager
def progress(label: str, total: float | None, unit: str) -> Iterator[Advance]:
    """Show a bar on standard error; yields ``advance(count, **facts)``, whose facts stand behind the bar.

    Where standard error is not a terminal (a log, CI) one closing line takes the bar's place.
    ``total`` is None where nobody knows it beforehand.
    """
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    bar = Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=28),
        TextColumn(("{task.completed:,.0f} " if total is None else "{task.completed:,.0f}/{task.total:,.0f} ") + unit),
        TextColumn("{task.fields[facts]}", style="cyan", markup=False),
        TimeElapsedColumn(),
        TimeRemainingColumn(compact=True),
        console=(screen := console(stderr=True)),
        disable=_quiet or not screen.is_terminal,
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
    """Let standard output and standard error replace what their encoding lacks, where they would fail.

    An ASCII log shows ``\\u0141`` for a Polish letter: ugly, but the hour of training before it isn't lost.
    """
    codecs.register_error(REPLACE, _substitute)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=REPLACE)


def _substitute(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lacking = error.object[error.start : error.end]
    escaped = (one.encode("ascii", "backslashreplace").decode("ascii") for one in lacking)
    return "".join(SUBSTITUTES.get(one, code) for one, code in zip(lacking, escaped, strict=True)), error.end

"""The one console and the one progress bar, so that every command looks the same."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

Advance = Callable[..., None]
_quiet = False


def console(*, stderr: bool = False) -> Console:
    """A rich console on standard output, or on standard error for all that is not a result."""
    from rich.console import Console

    return Console(stderr=stderr, highlight=False)


def note(text: str) -> None:
    """Say one line about what is going on, on standard error."""
    if _quiet:
        return
    console(stderr=True).print(text, style="dim", markup=False, soft_wrap=True)


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
        TextColumn("{task.description}"),
        BarColumn(bar_width=28),
        TextColumn(("{task.completed:,.0f} " if total is None else "{task.completed:,.0f}/{task.total:,.0f} ") + unit),
        TextColumn("{task.fields[facts]}", style="cyan"),
        TimeElapsedColumn(),
        TimeRemainingColumn(compact=True),
        console=(screen := console(stderr=True)),
        disable=_quiet or not screen.is_terminal,
    )
    with bar:
        task = bar.add_task(label, total=total, facts="")

        def advance(count: int = 1, **facts: str) -> None:
            if facts:
                bar.update(task, facts="  ".join(f"{name} {value}" for name, value in facts.items()))
            bar.update(task, advance=count)

        yield advance
        state = bar.tasks[0]
        if bar.disable:
            facts = f", {state.fields['facts']}" if state.fields["facts"] else ""
            note(f"{label}: {state.completed:,.0f} {unit} in {state.finished_time or state.elapsed or 0:.1f} s{facts}")

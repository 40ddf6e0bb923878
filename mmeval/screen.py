"""The rich console behind :mod:`mmeval.console`: text can't act on it, and only a terminal wraps it."""

from __future__ import annotations

import sys
from collections.abc import Iterable

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from mmeval.escaping import ACTIVE, visible

WIDEST = 10_000
"""Columns where there is no terminal: a program, a file or a pager breaks lines as it likes."""


class Screen(Console):
    """A console on standard output or standard error."""

    def __init__(self, *, stderr: bool = False) -> None:
        """``stderr``: for all that is not a result."""
        stream = sys.stderr if stderr else sys.stdout
        terminal = stream is not None and stream.isatty()
        super().__init__(stderr=stderr, highlight=False, emoji=False, width=None if terminal else WIDEST)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """The segments of ``renderable``, their text made visible: the last gate before the terminal."""
        for segment in super().render(renderable, options):
            if segment.control or not ACTIVE.search(segment.text):
                yield segment
            else:
                yield Segment(visible(segment.text), segment.style)

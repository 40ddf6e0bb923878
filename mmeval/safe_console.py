"""The rich console behind :mod:`mmeval.console`: it escapes control characters, and wraps only in a terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterable

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from mmeval.escaping import ACTIVE, visible

WIDEST = 10_000
"""Width in columns without a terminal: a program, a file or a pager wraps lines itself."""


class SafeConsole(Console):
    """A console on standard output or standard error that escapes control characters in all text."""

    def __init__(self, *, stderr: bool = False) -> None:
        """Open the console; with ``stderr`` on standard error, for everything that is not a result."""
        stream = sys.stderr if stderr else sys.stdout
        terminal = stream is not None and stream.isatty()
        super().__init__(stderr=stderr, highlight=False, emoji=False, width=None if terminal else WIDEST)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Yield the segments of ``renderable`` with control characters escaped, also where a caller forgot to."""
        for segment in super().render(renderable, options):
            if segment.control or not ACTIVE.search(segment.text):
                yield segment
            else:
                yield Segment(visible(segment.text), segment.style)

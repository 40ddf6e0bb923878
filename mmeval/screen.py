"""The rich console behind :mod:`mmeval.console`: text can't act on it, and only a terminal wraps it."""

from __future__ import annotations

import codecs
import io
import sys
from collections.abc import Iterable

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from mmeval.escaping import ACTIVE, visible

WIDEST = 10_000
"""Columns where there is no terminal: a program, a file or a pager breaks lines as it likes."""
REPLACE = "mmeval-replace"
"""What is done with a character that the stream's encoding lacks (an error handler of Python's codecs)."""
SUBSTITUTES = {"✓": "+", "✗": "x", "●": "*", "·": ".", "×": "x", "–": "-", "—": "-", "…": "...", "\u00a0": " "}
"""ASCII in the place of what mmeval itself prints."""


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

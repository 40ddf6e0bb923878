"""Griffe extension: the docstrings' reStructuredText as the Markdown that mkdocstrings reads."""

from __future__ import annotations

import re
from typing import Any

import griffe

ROLE = re.compile(r":(?:class|func|meth|data|mod|attr|exc):`~?([^`]+)`")
BLOCK = re.compile(r"(?:^|(?<=\n))([^\n]*?)::\n\n((?:[ ]{4}[^\n]*\n|\n)+)")


def markdown(text: str) -> str:
    """Convert double backticks, roles, and code blocks after ``::``."""
    text = ROLE.sub(r"`\1`", text.replace("``", "`"))
    return BLOCK.sub(_fenced, text + "\n").strip()


def _fenced(match: re.Match[str]) -> str:
    introduction = f"{match[1]}:\n\n" if match[1].strip() else ""
    code = "\n".join(line.removeprefix("    ") for line in match[2].strip("\n").splitlines())
    return f"{introduction}```python\n{code}\n```\n\n"


class Markdown(griffe.Extension):
    """Converts every docstring after it was loaded."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:  # noqa: ANN401
        """Convert the docstring of ``obj``."""
        if obj.docstring:
            obj.docstring.value = markdown(obj.docstring.value)

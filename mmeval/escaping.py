"""Text of files and users, made fit to be shown: no character of it acts on what is around it.

A class name or a plugin's title may hold anything: an escape sequence that clears the terminal, a bidi control that
turns the rest of the line around (Boucher and Anderson 2021, arXiv 2111.00169), a pipe that breaks a table, a script.
Terminal, Markdown, HTML and data cards show such characters as escapes (``\\x1b``, ``\\u202e``). Letters of
right-to-left scripts are text, and stay.
"""

from __future__ import annotations

import json
import re
from typing import Any

# Unicode's categories Cc, Cs, Zl and Zp, its property Bidi_Control, and two old ranges of invisible controls.
_ACTIVE = "\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u206f\ufff9-\ufffb\ud800-\udfff"
ACTIVE = re.compile(f"[{_ACTIVE}]")
"""A character that acts and isn't seen; line feed and tab are the two that may stand in a longer text."""
_BREAK = re.compile("[ \t]*[\n\r\t\v\f\x85\u2028\u2029]+\\s*")
_MARKDOWN = re.compile(r"[\\`*\[\]|~$]|(?<![0-9A-Za-z])_|_(?![0-9A-Za-z])")
_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
_LINE_END = re.compile(r"(?<=\s)#(?=#*$)")
_LINE_START = re.compile(r"^([#+=-](?=[\s#+=-]|$)|\d+(?=[.)](?:\s|$)))")


def visible(text: str) -> str:
    """``text`` with its active characters as escapes; line feeds and tabs stay."""
    return ACTIVE.sub(_escape, text)


def one_line(text: str) -> str:
    """The same on one line: each line break or tab is a blank."""
    return visible(_BREAK.sub(" ", text))


def markdown(text: str) -> str:
    """``text`` on one line of GitHub-flavoured Markdown, in which nothing is markup: for headings, cells and prose."""
    text = _MARKDOWN.sub(r"\\\g<0>", one_line(text).strip())
    text = re.sub("[&<>]", lambda found: _ENTITIES[found[0]], text)
    # What would end a heading, then what would begin a heading, a list or a rule.
    text = _LINE_END.sub(r"\\#", text)
    return _LINE_START.sub(lambda found: f"{found[0]}\\" if found[0].isdigit() else f"\\{found[0]}", text)


def code_span(text: str) -> str:
    """``text`` as Markdown's inline code, whatever backticks it holds."""
    text = one_line(text)
    fence = "`" * (_longest_run(text) + 1)
    pad = " " if text.startswith("`") or text.endswith("`") else ""
    return f"{fence}{pad}{text}{pad}{fence}"


def code_block(text: str, language: str = "text") -> list[str]:
    """Lines of a fenced block of Markdown, whatever backticks ``text`` holds."""
    fence = "`" * max(3, _longest_run(text) + 1)
    return [f"{fence}{language}", *visible(text).split("\n"), fence]


def json_text(data: Any, *, ascii_only: bool = False) -> str:  # noqa: ANN401 - what JSON holds
    """JSON that says the same, its active characters as ``\\uXXXX``."""
    text = json.dumps(data, indent=1, ensure_ascii=ascii_only)
    return ACTIVE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def _escape(found: re.Match[str]) -> str:
    number = ord(found[0])
    return f"\\x{number:02x}" if number < 0x100 else f"\\u{number:04x}"


def _longest_run(text: str) -> int:
    return max(map(len, re.findall("`+", text)), default=0)

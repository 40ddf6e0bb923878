"""Escaping of untrusted text for terminal, Markdown, JSON, CSV and LaTeX.

A class name or a plugin's title may hold anything: an escape sequence that clears the terminal, a bidi control that
reverses the rest of the line (Boucher and Anderson 2021, arXiv 2111.00169), a pipe that breaks a table, a script.
Terminal, Markdown, HTML and data cards show such characters as escapes (``\\x1b``, ``\\u202e``). Letters of
right-to-left scripts are not escaped.
"""

from __future__ import annotations

import json
import re
from typing import Any

# Unicode's categories Cc, Cs, Zl and Zp, its property Bidi_Control, and two old ranges of invisible controls.
_ACTIVE = "\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u206f\ufff9-\ufffb\ud800-\udfff"
ACTIVE = re.compile(f"[{_ACTIVE}]")
"""Matches an invisible control character; line feed and tab are allowed, for longer texts."""
_BREAK = re.compile("[ \t]*[\n\r\t\v\f\x85\u2028\u2029]+\\s*")
_MARKDOWN = re.compile(r"[\\`*\[\]|~$]|(?<![0-9A-Za-z])_|_(?![0-9A-Za-z])")
_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
_FORMULA = re.compile(r"\s*[=+@\-\uff1d\uff0b\uff0d\uff20]")
_LATEX = {
    **{character: f"\\{character}" for character in "&%$#_{}"},
    "\\": r"\textbackslash{}",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\symbol{34}",  # an active character in some languages of babel
    "`": r"\symbol{96}",
    # After the end of a row, an asterisk or a bracket would be an argument.
    **{character: f"{{{character}}}" for character in "*[]"},
}
_LATEX_SPECIAL = re.compile("[" + re.escape("".join(_LATEX)) + "]")
_LINE_END = re.compile(r"(?<=\s)#(?=#*$)")
_LINE_START = re.compile(r"^([#+=-](?=[\s#+=-]|$)|\d+(?=[.)](?:\s|$)))")


def visible(text: str) -> str:
    """Return ``text`` with control characters as escapes; line feeds and tabs are kept."""
    return ACTIVE.sub(_escape, text)


def one_line(text: str) -> str:
    """Return ``text`` on one line: line breaks and tabs become spaces, control characters become escapes."""
    return visible(_BREAK.sub(" ", text))


def markdown(text: str) -> str:
    """Return ``text`` as one line of GitHub-flavoured Markdown without markup, for headings, cells and prose."""
    text = _MARKDOWN.sub(r"\\\g<0>", one_line(text).strip())
    text = re.sub("[&<>]", lambda match: _ENTITIES[match[0]], text)
    # A closing # of a heading, then the start of a heading, a list or a rule.
    text = _LINE_END.sub(r"\\#", text)
    return _LINE_START.sub(lambda match: f"{match[0]}\\" if match[0].isdigit() else f"\\{match[0]}", text)


def code_span(text: str) -> str:
    """Return ``text`` as inline code of Markdown, on one line.

    Backticks in ``text`` are safe; line breaks become spaces and control characters become escapes.
    """
    text = one_line(text)
    fence = "`" * (_longest_run(text) + 1)
    pad = " " if text.startswith("`") or text.endswith("`") else ""
    return f"{fence}{pad}{text}{pad}{fence}"


def code_block(text: str, language: str = "text") -> list[str]:
    """Return the lines of a fenced code block of Markdown; ``text`` may contain backticks."""
    fence = "`" * max(3, _longest_run(text) + 1)
    return [f"{fence}{language}", *visible(text).split("\n"), fence]


def spreadsheet(text: str) -> str:
    """Return ``text`` as one line for a cell of CSV; an apostrophe keeps spreadsheets from taking it for a formula."""
    text = one_line(text)
    return f"'{text}" if _FORMULA.match(text) else text


def latex(text: str) -> str:
    """Return ``text`` as one line of LaTeX without commands, for prose, captions and cells of tables."""
    return _LATEX_SPECIAL.sub(lambda match: _LATEX[match[0]], one_line(text))


def json_text(data: Any, *, ascii_only: bool = False) -> str:  # noqa: ANN401 - what JSON holds
    """Return data as JSON with control characters as ``\\uXXXX``."""
    text = json.dumps(data, indent=1, ensure_ascii=ascii_only)
    return ACTIVE.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def _escape(match: re.Match[str]) -> str:
    number = ord(match[0])
    return f"\\x{number:02x}" if number < 0x100 else f"\\u{number:04x}"


def _longest_run(text: str) -> int:
    return max(map(len, re.findall("`+", text)), default=0)

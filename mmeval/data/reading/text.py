"""Texts that can't be written: file names that are no UTF-8, halves of a character that JSON lets pass."""

from __future__ import annotations

import re


def is_text(value: str) -> bool:
    """Whether a text can be written as UTF-8."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def writable(value: str) -> str:
    """A text that can be written, for messages: what can't is escaped."""
    return value.encode(errors="backslashreplace").decode()


_FOLDERS = re.compile(r"(?<![\w.~:/\\-])(?:[A-Za-z]:)?[/\\](?:[^/\\\s\"']+[/\\])+(?=[^/\\\s\"']|$)")
"""The folders of an absolute path in a text, without blanks; an address after ``https:`` is none."""
_WORD = re.compile(r"((?:[\w-]{2,}[=:])*)((?:[A-Za-z]:)?[/\\](?![/\\]).*)", re.DOTALL)


def without_folders(text: str) -> str:
    """A text whose absolute paths are only the names of their files, so that a page shows nobody's folders."""
    return _FOLDERS.sub("", text)


def word_without_folders(word: str) -> str:
    """A word of a command line, or an option's value, that may be an absolute path: ``table:/home/me/a.csv``."""
    found = _WORD.fullmatch(word)
    if not found:
        return word
    return found[1] + (re.split(r"[/\\]", found[2].rstrip("/\\"))[-1] or found[2])

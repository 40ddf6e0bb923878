"""Texts that can't be encoded as UTF-8, and absolute paths in texts that are published."""

from __future__ import annotations

import re


def is_text(value: str) -> bool:
    """Return whether a text can be encoded as UTF-8: file names may not be, nor lone surrogates in JSON."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def writable(value: str) -> str:
    """Return a text with everything escaped that UTF-8 can't encode, for messages."""
    return value.encode(errors="backslashreplace").decode()


_FOLDERS = re.compile(r"(?<![\w.~:/\\-])(?:[A-Za-z]:)?[/\\](?:[^/\\\s\"']+[/\\])+(?=[^/\\\s\"']|$)")
"""The folders of an absolute path in a text, up to a blank; an address after ``https:`` does not match."""
_WORD = re.compile(r"((?:[\w.-]{2,}[=:])*)((?:[A-Za-z]:)?[/\\](?![/\\]).*)", re.DOTALL)


def without_folders(text: str) -> str:
    """Return a text in which absolute paths are shortened to file names, so that a page shows no private folders."""
    return _FOLDERS.sub("", text)


def word_without_folders(word: str) -> str:
    """Shorten the absolute path in a command-line word or option value: ``table:/home/me/a.csv`` -> ``table:a.csv``."""
    match = _WORD.fullmatch(word)
    if not match:
        return word
    return match[1] + (re.split(r"[/\\]", match[2].rstrip("/\\"))[-1] or match[2])

"""Texts that can't be written: file names that are no UTF-8, halves of a character that JSON lets pass."""

from __future__ import annotations


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

"""What of a text counts when two are compared: its letters, digits and symbols, not how they are set."""

from __future__ import annotations

import unicodedata

MEANT = "#%&*@§"
"""Punctuation, to Unicode, that is read aloud."""


class _Folding(dict[int, str | None]):
    """Code point -> what stands for it: punctuation, spaces and controls become a space, invisible marks nothing."""

    def __missing__(self, code: int) -> str | None:
        category = unicodedata.category(chr(code))
        value = None if category == "Cf" else " " if category[0] in "PZC" and chr(code) not in MEANT else chr(code)
        self[code] = value
        return value


_FOLDING = _Folding()


def fold(text: str) -> str:
    """NFKC, without case, punctuation as spaces, single spaces; a text of punctuation alone keeps it.

    >>> fold("Dámské  TRIČKO – Ｂílé!")
    'dámské tričko bílé'
    """
    if text.isascii():
        plain = text.lower()
    else:
        plain = unicodedata.normalize("NFKC", unicodedata.normalize("NFKD", text).casefold())
        plain = unicodedata.normalize("NFKC", plain.casefold())
    return " ".join(plain.translate(_FOLDING).split()) or " ".join(plain.split())

"""Normalization of texts for comparison: letters, digits and symbols stay, typography goes."""

from __future__ import annotations

import unicodedata

KEPT_PUNCTUATION = "#%&*@§"
"""Characters that Unicode calls punctuation but that carry meaning."""


class _CharacterMap(dict[int, str | None]):
    """Table for ``str.translate``: punctuation, separators and controls to a space, format characters removed."""

    def __missing__(self, code: int) -> str | None:
        character = chr(code)
        category = unicodedata.category(character)
        value: str | None = character
        if category == "Cf":
            value = None
        elif category[0] in "PZC" and character not in KEPT_PUNCTUATION:
            value = " "
        self[code] = value
        return value


_CHARACTERS = _CharacterMap()


def normalize(text: str) -> str:
    """Return ``text`` in NFKC, case-folded, with punctuation as spaces and single spaces.

    A text of nothing but punctuation keeps it.

    >>> normalize("Dámské  TRIČKO – Ｂílé!")
    'dámské tričko bílé'
    """
    if text.isascii():
        plain = text.lower()
    else:
        plain = unicodedata.normalize("NFKC", unicodedata.normalize("NFKD", text).casefold())
        plain = unicodedata.normalize("NFKC", plain.casefold())
    return " ".join(plain.translate(_CHARACTERS).split()) or " ".join(plain.split())

"""Class names of UPMC Food-101 in file names and in titles."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

_FILE = re.compile(r"(.+)_[0-9-]+\.jpg")
_ACCENTS = "[\u0300-\u036f]*"
"""Combining marks that may follow a letter: `crème brûlée` is `creme_brulee`."""
_JOINED = r"[\s_-]*"


def class_of(file: str) -> str | None:
    """Return the class in a file name: everything before the last underscore. None for any other file name.

    139 file names have a second number: ``cheese_plate_717-2.jpg``.
    """
    match = _FILE.fullmatch(file)
    return match[1] if match else None


def normalized(title: str) -> str:
    """Return a title in NFKC and lower case with single spaces, as titles are compared."""
    return " ".join(unicodedata.normalize("NFKC", title).casefold().split())


class ClassNameMask:
    """Search for class names in titles.

    A class name matches whole words in any case and with any accents, joined by white space, hyphens, underscores or
    nothing, with or without a final ``s``: ``cup_cakes`` matches "Cup cakes", "cup-cake" and "Cupcakes".
    """

    def __init__(self, classes: Iterable[str]) -> None:
        longest_first = sorted(classes, key=lambda name: (-len(name), name))
        self._each = {name: re.compile(_whole_words(_words(name)), re.IGNORECASE) for name in longest_first}
        self._any = re.compile(_whole_words("|".join(map(_words, longest_first))), re.IGNORECASE)

    def is_in(self, title: str, name: str) -> bool:
        """Return whether a title contains the class ``name``."""
        return self._each[name].search(unicodedata.normalize("NFD", title)) is not None

    def masked(self, title: str) -> str:
        """Return a title without any class name and with single spaces; an unchanged title if it contains none.

        All class names are removed, not only the title's own class: a remaining name would tell a model what the image
        does not show, and a title without a label could not be masked.
        """
        decomposed = left = unicodedata.normalize("NFD", title)
        count = 1
        while count:  # removing a name may join another one: "hot pho dog"
            left, count = self._any.subn(" ", left)
        return title if left == decomposed else " ".join(unicodedata.normalize("NFC", left).split())


def _words(name: str) -> str:
    """Return a pattern for the words of a class name."""
    words = name.removesuffix("s").split("_")
    spelled = ["".join(re.escape(letter) + _ACCENTS for letter in word) for word in words]
    return _JOINED.join(spelled) + f"(?:s{_ACCENTS})?"


def _whole_words(pattern: str) -> str:
    """Return a pattern that matches ``pattern`` only where no letter or digit precedes or follows."""
    return rf"(?<![^\W_])(?:{pattern})(?![^\W_]|[\u0300-\u036f])"

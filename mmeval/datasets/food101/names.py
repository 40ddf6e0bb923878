"""Names in UPMC Food-101: a class in the name of an image's file, and in a title."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

_FILE = re.compile(r"(.+)_[0-9-]+\.jpg")
_ACCENTS = "[\u0300-\u036f]*"
"""Combining marks that may follow a letter: `crème brûlée` is `creme_brulee`."""
_JOINED = r"[\s_-]*"


def class_of(file: str) -> str | None:
    """The class in a file's name, all before its last underscore; None if it is not named as those of the data set.

    139 names have a second number: ``cheese_plate_717-2.jpg``.
    """
    found = _FILE.fullmatch(file)
    return found[1] if found else None


def normalised(title: str) -> str:
    """A title as titles are compared: NFKC, case folded, white space as single spaces."""
    return " ".join(unicodedata.normalize("NFKC", title).casefold().split())


class ClassNames:
    """The names of the classes, as they are found in titles.

    Whole words whatever their case and accents, joined by white space, hyphens, underscores or nothing, with or
    without a last ``s``: ``cup_cakes`` is found as "Cup cakes", "cup-cake" and "Cupcakes".
    """

    def __init__(self, classes: Iterable[str]) -> None:
        longest_first = sorted(classes, key=lambda name: (-len(name), name))
        self._each = {name: re.compile(_whole_words(_words(name)), re.IGNORECASE) for name in longest_first}
        self._any = re.compile(_whole_words("|".join(map(_words, longest_first))), re.IGNORECASE)

    def stands_in(self, title: str, name: str) -> bool:
        """Whether the class ``name`` stands in a title."""
        return self._each[name].search(unicodedata.normalize("NFD", title)) is not None

    def masked(self, title: str) -> str:
        """A title without the name of any class, white space as single spaces; itself where none stands in it.

        All names go, not only that of the title's own class: else a name that is left would tell what the image
        does not show, and a title without a label could not be masked.
        """
        decomposed = left = unicodedata.normalize("NFD", title)
        count = 1
        while count:  # what is taken out may have stood within another name: "hot pho dog"
            left, count = self._any.subn(" ", left)
        return title if left == decomposed else " ".join(unicodedata.normalize("NFC", left).split())


def _words(name: str) -> str:
    words = name.removesuffix("s").split("_")
    spelled = ["".join(re.escape(letter) + _ACCENTS for letter in word) for word in words]
    return _JOINED.join(spelled) + f"(?:s{_ACCENTS})?"


def _whole_words(pattern: str) -> str:
    return rf"(?<![^\W_])(?:{pattern})(?![^\W_]|[\u0300-\u036f])"

"""Names of products: which are the same, and which say a label aloud."""

from __future__ import annotations

import re
import unicodedata


def normalised(name: str) -> str:
    """A name without differences of case, width and blanks: what variants of a product share."""
    return " ".join(unicodedata.normalize("NFKC", name).casefold().split())


def says(name: str, label: str) -> bool:
    """Whether a name has the words of a label one after the other, in singular or plural, with or without hyphens."""
    words, wanted = _stems(name), _stems(label)
    return bool(wanted) and any(words[at : at + len(wanted)] == wanted for at in range(len(words)))


def _stems(text: str) -> list[str]:
    words = re.findall(r"\w+", normalised(text).replace("-", "").replace("'", ""))
    return [re.sub(r"(?<=ch|sh|ss)es$|(?<=x)es$|(?<!s)s$", "", word) for word in words]

"""Names of products: normalization, and search for a label in a name."""

from __future__ import annotations

import re
import unicodedata


def normalized(name: str) -> str:
    """Return a name in NFKC and lower case with single spaces, as the variants of a product share it."""
    return " ".join(unicodedata.normalize("NFKC", name).casefold().split())


def contains_label(name: str, label: str) -> bool:
    """Return whether a name contains the words of a label in sequence; plurals and hyphens are ignored."""
    words, wanted = _stems(name), _stems(label)
    return bool(wanted) and any(words[at : at + len(wanted)] == wanted for at in range(len(words)))


def _stems(text: str) -> list[str]:
    """Return the words of a text without hyphens, apostrophes and English plural endings."""
    words = re.findall(r"\w+", normalized(text).replace("-", "").replace("'", ""))
    return [re.sub(r"(?<=ch|sh|ss)es$|(?<=x)es$|(?<!s)s$", "", word) for word in words]

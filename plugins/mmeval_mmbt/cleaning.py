"""What the authors do to the texts of UPMC Food-101 before they are cut into word pieces."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

SPACED = re.compile(r"""[<>/\\+=\-_\[\]{}'":;.,()*&^%$#@!~`\s]+""")


def clean(text: str) -> str:
    """Runs of punctuation and spaces become one space, letters lower case; ``?`` and ``|`` stay."""
    return SPACED.sub(" ", text).strip().lower()


class Cleaned:
    """A tokenizer that cleans what it cuts."""

    def __init__(self, inner: Any) -> None:  # noqa: ANN401 - any tokenizer of a BertEncoder
        """``inner`` cuts; its ids and special tokens are this one's."""
        self._inner = inner
        self.name: str = f"{inner.name}, cleaned"
        self.special = inner.special
        self.size: int = inner.size

    def tokenize(self, texts: Sequence[str]) -> list[list[int]]:
        """Ids of each text, without special tokens, of any length."""
        rows: list[list[int]] = self._inner.tokenize([clean(text) for text in texts])
        return rows

"""Text cleaning of the authors of MMBT for UPMC Food-101."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

SPACED = re.compile(r"""[<>/\\+=\-_\[\]{}'":;.,()*&^%$#@!~`\s]+""")


def clean(text: str) -> str:
    """Replace runs of punctuation and spaces by one space, and lower the case; ``?`` and ``|`` stay."""
    return SPACED.sub(" ", text).strip().lower()


class CleaningTokenizer:
    """A tokenizer that cleans each text before another tokenizer splits it."""

    def __init__(self, inner: Any) -> None:  # noqa: ANN401 - any tokenizer of a BertEncoder
        """Clean texts for ``inner``, whose ids and special tokens stay the same."""
        self._inner = inner
        self.name: str = f"{inner.name}, cleaned"
        self.special = inner.special
        self.size: int = inner.size

    def tokenize(self, texts: Sequence[str]) -> list[list[int]]:
        """Return the ids of each text, without special tokens and without a limit of length."""
        rows: list[list[int]] = self._inner.tokenize([clean(text) for text in texts])
        return rows

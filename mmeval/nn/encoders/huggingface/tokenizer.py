"""A published tokenizer as its own call works, special tokens and truncation included, but for several threads."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any


class PublishedTokenizer:
    """Texts -> the ids that ``tokenizer(texts, truncation=True, max_length=length)`` gives."""

    def __init__(self, tokenizer: Any, length: int) -> None:  # noqa: ANN401 - transformers' own class
        """``tokenizer`` is changed: what a call would set each time, which isn't thread-safe, is set once."""
        self.pad = tokenizer.pad_token_id or 0
        self.pads_left = tokenizer.padding_side == "left"
        self._tokenizer, self._length = tokenizer, length
        self._backend = getattr(tokenizer, "backend_tokenizer", None)
        self._one_at_a_time = threading.Lock()
        if self._backend is not None:
            self._backend.no_padding()
            self._backend.enable_truncation(length, direction=tokenizer.truncation_side)

    def rows(self, texts: Sequence[str]) -> list[list[int]]:
        """Ids of each text, at least one, at most ``length``."""
        # Half of a surrogate pair, which a str may hold, is no text to any tokenizer.
        whole = [text.encode("utf-8", "replace").decode("utf-8") for text in texts]
        if self._backend is not None:
            found = [one.ids for one in self._backend.encode_batch(whole)]
        else:  # written in Python, with a state of its own
            with self._one_at_a_time:
                found = self._tokenizer(whole, truncation=True, max_length=self._length)["input_ids"]
        return [row or [self.pad] for row in found]

"""Published tokenizers, with their own special tokens and truncation, made safe for several threads."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

from mmeval.nn.encoders.tokens import replace_surrogates


class PublishedTokenizer:
    """A tokenizer that returns the ids of ``tokenizer(texts, truncation=True, max_length=length)``."""

    def __init__(self, tokenizer: Any, length: int) -> None:  # noqa: ANN401 - transformers' own class
        """Set truncation and padding of ``tokenizer`` once, in place: its own call sets them each time, which is not
        thread-safe.
        """
        self.pad = tokenizer.pad_token_id or 0
        self.pads_left = tokenizer.padding_side == "left"
        self._tokenizer, self._length = tokenizer, length
        self._backend = getattr(tokenizer, "backend_tokenizer", None)
        self._lock = threading.Lock()
        if self._backend is not None:
            self._backend.no_padding()
            self._backend.enable_truncation(length, direction=tokenizer.truncation_side)

    @property
    def backend(self) -> Any:  # noqa: ANN401 - of the library tokenizers
        """The tokenizer of the library ``tokenizers``; None if this one is written in Python."""
        return self._backend

    def rows(self, texts: Sequence[str]) -> list[list[int]]:
        """Return the ids of each text, at least one and at most ``length``."""
        valid = [replace_surrogates(text) for text in texts]
        if self._backend is not None:
            rows = [encoding.ids for encoding in self._backend.encode_batch(valid)]
        else:  # a tokenizer written in Python, which keeps state between calls
            with self._lock:
                rows = self._tokenizer(valid, truncation=True, max_length=self._length)["input_ids"]
        return [row or [self.pad] for row in rows]

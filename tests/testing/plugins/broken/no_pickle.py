"""Saves its vocabulary as a pickle."""

from __future__ import annotations

import pickle
from pathlib import Path

import plain

MMEVAL_API = "1.0"


class Pickled(plain.Plain):
    def save(self, folder: Path) -> None:
        super().save(folder)
        (folder / "vocabulary.bin").write_bytes(pickle.dumps({"red": 1}))


register_models = plain.offers(Pickled)

"""Saves its vocabulary as an array of Python objects, which NumPy pickles."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import plain

MMEVAL_API = "1.0"


class Pickled(plain.Plain):
    def save(self, folder: Path) -> None:
        super().save(folder)
        np.save(folder / "vocabulary.npy", np.array(["red", None], dtype=object))


register_models = plain.offers(Pickled)

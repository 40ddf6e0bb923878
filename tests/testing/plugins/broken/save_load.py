"""Writes its counts into the scratch folder during training, and nothing when saved."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import plain

import mmeval

MMEVAL_API = "1.0"
FILE = "learned.npz"


class Careless(plain.Plain):
    def fit(self, train: mmeval.Examples, validation: mmeval.Examples, context: mmeval.FitContext) -> Mapping[str, Any]:
        facts = super().fit(train, validation, context)
        np.savez(context.folder / FILE, **self.counts)
        return facts

    def save(self, folder: Path) -> None: ...

    def load(self, folder: Path) -> None:
        with np.load(folder / FILE, allow_pickle=False) as file:
            self.counts = dict(file)


register_models = plain.offers(Careless)

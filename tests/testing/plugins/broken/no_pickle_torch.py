"""Saves with `torch.save` under an unusual file name."""

from __future__ import annotations

from pathlib import Path

import plain
import torch

MMEVAL_API = "1.0"


class Pickled(plain.Plain):
    def save(self, folder: Path) -> None:
        super().save(folder)
        torch.save(self.counts, folder / "weights.torch")


register_models = plain.offers(Pickled)

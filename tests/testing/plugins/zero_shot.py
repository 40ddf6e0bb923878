"""A plain model without ``fit``, which gives all classes the same probability."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import plain
from numpy.typing import NDArray

import mmeval

MMEVAL_API = "1.0"


class Uniform:
    """One over the number of classes."""

    def __init__(self, config: mmeval.ModelConfig, context: mmeval.ModelContext) -> None:
        self.tasks = context.tasks

    def predict(
        self, examples: mmeval.Examples, context: mmeval.FitContext
    ) -> Iterator[Mapping[str, NDArray[np.float32]]]:
        sizes = {task.name: len(task.classes) for task in self.tasks}
        yield {task: np.full((len(examples), size), 1 / size, np.float32) for task, size in sizes.items()}

    def save(self, folder: Path) -> None: ...

    def load(self, folder: Path) -> None: ...


register_models = plain.offers(Uniform, name="zero-shot", config=mmeval.ModelConfig)

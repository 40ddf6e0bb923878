"""The class-name rule: a baseline without training that shows how many labels appear in the texts."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mmeval import Examples, FitContext, ModelContext, ModelSize
from mmeval_tfidf.config import TfidfConfig

BLOCK = 65536
"""Number of examples per block of predictions."""
SEPARATOR = re.compile(r"[\W_]+")
UNSPACED = re.compile(r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff]")
"""Characters of scripts without spaces between words: Thai, Lao, Burmese, Khmer, Japanese, Chinese."""


class ClassNameRule:
    """Gives a text the class whose name it contains as whole words; the longest name wins, then the first class."""

    def __init__(self, config: TfidfConfig, context: ModelContext) -> None:
        """Take the classes and their counts in training from ``context``."""
        self.certainty, self.context = config.certainty, context

    def predict(self, examples: Examples, context: FitContext) -> Iterator[dict[str, NDArray[np.float32]]]:  # noqa: ARG002
        """Yield blocks of probabilities ``{task: [n, classes]}``."""
        for start in range(0, len(examples), BLOCK):
            words = [spaced(text) for text in examples.texts[start : start + BLOCK]]
            yield {task.name: self._probabilities(task.name, task.classes, words) for task in self.context.tasks}

    def size(self) -> ModelSize:
        """Return a size without parameters."""
        return ModelSize(trained=0)

    def save(self, folder: Path) -> None:
        """Write nothing: mmeval saves config and context."""

    def load(self, folder: Path) -> None:
        """Do nothing: the rule has no weights."""

    def _probabilities(self, task: str, classes: Sequence[str], words: Sequence[str]) -> NDArray[np.float32]:
        shares = prior(self.context, task)
        named = named_class(words, classes)
        out = np.tile(shares, (len(words), 1))
        hit = named >= 0
        out[hit] *= 1 - self.certainty
        out[hit, named[hit]] += self.certainty
        return out


def prior(context: ModelContext, task: str) -> NDArray[np.float32]:
    """Return the shares of the classes in training, ``[classes]``."""
    counts = np.asarray(context.class_counts[task], np.float32)
    return counts / counts.sum() if counts.sum() else np.full(len(counts), 1 / len(counts), np.float32)


def spaced(text: str) -> str:
    """Return the words of a text in lower case, with one space around each: ``Apple_Pie!`` -> `` apple pie ``."""
    words = SEPARATOR.sub(" ", unicodedata.normalize("NFKC", text).casefold())
    return f" {words.strip()} "


def named_class(words: Sequence[str], classes: Sequence[str]) -> NDArray[np.int64]:
    """Return the index of the class that each text names, or -1; texts are outputs of :func:`spaced`."""
    names = [spaced(name) for name in classes]
    sought = [name.strip() if UNSPACED.search(name) else name for name in names]
    order = sorted((i for i, name in enumerate(names) if name.strip()), key=lambda i: -len(names[i]))
    return np.array([next((i for i in order if sought[i] in text), -1) for text in words], np.int64)

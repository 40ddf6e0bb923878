"""The rule of class names: what a data set gives away, before anything is learned."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mmeval import Examples, FitContext, ModelContext
from mmeval_tfidf.config import TfidfConfig

PART = 65536
BETWEEN = re.compile(r"[\W_]+")
UNSPACED = re.compile(r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff]")
"""Scripts that write no space between words: Thai, Lao, Burmese, Khmer, Japanese, Chinese."""


class ClassNames:
    """A text that holds a class's name as whole words has that class; the longest name wins, then the first."""

    def __init__(self, config: TfidfConfig, context: ModelContext) -> None:
        """All that it knows is what ``context`` says: the classes, and how often each stands in training."""
        self.certainty, self.context = config.certainty, context

    def predict(self, examples: Examples, context: FitContext) -> Iterator[dict[str, NDArray[np.float32]]]:  # noqa: ARG002
        """Yield blocks of probabilities ``{task: [n, classes]}``."""
        for start in range(0, len(examples), PART):
            words = [spaced(text) for text in examples.texts[start : start + PART]]
            yield {task.name: self._probabilities(task.name, task.classes, words) for task in self.context.tasks}

    def save(self, folder: Path) -> None:
        """Nothing: config and context are saved by mmeval."""

    def load(self, folder: Path) -> None:
        """Nothing."""

    def _probabilities(self, task: str, classes: Sequence[str], words: Sequence[str]) -> NDArray[np.float32]:
        shares = prior(self.context, task)
        found = found_in(words, classes)
        out = np.tile(shares, (len(words), 1))
        hit = found >= 0
        out[hit] *= 1 - self.certainty
        out[hit, found[hit]] += self.certainty
        return out


def prior(context: ModelContext, task: str) -> NDArray[np.float32]:
    """Shares of the classes in training ``[classes]``."""
    counts = np.asarray(context.class_counts[task], np.float32)
    return counts / counts.sum() if counts.sum() else np.full(len(counts), 1 / len(counts), np.float32)


def spaced(text: str) -> str:
    """Lower-case words with one space around each: ``Apple_Pie!`` -> `` apple pie ``."""
    words = BETWEEN.sub(" ", unicodedata.normalize("NFKC", text).casefold())
    return f" {words.strip()} "


def found_in(words: Sequence[str], classes: Sequence[str]) -> NDArray[np.int64]:
    """The class whose name stands in each text, given as :func:`spaced` makes it; -1 for none."""
    names = [spaced(name) for name in classes]
    sought = [name.strip() if UNSPACED.search(name) else name for name in names]
    order = sorted((i for i, name in enumerate(names) if name.strip()), key=lambda i: -len(names[i]))
    return np.array([next((i for i in order if sought[i] in text), -1) for text in words], np.int64)

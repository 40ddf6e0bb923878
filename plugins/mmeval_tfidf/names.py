"""The class-name rule: a baseline without training that shows how many labels appear in the texts."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mmeval import Examples, FitContext, ModelContext, ModelSize, Task
from mmeval_tfidf.config import TfidfConfig

BLOCK = 65536
"""Number of examples per block of predictions."""
SEPARATOR = re.compile(r"[\W_]+")
UNSPACED = re.compile(r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff]")
"""Characters of scripts without spaces between words: Thai, Lao, Burmese, Khmer, Japanese, Chinese."""


class ClassNameRule:
    """Gives a text the class whose name it contains as whole words; the longest name wins, then the first class.

    In a multi-label task it gives a text all classes whose names it contains.
    """

    def __init__(self, config: TfidfConfig, context: ModelContext) -> None:
        """Take the classes and their counts in training from ``context``."""
        self.certainty, self.context = config.certainty, context

    def predict(self, examples: Examples, context: FitContext) -> Iterator[dict[str, NDArray[np.float32]]]:  # noqa: ARG002
        """Yield blocks of probabilities ``{task: [n, classes]}``."""
        for start in range(0, len(examples), BLOCK):
            words = [spaced(text) for text in examples.texts[start : start + BLOCK]]
            yield {task.name: self._probabilities(task, words) for task in self.context.tasks}

    def size(self) -> ModelSize:
        """Return a size without parameters."""
        return ModelSize(trained=0)

    def save(self, folder: Path) -> None:
        """Write nothing: mmeval saves config and context."""

    def load(self, folder: Path) -> None:
        """Do nothing: the rule has no weights."""

    def _probabilities(self, task: Task, words: Sequence[str]) -> NDArray[np.float32]:
        out = np.tile(prior(self.context, task.name), (len(words), 1))
        if task.multilabel:
            return np.asarray(out * (1 - self.certainty) + named_classes(words, task.classes) * self.certainty)
        named = named_class(words, task.classes)
        hit = named >= 0
        out[hit] *= 1 - self.certainty
        out[hit, named[hit]] += self.certainty
        return out


def prior(context: ModelContext, task: str) -> NDArray[np.float32]:
    """Return the shares of the classes in training, ``[classes]``."""
    return np.asarray(context.shares(task), np.float32)


def spaced(text: str) -> str:
    """Return the words of a text in lower case, with one space around each: ``Apple_Pie!`` -> `` apple pie ``."""
    words = SEPARATOR.sub(" ", unicodedata.normalize("NFKC", text).casefold())
    return f" {words.strip()} "


def named_class(words: Sequence[str], classes: Sequence[str]) -> NDArray[np.int64]:
    """Return the index of the class that each text names, or -1; texts are outputs of :func:`spaced`."""
    sought = _sought(classes)
    order = sorted(sought, key=lambda i: -len(spaced(classes[i])))
    return np.array([next((i for i in order if sought[i] in text), -1) for text in words], np.int64)


def named_classes(words: Sequence[str], classes: Sequence[str]) -> NDArray[np.float32]:
    """Return 1 for each class that a text names, else 0: ``[n, classes]``; texts are outputs of :func:`spaced`."""
    out, sought = np.zeros((len(words), len(classes)), np.float32), _sought(classes)
    for row, text in enumerate(words):
        out[row, [i for i, name in sought.items() if name in text]] = 1
    return out


def _sought(classes: Sequence[str]) -> dict[int, str]:
    """Return by index of a class the text to look for; a name without letters and digits has none."""
    names = {i: spaced(name) for i, name in enumerate(classes)}
    return {i: name.strip() if UNSPACED.search(name) else name for i, name in names.items() if name.strip()}

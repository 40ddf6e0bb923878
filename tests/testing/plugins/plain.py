"""A sound plain model of texts: naive Bayes on hashed character n-grams in NumPy."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

import mmeval

MMEVAL_API = "1.0"
BLOCK = 64


class PlainConfig(mmeval.ModelConfig):
    """Options of the plain model."""

    buckets: int = Field(default=512, ge=2)
    """Buckets that n-grams are hashed into."""
    longest: int = Field(default=4, ge=1)
    """Characters of the longest n-gram."""
    smoothing: float = Field(default=0.1, gt=0)
    """Added to each count."""


class Plain:
    """log p(class) + the sum of log p(n-gram | class); without a text only the first is left."""

    def __init__(self, config: PlainConfig, context: mmeval.ModelContext) -> None:
        self.config, self.context = config, context
        self.counts = {task.name: np.zeros((len(task.classes), config.buckets)) for task in context.tasks}

    def fit(self, train: mmeval.Examples, validation: mmeval.Examples, context: mmeval.FitContext) -> Mapping[str, Any]:
        grams = self.grams(train.texts)
        for task in self.context.tasks:
            labels = train.labels(task.name)
            self.counts[task.name] = np.stack([grams[labels == number].sum(0) for number in range(len(task.classes))])
        return {"grams": float(grams.sum())}

    def predict(
        self, examples: mmeval.Examples, context: mmeval.FitContext
    ) -> Iterator[Mapping[str, NDArray[np.float32]]]:
        scores = self.scores(examples)
        for start in range(0, len(examples), BLOCK):
            yield {task: probabilities(values[start : start + BLOCK]) for task, values in scores.items()}

    def scores(self, examples: mmeval.Examples) -> dict[str, NDArray[np.float64]]:
        """Logits ``[n, classes]`` by task, the part that most of the broken models change."""
        grams, scores = self.grams(examples.texts), {}
        for task in self.context.tasks:
            counts = self.counts[task.name] + self.config.smoothing
            likelihood = np.log(counts / counts.sum(1, keepdims=True))
            scores[task.name] = grams @ likelihood.T + np.log(np.array(self.context.class_counts[task.name]) + 1.0)
        return scores

    def grams(self, texts: list[str]) -> NDArray[np.float64]:
        """How often each bucket's n-grams stand in each text, ``[n, buckets]``."""
        counts = np.zeros((len(texts), self.config.buckets))
        for row, text in enumerate(texts):
            for size in range(1, self.config.longest + 1):
                for start in range(len(text) - size + 1):
                    counts[row, zlib.crc32(text[start : start + size].encode()) % self.config.buckets] += 1
        return counts

    def save(self, folder: Path) -> None:
        np.savez(folder / "counts.npz", **self.counts)

    def load(self, folder: Path) -> None:
        with np.load(folder / "counts.npz", allow_pickle=False) as file:
            self.counts = dict(file)


def probabilities(scores: NDArray[np.float64]) -> NDArray[np.float32]:
    """Softmax of each row."""
    powers = np.exp(scores - scores.max(1, keepdims=True))
    return (powers / powers.sum(1, keepdims=True)).astype(np.float32)


def offers(build: Callable[..., Any], **changes: Any) -> Callable[..., None]:
    """The hook that registers a model; ``changes`` are other fields of its spec."""
    facts = {
        "name": "plain",
        "summary": "naive Bayes on character n-grams",
        "config": PlainConfig,
        "version": "1.0",
        "inputs": ("text",),
        "paper": "none",
        "licence": "Apache-2.0",
        "presets": {"tiny": {}},
    }

    @mmeval.hookimpl
    def register_models(register: Callable[[mmeval.ModelSpec], None]) -> None:
        register(mmeval.ModelSpec(build=build, **(facts | changes)))

    return register_models


register_models = offers(Plain)

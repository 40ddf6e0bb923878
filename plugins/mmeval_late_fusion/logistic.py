"""Late fusion with scikit-learn: logistic regression on the vectors of frozen encoders."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmeval import (
    Examples,
    FitContext,
    MissingExtraError,
    ModelContext,
    ModelSize,
    UserError,
    embed_images,
    embed_texts,
)
from mmeval_late_fusion.config import LateFusionConfig

FILE = "logistic.safetensors"
BLOCK = 16384
"""Number of examples that are predicted at once."""
MAX_DEVIATIONS = 5.0
"""Standardised features are clipped here."""
UNSEEN = -20.0
"""Logit of a class that training lacks."""
Array = NDArray[np.float32]
Bools = NDArray[np.bool_]


class LogisticLateFusion:
    """A logistic regression per task on the concatenated vectors, or one per task and modality."""

    def __init__(self, config: LateFusionConfig, context: ModelContext) -> None:
        """Check that the model can be trained as ``config`` says.

        Raises:
            UserError: an encoder is not frozen.
            MissingExtraError: scikit-learn is not installed.
        """
        for modality, tuning in (("image", config.image_tuning), ("text", config.text_tuning)):
            if not tuning.frozen:
                raise UserError(f"--set head=logistic needs frozen encoders: --set {modality}_tuning.frozen=true.")
        try:
            import sklearn  # noqa: F401
        except ImportError:
            raise MissingExtraError("The head logistic", "scikit-learn", "demo") from None
        self.config, self.context = config, context
        self.arrays: dict[str, Array] = {}
        """``0.mean`` and ``0.deviation`` of the image features, ``1.`` of the text features; ``HEAD.TASK.weight`` and
        ``HEAD.TASK.bias``, heads and tasks by number."""

    def fit(self, train: Examples, validation: Examples, context: FitContext) -> Mapping[str, Any]:  # noqa: ARG002
        """Fit on ``train``; ``validation`` is not used."""
        vectors, present = self._embed(train, context.device), _present(train)
        self.arrays = {}
        for modality, x in enumerate(vectors):
            rows = x[present[:, modality]] if present[:, modality].any() else np.zeros((1, x.shape[1]), np.float32)
            self.arrays[f"{modality}.mean"] = rows.mean(0)
            self.arrays[f"{modality}.deviation"] = np.maximum(rows.std(0), 1e-4)  # a constant feature has deviation 0
        for head, (x, known) in enumerate(self._inputs(vectors, present)):
            for number, task in enumerate(self.context.tasks):
                labels = train.labels(task.name)
                labels = np.where(known.reshape(-1, *[1] * (labels.ndim - 1)), labels, -1)
                fit_head = self._fit_classes if task.multilabel else self._fit_head
                weight, bias = fit_head(x, labels, len(task.classes), context.seed)
                self.arrays |= {f"{head}.{number}.weight": weight, f"{head}.{number}.bias": bias}
        return {"features": sum(x.shape[1] for x in vectors)}

    def predict(self, examples: Examples, context: FitContext) -> Iterator[dict[str, Array]]:
        """Yield blocks of probabilities ``{task: [n, classes]}``.

        An example without image and text gets the class shares of the training split.
        """
        vectors, present = self._embed(examples, context.device), _present(examples)
        for start in range(0, len(examples), BLOCK):
            block = slice(start, start + BLOCK)
            inputs = self._inputs([x[block] for x in vectors], present[block])
            yield {task.name: self._probabilities(n, task.name, inputs) for n, task in enumerate(self.context.tasks)}

    def embed(self, examples: Examples, context: FitContext) -> Iterator[Array]:
        """Yield blocks of the standardised vectors of image and text, concatenated ``[n, D]``."""
        vectors, present = self._embed(examples, context.device), _present(examples)
        for start in range(0, len(examples), BLOCK):
            block = slice(start, start + BLOCK)
            yield np.concatenate(self._standardised([x[block] for x in vectors], present[block]), 1)

    def size(self) -> ModelSize:
        """Return the number of weights and biases of the heads, and the names of the encoders."""
        weights = sum(array.size for name, array in self.arrays.items() if name.endswith("weight"))
        biases = sum(array.size for name, array in self.arrays.items() if name.endswith("bias"))
        return ModelSize(
            trained=weights + biases,
            flops=2.0 * weights,
            image_encoder=self.config.image_encoder,
            text_encoder=self.config.text_encoder,
        )

    def save(self, folder: Path) -> None:
        """Write ``logistic.safetensors``."""
        from safetensors.numpy import save_file

        save_file({name: np.ascontiguousarray(array) for name, array in self.arrays.items()}, str(folder / FILE))

    def load(self, folder: Path) -> None:
        """Read ``logistic.safetensors``.

        Raises:
            UserError: the file is missing or damaged.
        """
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        try:
            self.arrays = load_file(str(folder / FILE))
        except (OSError, SafetensorError) as error:
            raise UserError(f"{folder} holds no model with the head logistic: {error}.") from None

    def _embed(self, examples: Examples, device: str) -> list[Array]:
        """Return the image vectors ``[n, D]`` and the text vectors ``[n, D]``, from the cache where it has them."""
        return [
            embed_images(examples, self.config.image_encoder, device),
            embed_texts(examples.texts, self.config.text_encoder, device),
        ]

    def _inputs(self, vectors: list[Array], present: Bools) -> list[tuple[Array, Bools]]:
        """Return per head its standardised features ``[n, D]``, and whether an example has any, bool ``[n]``."""
        standardised = self._standardised(vectors, present)
        if self.config.fusion == "concat":
            return [(np.concatenate(standardised, 1), np.asarray(present.any(1)))]
        return list(zip(standardised, present.T, strict=True))

    def _standardised(self, vectors: list[Array], present: Bools) -> list[Array]:
        """Return the standardised vectors ``[n, D]`` of each modality; zero where it is missing."""
        standardised = []
        for modality, x in enumerate(vectors):
            scaled = (x - self.arrays[f"{modality}.mean"]) / self.arrays[f"{modality}.deviation"]
            standardised.append(scaled.clip(-MAX_DEVIATIONS, MAX_DEVIATIONS) * present[:, modality, None])
        return standardised

    def _fit_head(self, x: Array, labels: NDArray[np.int64], classes: int, seed: int) -> tuple[Array, Array]:
        """Return weight ``[classes, D]`` and bias ``[classes]`` of a logistic regression; labels of -1 are left out."""
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.linear_model import LogisticRegression

        known = labels >= 0
        seen = np.unique(labels[known])
        weight, bias = np.zeros((classes, x.shape[1]), np.float32), np.full(classes, UNSEEN, np.float32)
        bias[seen] = 0
        if len(seen) > 1:
            model = LogisticRegression(C=self.config.c, max_iter=200, random_state=seed)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ConvergenceWarning)
                model.fit(x[known], labels[known])
            rows = seen[1:] if len(seen) == 2 else seen  # of two classes, scikit-learn has weights for the second only
            weight[rows], bias[rows] = model.coef_, model.intercept_
        return weight, bias

    def _fit_classes(self, x: Array, labels: NDArray[np.int8], classes: int, seed: int) -> tuple[Array, Array]:
        """Return weight and bias of one logistic regression per class of a multi-label task, labels ``[n, classes]``.

        A class that no example has gets the constant logit ``UNSEEN``, one that all have gets ``-UNSEEN``.
        """
        weight, bias = np.zeros((classes, x.shape[1]), np.float32), np.zeros(classes, np.float32)
        known = labels[:, 0] >= 0
        for number, own in enumerate(labels[known].T):
            pair, offset = self._fit_head(x[known], own.astype(np.int64), 2, seed)
            weight[number] = pair[1] - pair[0]
            bias[number] = offset[1] - offset[0]
        return weight, bias

    def _probabilities(self, number: int, task: str, inputs: list[tuple[Array, Bools]]) -> Array:
        """Average the log-probabilities of the heads that have an input: probabilities ``[n, classes]`` of a task.

        Of a multi-label task, average the log odds.
        """
        from scipy.special import expit, log_softmax

        total, heads = np.zeros((len(inputs[0][0]), 1), np.float32), np.zeros((len(inputs[0][0]), 1), np.float32)
        for head, (x, known) in enumerate(inputs):
            logits = x @ self.arrays[f"{head}.{number}.weight"].T + self.arrays[f"{head}.{number}.bias"]
            multilabel = task in self.context.multilabel
            total = total + (logits if multilabel else log_softmax(logits, axis=1)) * known[:, None]
            heads += known[:, None]
        mean = total / np.maximum(heads, 1)
        average = expit(mean) if task in self.context.multilabel else np.exp(log_softmax(mean, axis=1))
        return np.where(heads > 0, average, np.asarray(self.context.shares(task))).astype(np.float32)


def _present(examples: Examples) -> Bools:
    """Bool ``[n, 2]``: whether an example has an image, and a text."""
    has_text = np.array([bool(text.strip()) for text in examples.texts], bool)
    return np.stack([examples.image_rows >= 0, has_text], 1)

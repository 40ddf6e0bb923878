"""Late fusion without torch: logistic regression on what frozen encoders say (scikit-learn)."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmeval import Examples, FitContext, MissingExtraError, ModelContext, UserError, embed_images, embed_texts
from mmeval_late_fusion.config import LateFusionConfig

FILE = "logistic.safetensors"
PART = 16384
FARTHEST = 5.0
"""Standard deviations at which a feature is cut off."""
Array = NDArray[np.float32]


class Logistic:
    """Standardised vectors, and a logistic regression per task: of both side by side, or of each for itself."""

    def __init__(self, config: LateFusionConfig, context: ModelContext) -> None:
        """Nothing is read yet.

        Raises:
            UserError: an encoder is to learn, which it can't here.
            MissingExtraError: scikit-learn is not installed.
        """
        for what, tuning in (("image", config.image_tuning), ("text", config.text_tuning)):
            if not tuning.frozen:
                raise UserError(
                    f"--set head=logistic takes what encoders say as it is: --set {what}_tuning.frozen=true."
                )
        try:
            import sklearn  # noqa: F401
        except ImportError:
            raise MissingExtraError("The head logistic", "scikit-learn", "demo") from None
        self.config, self.context = config, context
        self.arrays: dict[str, Array] = {}
        """``0.mean``, ``0.deviation`` of the images, 1 of the texts; ``0.0.weight`` of a voter and a task."""

    def fit(self, train: Examples, validation: Examples, context: FitContext) -> Mapping[str, Any]:  # noqa: ARG002
        """Fit on ``train``; nothing is chosen on ``validation``."""
        self.arrays, shown = {}, _shown(train)
        vectors = self._embedded(train, context.device)
        for number, x in enumerate(vectors):
            rows = x[shown[:, number]] if shown[:, number].any() else np.zeros((1, x.shape[1]), np.float32)
            self.arrays[f"{number}.mean"] = rows.mean(0)
            self.arrays[f"{number}.deviation"] = np.maximum(rows.std(0), 1e-4)
        for voter, (x, counted) in enumerate(self._voters(vectors, shown)):
            for number, task in enumerate(self.context.tasks):
                labels = train.labels(task.name)
                self._fit_one(f"{voter}.{number}", x, np.where(counted, labels, -1), len(task.classes), context.seed)
        return {"features": sum(x.shape[1] for x in vectors)}

    def predict(self, examples: Examples, context: FitContext) -> Iterator[dict[str, Array]]:
        """Yield blocks of probabilities ``{task: [n, classes]}``; where nothing is shown, the shares in training."""
        every, seen = self._embedded(examples, context.device), _shown(examples)
        for start in range(0, len(examples), PART):
            vectors, shown = [x[start : start + PART] for x in every], seen[start : start + PART]
            voters = self._voters(vectors, shown)
            yield {task.name: self._mean(number, task.name, voters) for number, task in enumerate(self.context.tasks)}

    def save(self, folder: Path) -> None:
        """Write ``logistic.safetensors``."""
        from safetensors.numpy import save_file

        save_file({name: np.ascontiguousarray(one) for name, one in self.arrays.items()}, str(folder / FILE))

    def load(self, folder: Path) -> None:
        """Take it back.

        Raises:
            UserError: the folder holds no such model.
        """
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        try:
            self.arrays = load_file(str(folder / FILE))
        except (OSError, SafetensorError) as error:
            raise UserError(f"{folder} holds no model with the head logistic: {error}.") from None

    def _embedded(self, examples: Examples, device: str) -> list[Array]:
        config = self.config
        return [
            embed_images(examples, config.image_encoder, device),
            embed_texts(examples.texts, config.text_encoder, device),
        ]

    def _voters(self, vectors: list[Array], shown: NDArray[np.bool_]) -> list[tuple[Array, NDArray[np.bool_]]]:
        """What each that votes goes by ``[n, D]``, and whether there is something."""
        standard = []
        for number, x in enumerate(vectors):
            scaled = (x - self.arrays[f"{number}.mean"]) / self.arrays[f"{number}.deviation"]
            standard.append(scaled.clip(-FARTHEST, FARTHEST) * shown[:, number, None])
        if self.config.fusion == "concat":
            either: NDArray[np.bool_] = np.asarray(shown.any(1))
            return [(np.concatenate(standard, 1), either)]
        return list(zip(standard, shown.T, strict=True))

    def _fit_one(self, key: str, x: Array, labels: NDArray[np.int64], classes: int, seed: int) -> None:
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.linear_model import LogisticRegression

        known = labels >= 0
        seen = np.unique(labels[known])
        # A class that training never had, or the only one that it had, is told from the others by the intercept.
        weight, bias = np.zeros((classes, x.shape[1]), np.float32), np.full(classes, -20.0, np.float32)
        bias[seen] = 0
        if len(seen) > 1:
            model = LogisticRegression(C=self.config.c, max_iter=200, random_state=seed)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ConvergenceWarning)
                model.fit(x[known], labels[known])
            two = len(seen) == 2  # then scikit-learn has one row, for the second class
            weight[seen[1:] if two else seen] = model.coef_
            bias[seen[1:] if two else seen] = model.intercept_
        self.arrays |= {f"{key}.weight": weight, f"{key}.bias": bias}

    def _mean(self, number: int, task: str, voters: list[tuple[Array, NDArray[np.bool_]]]) -> Array:
        total, votes = np.zeros((len(voters[0][0]), 1), np.float32), np.zeros((len(voters[0][0]), 1), np.float32)
        for voter, (x, counted) in enumerate(voters):
            logits = x @ self.arrays[f"{voter}.{number}.weight"].T + self.arrays[f"{voter}.{number}.bias"]
            total = total + _log_softmax(logits) * counted[:, None]
            votes += counted[:, None]
        found = np.exp(_log_softmax(total / np.maximum(votes, 1)))
        counts = np.asarray(self.context.class_counts[task], np.float32)
        prior = counts / counts.sum() if counts.sum() else np.full_like(counts, 1 / len(counts))
        return np.where(votes > 0, found, prior).astype(np.float32)


def _shown(examples: Examples) -> NDArray[np.bool_]:
    """Bool ``[n, 2]``: whether there is an image, and a text."""
    return np.stack([examples.image_rows >= 0, np.array([bool(text.strip()) for text in examples.texts], bool)], 1)


def _log_softmax(x: NDArray[np.floating[Any]]) -> Array:
    x = x - x.max(1, keepdims=True)
    out: Array = (x - np.log(np.exp(x).sum(1, keepdims=True))).astype(np.float32)
    return out

"""Scores of simple models on emoji14, a lower bound for every plugin, on the split that `mmeval run` uses.

    python benchmarks/emoji14_baselines.py

Logistic regression on standardised EfficientNet-Lite0 embeddings; TF-IDF of character 1- to 5-grams and logistic
regression, one model per language; the sum of their log-probabilities. The models are trained on train, their
regularisation is selected on validation, and they are scored on test.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache, partial

import numpy as np
import torch
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from mmeval import Examples
from mmeval.data.prepare.prepare import prepare
from mmeval.engine.embeddings import image_embeddings
from mmeval.nn import ImageEncoder, image_encoder
from mmeval.plugin.manager import Manager

TASK = "group"


def main() -> None:
    """Train and score all baselines, one line each."""
    store = prepare(Manager().dataset("emoji14"))
    train, validation, test = (Examples(store, split) for split in ("train", "validation", "test"))
    text = select(partial(text_log_probabilities, train), (1.0, 10.0, 100.0), validation)
    print(f"{'model':52} mean of 14 languages   worst language")
    report("TF-IDF + logistic regression, per language", text(test), test)
    for size in (64, 128, 192):
        image = select(partial(image_log_probabilities, train, size), (0.001, 0.01, 0.1), validation)
        report(f"EfficientNet-Lite0 ({size} px) + logistic regression", image(test), test)
        report(f"late fusion of both ({size} px)", image(test) + text(test), test)


def select(
    predict: Callable[[float, Examples], np.ndarray], candidates: Sequence[float], validation: Examples
) -> Callable[[Examples], np.ndarray]:
    """Return ``predict`` with the regularisation C that has the highest accuracy on validation."""
    accuracy = {c: (predict(c, validation).argmax(1) == validation.labels(TASK)).mean() for c in candidates}
    return cache(partial(predict, max(candidates, key=lambda c: accuracy[c])))


def report(name: str, scores: np.ndarray, test: Examples) -> None:
    """Print the mean top-1 over languages and the worst language."""
    correct, languages = scores.argmax(1) == test.labels(TASK), np.asarray(test.languages)
    top1 = {str(language): correct[languages == language].mean() for language in np.unique(languages)}
    worst = min(top1, key=lambda language: top1[language])
    print(f"{name:52} {np.mean(list(top1.values())):.3f}                  {top1[worst]:.3f} ({worst})", flush=True)


def text_log_probabilities(train: Examples, c: float, examples: Examples) -> np.ndarray:
    """Train a text model per language and predict ``examples``; ``[n, classes]``."""
    result = np.zeros((len(examples), len(examples.store.tasks[0].classes)))
    for language in sorted(set(examples.languages)):
        train_rows = [row for row, other in enumerate(train.languages) if other == language]
        rows = [row for row, other in enumerate(examples.languages) if other == language]
        model = make_pipeline(
            TfidfVectorizer(analyzer="char_wb", ngram_range=(1, 5), sublinear_tf=True),
            LogisticRegression(C=c, max_iter=2000),
        )
        model.fit([train.texts[row] for row in train_rows], train.labels(TASK)[train_rows])
        result[rows] = model.predict_log_proba([examples.texts[row] for row in rows])
    return result


def image_log_probabilities(train: Examples, size: int, c: float, examples: Examples) -> np.ndarray:
    """Train one image model, on each image once, and predict ``examples``; ``[n, classes]``."""
    encoder = image_encoder(f"efficientnet-lite0:{size}", frozen=True)
    _, distinct = np.unique(train.image_rows, return_index=True)
    model = make_pipeline(StandardScaler(), LogisticRegression(C=c, max_iter=2000))
    model.fit(embed(encoder, train, distinct), train.labels(TASK)[distinct])
    scores: np.ndarray = model.predict_log_proba(embed(encoder, examples, np.arange(len(examples))))
    return scores


def embed(encoder: ImageEncoder, examples: Examples, rows: np.ndarray) -> np.ndarray:
    """Return the cached embeddings of the images of ``rows``."""
    images = examples.image_rows[rows]
    return image_embeddings(encoder, examples.store, images, torch.device("cpu")).gather(images)


if __name__ == "__main__":
    main()

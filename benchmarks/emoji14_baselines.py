"""What simple models reach on emoji14: the floor under every plugin, on the very split that `mmeval run` uses.

    python benchmarks/emoji14_baselines.py

Logistic regression on standardised EfficientNet-Lite0 embeddings; TF-IDF of character 1- to 5-grams and logistic
regression, one model per language; the sum of their log-probabilities. Trained on train, regularisation chosen on
validation, scored on test.
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
    store = prepare(Manager().dataset("emoji14"))
    train, validation, test = (Examples(store, split) for split in ("train", "validation", "test"))
    text = chosen(partial(text_log_probabilities, train), (1.0, 10.0, 100.0), validation)
    print(f"{'model':52} mean of 14 languages   worst language")
    report("TF-IDF + logistic regression, per language", text(test), test)
    for size in (64, 128, 192):
        image = chosen(partial(image_log_probabilities, train, size), (0.001, 0.01, 0.1), validation)
        report(f"EfficientNet-Lite0 ({size} px) + logistic regression", image(test), test)
        report(f"late fusion of both ({size} px)", image(test) + text(test), test)


def chosen(
    predict: Callable[[float, Examples], np.ndarray], candidates: Sequence[float], validation: Examples
) -> Callable[[Examples], np.ndarray]:
    """``predict`` with the regularisation C that is best on validation."""
    right = {c: (predict(c, validation).argmax(1) == validation.labels(TASK)).mean() for c in candidates}
    return cache(partial(predict, max(candidates, key=lambda c: right[c])))


def report(name: str, scores: np.ndarray, test: Examples) -> None:
    """One line: mean over languages and the worst one."""
    hit, languages = scores.argmax(1) == test.labels(TASK), np.asarray(test.languages)
    each = {str(language): hit[languages == language].mean() for language in np.unique(languages)}
    worst = min(each, key=lambda language: each[language])
    print(f"{name:52} {np.mean(list(each.values())):.3f}                  {each[worst]:.3f} ({worst})", flush=True)


def text_log_probabilities(train: Examples, c: float, asked: Examples) -> np.ndarray:
    """One model per language; ``[n, classes]``."""
    out = np.zeros((len(asked), len(asked.store.tasks[0].classes)))
    for language in sorted(set(asked.languages)):
        learn = [i for i, own in enumerate(train.languages) if own == language]
        ask = [i for i, own in enumerate(asked.languages) if own == language]
        model = make_pipeline(
            TfidfVectorizer(analyzer="char_wb", ngram_range=(1, 5), sublinear_tf=True),
            LogisticRegression(C=c, max_iter=2000),
        )
        model.fit([train.texts[i] for i in learn], train.labels(TASK)[learn])
        out[ask] = model.predict_log_proba([asked.texts[i] for i in ask])
    return out


def image_log_probabilities(train: Examples, size: int, c: float, asked: Examples) -> np.ndarray:
    """One model for all languages, trained on each image once; ``[n, classes]``."""
    encoder = image_encoder(f"efficientnet-lite0:{size}", frozen=True)
    _, once = np.unique(train.image_rows, return_index=True)
    model = make_pipeline(StandardScaler(), LogisticRegression(C=c, max_iter=2000))
    model.fit(embedded(encoder, train, once), train.labels(TASK)[once])
    scores: np.ndarray = model.predict_log_proba(embedded(encoder, asked, np.arange(len(asked))))
    return scores


def embedded(encoder: ImageEncoder, examples: Examples, rows: np.ndarray) -> np.ndarray:
    """Embeddings of the images of some examples, from the cache."""
    images = examples.image_rows[rows]
    return image_embeddings(encoder, examples.store, images, torch.device("cpu")).gather(images)


if __name__ == "__main__":
    main()

"""Multi-label tasks in the models that average or combine probabilities themselves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mmeval import FitContext, ModelContext, Task
from mmeval.plugin.configure import configure
from mmeval_embracenet.config import EmbraceNetConfig
from mmeval_embracenet.model import EmbraceNet
from mmeval_late_fusion import build as build_late_fusion
from mmeval_late_fusion.config import LateFusionConfig
from mmeval_late_fusion.logistic import UNSEEN, LogisticLateFusion
from mmeval_tfidf import build as build_tfidf
from mmeval_tfidf.config import TfidfConfig

TAGS = Task("tags", ("cat", "dog", "never", "always"), multilabel=True)
LABELS = np.array([[1, 0, 0, 1], [0, 1, 0, 1], [1, 1, 0, 1], [0, 0, 0, 1], [-1, -1, -1, -1]] * 8, np.int8)
TEXTS = ["a cat", "the dog", "cat and dog", "nothing here", "a cat"] * 8
CONTEXT = ModelContext((TAGS,), {"tags": (16, 16, 0, 32)}, ("en",), labelled={"tags": 32})
HERE = FitContext(0, "cpu", Path())


class Given:
    """Examples without a Store."""

    def __init__(self, texts: list[str], labels: np.ndarray, languages: list[str] | None = None) -> None:
        self.texts, self.languages = texts, languages or ["en"] * len(texts)
        self.labels = {"tags": labels}.__getitem__
        self.image_rows = np.full(len(texts), -1)

    def __len__(self) -> int:
        return len(self.texts)


def predicted(model: Any, texts: list[str], languages: list[str] | None = None) -> np.ndarray:
    given = Given(texts, np.full((len(texts), 4), -1, np.int8), languages)
    return np.concatenate([block["tags"] for block in model.predict(given, HERE)])


@pytest.mark.parametrize("scope", ["language", "joint"])
def test_tfidf_has_a_classifier_per_class(scope: str, tmp_path: Path) -> None:
    def created() -> Any:
        return build_tfidf(configure(TfidfConfig, "tfidf", {}, [f"scope={scope}"]), CONTEXT)

    model, given = created(), Given(TEXTS, LABELS)
    model.fit(given, given, HERE)
    own = predicted(model, ["a cat", "the dog", "cat and dog", "nothing here", ""])
    assert (own[:4, :2] > 0.5).tolist() == [[True, False], [False, True], [True, True], [False, False]]
    # A class that no text or every text has keeps its share, as all do for an example without a text.
    np.testing.assert_allclose(own[:, 2:], [[0, 1]] * 5, atol=1e-6)
    np.testing.assert_allclose(own[4], [0.5, 0.5, 0, 1], atol=1e-6)
    # A language that is not in training gets the mean of all classifiers.
    np.testing.assert_allclose(predicted(model, ["a cat"], ["de"]), own[:1], atol=1e-6)
    # Two classes vary, so that there are two classifiers of as many features.
    features = len(model.parts["en" if scope == "language" else ""]["vectorizer"].vocabulary_)
    assert model.size().trained == 2 * (features + 1)
    model.save(tmp_path)
    loaded = created()
    loaded.load(tmp_path)
    np.testing.assert_array_equal(predicted(loaded, TEXTS), predicted(model, TEXTS))


def test_the_class_name_rule_gives_a_text_every_class_that_it_names() -> None:
    model = build_tfidf(configure(TfidfConfig, "tfidf", {}, ["mode=class-names", "certainty=0.9"]), CONTEXT)
    own = predicted(model, ["Cat, dog!", "nothing"])
    np.testing.assert_allclose(own, [[0.95, 0.95, 0, 0.1], [0.05, 0.05, 0, 0.1]], atol=1e-6)


@pytest.mark.parametrize("fusion", ["concat", "average"])
def test_logistic_late_fusion_has_a_regression_per_class(
    fusion: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    vectors = {"a cat": (1, 0), "the dog": (0, 1), "cat and dog": (1, 1), "nothing here": (0, 0)}

    def embedded(_: object, examples: Given, __: str) -> list[np.ndarray]:
        text = np.array([vectors.get(text, (0, 0)) for text in examples.texts], np.float32)
        return [np.zeros((len(text), 3), np.float32), text]

    monkeypatch.setattr(LogisticLateFusion, "_embed", embedded)
    changes = ["head=logistic", "c=100", f"fusion={fusion}"]
    model = build_late_fusion(configure(LateFusionConfig, "late-fusion", {}, changes), CONTEXT)
    given = Given(TEXTS, LABELS)
    model.fit(given, given, HERE)  # type: ignore[union-attr, arg-type]
    own = predicted(model, [*vectors, ""])
    assert (own[:4, :2] > 0.5).tolist() == [[True, False], [False, True], [True, True], [False, False]]
    rare = 1 / (1 + np.exp(-UNSEEN))
    np.testing.assert_allclose(own[:4, 2:], [[rare, 1 - rare]] * 4, atol=1e-6)
    np.testing.assert_allclose(own[4], [0.5, 0.5, 0, 1], atol=1e-6)


def test_embracenet_averages_log_odds_over_its_draws() -> None:
    changes = ["image_encoder=pixels:8", "text_encoder=bytes:16x8", "width=8", "eval_mode=ensemble", "ensemble_size=4"]
    changes += ["image_tuning.frozen=false", "text_tuning.frozen=false"]
    config = configure(EmbraceNetConfig, "embracenet", {}, changes)
    torch.manual_seed(0)
    model = EmbraceNet(config, CONTEXT).eval()
    docked, p = torch.rand(3, 2, 8), torch.full((3, 2), 0.5)
    one = EmbraceNet(config.model_copy(update={"ensemble_size": 1}), CONTEXT).eval()
    one.load_state_dict(model.state_dict())
    seeds = torch.arange(3)
    with torch.no_grad():
        first = one._classify(docked, p, seeds)[0]["tags"]
        # With equal docking outputs all draws agree, and so does their average.
        same = docked[:, :1].expand(3, 2, 8)
        torch.testing.assert_close(model._classify(same, p, seeds)[0]["tags"], model.terminal(same[:, 0])["tags"])
    assert first.logsumexp(1).abs().max() > 1e-3  # no log-probabilities

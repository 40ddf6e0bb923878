"""Text baselines: TF-IDF classifiers per language, and the class-name rule."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mmeval import FitContext, MissingExtraError, ModelContext, Task, UserError
from mmeval.plugin.configure import configure
from mmeval_tfidf import build
from mmeval_tfidf import model as module
from mmeval_tfidf.config import TfidfConfig
from mmeval_tfidf.model import Tfidf
from mmeval_tfidf.names import ClassNameRule, named_class, spaced

CONTEXT = ModelContext(
    (Task("kind", ("cat", "dog", "hot_dog")), Task("size.of", ("big", "small"))),
    {"kind": (5, 4, 1), "size.of": (1, 3)},
    ("de", "en"),
)


class Told:
    """Examples without a Store."""

    def __init__(self, rows: list[tuple[str, str, int, int]]) -> None:
        self.rows = rows
        self.texts, self.languages = [row[0] for row in rows], [row[1] for row in rows]

    def __len__(self) -> int:
        return len(self.rows)

    def labels(self, task: str) -> Any:
        return np.array([row[2 if task == "kind" else 3] for row in self.rows], np.int64)


ROWS = [
    *[("a cat sits", "en", 0, 0), ("the dog barks", "en", 1, 1), ("cat food", "en", 0, -1), ("dog house", "en", 1, 1)],
    *[("eine Katze", "de", 0, 1), ("ein Hund", "de", 1, 1), ("Katzen", "de", 0, 1), ("der Hund bellt", "de", 1, 1)],
    *[("", "de", 2, 0), ("gift", "de", 0, 1), ("gift", "de", 0, 1), ("gift", "en", 1, 1), ("gift", "en", 1, 0)],
]


def fitted(folder: Path, *changes: str) -> Tfidf:
    model = build(configure(TfidfConfig, "tfidf", {}, ["fewest=6", *changes]), CONTEXT)
    assert isinstance(model, Tfidf)
    told: Any = Told(ROWS)
    model.fit(told, told, FitContext(0, "cpu", folder))
    return model


def probabilities(model: Any, *texts: tuple[str, str]) -> dict[str, Any]:
    told: Any = Told([(text, language, -1, -1) for text, language in texts])
    (block,) = model.predict(told, FitContext(0, "cpu", Path()))
    for values in block.values():
        np.testing.assert_allclose(values.sum(1), 1, rtol=1e-5)
    return block  # type: ignore[no-any-return]


def test_each_language_has_its_own_classifier(tmp_path: Path) -> None:
    """The same word has another class in another language."""
    kind = probabilities(fitted(tmp_path), ("gift", "de"), ("gift", "en"), ("Katze", "de"), ("dog", "en"))["kind"]
    assert kind.argmax(1).tolist() == [0, 1, 0, 1]
    assert kind[:, 2].max() < 1e-6
    joint = probabilities(fitted(tmp_path, "scope=joint"), ("gift", "de"), ("gift", "en"))["kind"]
    np.testing.assert_array_equal(joint[0], joint[1])


def test_unseen_language_gets_the_mean_log_probability_of_all_others(tmp_path: Path) -> None:
    """Not an error, and not the prior."""
    model = fitted(tmp_path)
    kind = probabilities(model, ("Katze", "de"), ("Katze", "en"), ("Katze", "nl"))["kind"]
    expected = np.sqrt(kind[0] * kind[1])
    np.testing.assert_allclose(kind[2], expected / expected.sum(), rtol=1e-4, atol=1e-5)


def test_training_reports_progress(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One step per binary classifier of all languages and tasks; a million texts take an hour."""
    bars: list[list[Any]] = []

    @contextlib.contextmanager
    def progress(label: str, total: float | None, unit: str) -> Iterator[Any]:
        bars.append([label, total, unit, 0])
        yield lambda: bars[-1].append(bars[-1].pop() + 1)

    monkeypatch.setattr(module, "progress", progress, raising=False)
    fitted(tmp_path)
    # German texts are of two kinds and one size, English ones of two kinds and two sizes.
    assert bars == [["Training (seed 0)", 3, "classifiers", 3]]
    fitted(tmp_path, "scope=joint")
    assert bars[1:] == [["Training (seed 0)", 2, "classifiers", 2]]


@pytest.mark.parametrize("classes", [2, 3])
def test_classifier_matches_one_vs_rest_of_scikit_learn(classes: int) -> None:
    """Fitting class by class, which reports progress, changes nothing."""
    from scipy.sparse import csr_matrix
    from sklearn.linear_model import LogisticRegression
    from sklearn.multiclass import OneVsRestClassifier

    rng = np.random.default_rng(0)
    x, labels = csr_matrix(rng.random((60, 7))), np.array([0, 4, 7])[np.arange(60) % classes]
    how = {"solver": "liblinear", "random_state": 0}
    actual = module._one_against_the_rest(how, x, labels, lambda: None)
    expected = OneVsRestClassifier(LogisticRegression(**how)).fit(x, labels)
    assert vars(actual).keys() == vars(expected).keys()
    assert {type(estimator) for estimator in (actual.estimator, *actual.estimators_)} == {LogisticRegression}
    np.testing.assert_array_equal(actual.predict_proba(x), expected.predict_proba(x))


def test_n_grams_stay_within_words(tmp_path: Path) -> None:
    """A space only at the ends of a word; from `shortest` to `longest` characters; the most frequent n-grams."""
    names = fitted(tmp_path, "shortest=2", "longest=6").parts["en"]["vectorizer"].vocabulary_
    assert {len(name) for name in names} == {2, 3, 4, 5, 6}
    assert " cat " in names
    assert not [name for name in names if " " in name.strip()]
    few = fitted(tmp_path, "most_features=10").parts["en"]["vectorizer"].vocabulary_
    assert len(few) == 10
    assert {"t", " ", "g"} <= set(few)


def test_term_frequency_is_logarithmic(tmp_path: Path) -> None:
    """A feature is (1 + ln n) times the inverse document frequency, in single precision."""
    vectorizer = fitted(tmp_path).parts["en"]["vectorizer"]
    x = vectorizer.transform(["cat cat cat dog"])
    assert x.dtype == np.float32
    cat, dog = (
        x[0, vectorizer.vocabulary_[w]] / vectorizer.idf_[vectorizer.vocabulary_[w]] for w in (" cat ", " dog ")
    )
    assert cat / dog == pytest.approx(1 + np.log(3), rel=1e-5)


def test_options_reach_the_classifiers(tmp_path: Path) -> None:
    """Regularisation, iterations and seed; too few iterations raise no warning."""
    model = build(configure(TfidfConfig, "tfidf", {}, ["fewest=6", "c=3", "iterations=1"]), CONTEXT)
    told: Any = Told(ROWS)
    assert isinstance(model, Tfidf)
    model.fit(told, told, FitContext(7, "cpu", tmp_path))
    estimator = model.parts["en"]["task0"].estimators_[0]
    expected = {"C": 3, "max_iter": 1, "random_state": 7, "solver": "liblinear", "dual": True, "tol": 1e-3}
    assert {name: estimator.get_params()[name] for name in expected} == expected


def test_rows_without_text_or_label_are_ignored_in_training(tmp_path: Path) -> None:
    model = fitted(tmp_path, "scope=joint")
    assert model.parts[""]["task0"].classes_.tolist() == [0, 1]  # hot_dog stands at an empty text alone
    rows = [row for row in ROWS if row[0] and row[3] >= 0]
    only, told = build(configure(TfidfConfig, "tfidf", {}, ["scope=joint"]), CONTEXT), Told(rows)
    assert isinstance(only, Tfidf)
    only.fit(told, told, FitContext(0, "cpu", tmp_path))  # type: ignore[arg-type]
    assert only.parts[""]["task1"].classes_.tolist() == model.parts[""]["task1"].classes_.tolist() == [0, 1]


def test_languages_with_few_texts_share_a_classifier(tmp_path: Path) -> None:
    """Languages with many texts have their own."""
    model = fitted(tmp_path, "fewest=7")
    assert set(model.parts) == {""}
    kind = probabilities(model, ("gift", "de"), ("gift", "en"))["kind"]
    np.testing.assert_array_equal(kind[0], kind[1])


def test_without_a_text_it_predicts_the_class_prior(tmp_path: Path) -> None:
    for model in (fitted(tmp_path), build(configure(TfidfConfig, "tfidf", {}, ["mode=class-names"]), CONTEXT)):
        np.testing.assert_allclose(probabilities(model, (" ", "de"))["kind"][0], [0.5, 0.4, 0.1], rtol=1e-6)


def test_a_task_with_one_class_in_a_language_gets_the_prior(tmp_path: Path) -> None:
    """All German texts are small, so there is no classifier to fit."""
    np.testing.assert_allclose(probabilities(fitted(tmp_path), ("Katze", "de"))["size.of"][0], [0.25, 0.75])


def test_saved_model_predicts_the_same(tmp_path: Path) -> None:
    """And its files contain no pickle."""
    model = fitted(tmp_path)
    model.save(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0.skops", "1.skops", "languages.json"]
    again = build(TfidfConfig(), CONTEXT)
    again.load(tmp_path)
    question = [("gift", "de"), ("dog", "en"), ("Katze", "nl")]
    np.testing.assert_array_equal(probabilities(again, *question)["kind"], probabilities(model, *question)["kind"])
    with pytest.raises(UserError, match="does not hold a tfidf model"):
        again.load(tmp_path / "elsewhere")


def test_wrong_options_and_missing_packages_raise_user_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match=r"longest \(2\) is less than shortest \(3\)"):
        configure(TfidfConfig, "tfidf", {}, ["shortest=3", "longest=2"])
    monkeypatch.setitem(sys.modules, "skops.io", None)
    with pytest.raises(MissingExtraError, match=r'tfidf needs the package "skops".*\[demo\]'):
        build(TfidfConfig(), CONTEXT)


def test_class_name_rule_matches_whole_words_and_the_longest_name() -> None:
    """`Hot-Dog!` is a hot_dog and not a dog; a catalogue is not a cat; Chinese has no space between words."""
    texts = ["Hot-Dog!", "my DOG", "a catalogue", "dog and cat", "ＣＡＴ", ""]
    assert named_class([spaced(text) for text in texts], CONTEXT.tasks[0].classes).tolist() == [2, 1, -1, 0, 0, -1]
    assert named_class([spaced("我的狗很大")], ("猫", "狗")).tolist() == [1]


def test_class_name_rule_shares_the_rest_by_frequency() -> None:
    """A text without a class name gets the prior."""
    rule = build(configure(TfidfConfig, "tfidf", {}, ["mode=class-names", "certainty=0.8"]), CONTEXT)
    assert isinstance(rule, ClassNameRule)
    assert not hasattr(rule, "fit")
    predicted = probabilities(rule, ("a dog", "en"), ("a bird", "en"))
    np.testing.assert_allclose(predicted["kind"][0], [0.1, 0.88, 0.02], rtol=1e-5)
    np.testing.assert_allclose(predicted["kind"][1], [0.5, 0.4, 0.1], rtol=1e-5)
    np.testing.assert_allclose(predicted["size.of"][0], [0.25, 0.75], rtol=1e-5)

"""TF-IDF of character n-grams and logistic regression, per language (scikit-learn)."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmeval import Examples, FitContext, MissingExtraError, ModelContext, ModelSize, UserError, progress
from mmeval_tfidf.config import TfidfConfig
from mmeval_tfidf.names import BLOCK, prior

ALL = ""
"""Key of the classifiers that all languages share, or all languages with few texts."""
INDEX = "languages.json"


class Tfidf:
    """A TF-IDF vectoriser and one classifier per task, for each language or for all languages together."""

    def __init__(self, config: TfidfConfig, context: ModelContext) -> None:
        """Check that scikit-learn and skops are installed.

        Raises:
            MissingExtraError: one of them is not.
        """
        for package, module in (("scikit-learn", "sklearn"), ("skops", "skops.io")):
            try:
                __import__(module)
            except ImportError:
                raise MissingExtraError("The model tfidf", package, "demo") from None
        self.config, self.context = config, context
        self.parts: dict[str, dict[str, Any]] = {}
        """By language: ``vectorizer``, and classifiers ``task0``, ``task1``, ... of tasks with two or more classes. A
        classifier of a multi-label task has beside it the indices of its classes, ``classes0``, ...: those that some
        texts have and some lack."""

    def fit(self, train: Examples, validation: Examples, context: FitContext) -> Mapping[str, Any]:  # noqa: ARG002
        """Fit classifiers for each task, per language or for all; return the number of classifiers and of n-grams.

        Raises:
            UserError: no text is long enough for an n-gram.
        """
        texts, languages = np.asarray(train.texts, dtype=object), np.asarray(train.languages)
        labels = {task.name: train.labels(task.name) for task in self.context.tasks}
        shown = np.array([bool(text.strip()) for text in train.texts], bool)
        own = {name for name in set(languages) if (shown & (languages == name)).sum() >= self.config.fewest}
        of = np.where(np.isin(languages, list(own if self.config.scope == "language" else ())), languages, ALL)
        rows = {str(language): shown & (of == language) for language in np.unique(of[shown])}
        known = {key: {name: values[here] for name, values in labels.items()} for key, here in rows.items()}
        total = sum(_classifier_count(values) for tasks in known.values() for values in tasks.values())
        self.parts = {}
        with progress(f"Training (seed {context.seed})", total, "classifiers") as advance:
            for language, here in rows.items():
                self.parts[language] = self._fitted(list(texts[here]), known[language], context.seed, advance)
        return {"classifiers": len(self.parts), "text_features": self._features()}

    def predict(self, examples: Examples, context: FitContext) -> Iterator[dict[str, NDArray[np.float32]]]:  # noqa: ARG002
        """Yield blocks of probabilities ``{task: [n, classes]}``; the class prior for examples without a text."""
        for start in range(0, len(examples), BLOCK):
            texts = np.asarray(examples.texts[start : start + BLOCK], dtype=object)
            languages = np.asarray(examples.languages[start : start + BLOCK])
            block = {t.name: np.tile(prior(self.context, t.name), (len(texts), 1)) for t in self.context.tasks}
            shown = np.array([bool(text.strip()) for text in texts], bool)
            for language in np.unique(languages):
                self._fill(block, np.flatnonzero(shown & (languages == language)), texts, str(language))
            yield block

    def size(self) -> ModelSize:
        """Return the number of coefficients and intercepts of all classifiers."""
        classifiers = [value for part in self.parts.values() for key, value in part.items() if key.startswith("task")]
        fitted = [estimator for classifier in classifiers for estimator in classifier.estimators_]
        # A class that all examples have, or none, has a constant without coefficients.
        return ModelSize(sum(each.coef_.size + each.intercept_.size for each in fitted if hasattr(each, "coef_")))

    def save(self, folder: Path) -> None:
        """Write one skops file per language."""
        from skops.io import dump

        for number, part in enumerate(self.parts.values()):
            dump(part, folder / f"{number}.skops")
        (folder / INDEX).write_text(json.dumps(list(self.parts)), encoding="utf-8")

    def load(self, folder: Path) -> None:
        """Read the files of :meth:`save`; skops loads only types that it trusts.

        Raises:
            UserError: the folder does not hold a tfidf model.
        """
        from skops.io import load

        try:
            languages = json.loads((folder / INDEX).read_text(encoding="utf-8"))
            self.parts = {language: load(folder / f"{n}.skops") for n, language in enumerate(languages)}
        except (OSError, ValueError) as error:
            raise UserError(f"{folder} does not hold a tfidf model: {error}.") from None

    def _fitted(
        self, texts: list[str], labels: Mapping[str, NDArray[Any]], seed: int, advance: Callable[..., None]
    ) -> dict[str, Any]:
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.feature_extraction.text import TfidfVectorizer

        config = self.config
        vectorizer = TfidfVectorizer(
            analyzer="char_wb",
            ngram_range=(config.shortest, config.longest),
            sublinear_tf=True,
            max_features=config.most_features,
            dtype=np.float32,
        )
        try:
            features = vectorizer.fit_transform(texts)
        except ValueError:
            raise UserError("No text of the training split is long enough for --set shortest; lower it.") from None
        part: dict[str, Any] = {"vectorizer": vectorizer}
        for number, values in enumerate(labels.values()):
            if values.ndim == 2:
                known = values[:, 0] >= 0
                varying = np.flatnonzero(_varies(values[known]))
                part[f"classes{number}"], targets = varying, values[known][:, varying]
            else:
                known = values >= 0
                targets = values[known]
            if _classifier_count(values):
                # One-vs-rest in the dual is ten times as fast as one multinomial model, and as good.
                how: dict[str, Any] = {"C": config.c, "max_iter": config.iterations, "tol": 1e-3, "random_state": seed}
                how |= {"solver": "liblinear", "dual": True}
                with warnings.catch_warnings():
                    # The user sets the number of iterations, and stopping early does not hurt the classifier.
                    warnings.simplefilter("ignore", ConvergenceWarning)
                    part[f"task{number}"] = _one_against_the_rest(how, features[known], targets, advance)
        return part

    def _fill(
        self, block: dict[str, NDArray[np.float32]], rows: NDArray[np.int64], texts: NDArray[Any], language: str
    ) -> None:
        """Write the probabilities of ``rows``, all in one ``language``, into ``block``.

        A language that is not in training gets the mean log-probability of all classifiers.
        """
        if not len(rows):
            return
        own = [self.parts[name] for name in (language, ALL) if name in self.parts]
        trained = language in self.context.languages
        parts = own[:1] if own and trained else list(self.parts.values())
        features = [part["vectorizer"].transform(list(texts[rows])) for part in parts]
        for number, task in enumerate(self.context.tasks):
            key = f"task{number}"
            classifiers = [(part[key], x) for part, x in zip(parts, features, strict=True) if key in part]
            if classifiers and task.multilabel:
                indices = [part[f"classes{number}"] for part in parts if key in part]
                usual = _log_odds(block[task.name][rows])
                odds = [_class_log_odds(*own, at, usual) for own, at in zip(classifiers, indices, strict=True)]
                block[task.name][rows] = 1 / (1 + np.exp(-np.mean(odds, 0)))
            elif classifiers:
                logs = [_log_probabilities(classifier, x, len(task.classes)) for classifier, x in classifiers]
                block[task.name][rows] = _softmax(np.mean(logs, 0))

    def _features(self) -> int:
        return sum(len(part["vectorizer"].vocabulary_) for part in self.parts.values())


def _classifier_count(labels: NDArray[Any]) -> int:
    """Return the number of binary classifiers for a task: one per class, but one for two classes, none for one.

    A multi-label task has one for each class that some texts have and some lack.
    """
    if labels.ndim == 2:
        return int(_varies(labels[labels[:, 0] >= 0]).sum())
    classes = len(np.unique(labels[labels >= 0]))
    return classes if classes > 2 else max(classes - 1, 0)


def _one_against_the_rest(options: Mapping[str, Any], x: Any, labels: Any, advance: Callable[[], None]) -> Any:  # noqa: ANN401 - theirs
    """Fit ``OneVsRestClassifier(LogisticRegression(**options))``, with a call of ``advance`` after each class.

    scikit-learn has no progress callback.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.multiclass import OneVsRestClassifier

    class Reporting(LogisticRegression):  # type: ignore[misc, unused-ignore]
        def fit(self, *arguments: Any) -> Reporting:  # noqa: ANN401
            super().fit(*arguments)
            self.__class__ = LogisticRegression  # skops can load this class only
            advance()
            return self

    classifier = OneVsRestClassifier(Reporting(**options)).fit(x, labels)
    classifier.estimator = LogisticRegression(**options)
    return classifier


def _log_probabilities(classifier: Any, vectors: Any, classes: int) -> NDArray[np.float64]:  # noqa: ANN401 - theirs
    out = np.full((vectors.shape[0], classes), 1e-9)
    out[:, classifier.classes_] += classifier.predict_proba(vectors)
    return np.log(out)


def _varies(labels: NDArray[Any]) -> NDArray[np.bool_]:
    """Return which classes of a multi-label task some of the texts have and some lack, bool ``[classes]``."""
    return np.asarray((labels == 1).any(0) & (labels == 0).any(0))


def _log_odds(probabilities: NDArray[np.floating]) -> NDArray[np.float64]:
    p = np.clip(probabilities.astype(np.float64), 1e-9, 1 - 1e-9)
    return np.asarray(np.log(p) - np.log1p(-p))


def _class_log_odds(
    classifier: Any,  # noqa: ANN401 - theirs
    vectors: Any,  # noqa: ANN401
    classes: NDArray[np.int64],
    usual: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Return the log odds ``[n, all classes]``: those of the classifier for ``classes``, ``usual`` for all others."""
    odds = usual.copy()
    odds[:, classes] = _log_odds(classifier.predict_proba(vectors).reshape(len(usual), -1)[:, -len(classes) :])
    return odds


def _softmax(logs: NDArray[np.float64]) -> NDArray[np.float32]:
    exponentials = np.exp(logs - logs.max(1, keepdims=True))
    probabilities: NDArray[np.float32] = (exponentials / exponentials.sum(1, keepdims=True)).astype(np.float32)
    return probabilities

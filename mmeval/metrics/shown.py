"""The examples that a report shows: confident mistakes, unsure and correct predictions of every language."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mmeval.api.task import Task
from mmeval.metrics.multilabel import predicted_classes
from mmeval.metrics.predictions import has_probabilities, probabilities

NO_CLASS = "(none)"
"""The name of an empty set of classes."""
Kind = Literal["mistake", "unsure", "correct"]
KINDS: tuple[Kind, ...] = ("mistake", "unsure", "correct")
"""A confident mistake; a prediction, right or wrong, with little confidence; a confident prediction that is right."""
CANDIDATES = 2
"""Examples of each kind that are remembered for each language and class while a file is read."""


class Shown(NamedTuple):
    """An example that a report shows."""

    id: str
    language: str
    true: str
    """The true class; of a multi-label task all true classes, joined by commas."""
    predicted: str
    """The predicted class, or all predicted classes likewise."""
    confidence: float
    """Probability of the predicted class. Of a multi-label task: the largest probability of a wrong decision, of a
    class that the example lacks, or 1 - that of a class that it has; without a wrong decision, that of the least
    certain decision."""
    kind: Kind = "mistake"


class _Candidate(NamedTuple):
    shown: Shown
    cluster: str
    group: str
    """The class that the choice of examples spreads over."""


def shown_examples(path: Path, task: Task, counts: Mapping[Kind, int]) -> list[Shown]:
    """Return examples of every language of one task: mistakes first, the most confident ones before others.

    The examples of a language are spread over the classes. An image that is classified wrongly in one language tends
    to be wrong in all, so that a cluster is shown again only if a language has no other. Predictions without
    probabilities have no confidence, and so no such examples. No example is shown twice.

    Args:
        path: the predictions file.
        task: the task.
        counts: number of examples of each language, by kind.

    Raises:
        RunFolderError: the predictions file is damaged.
    """
    if not has_probabilities(path, task):
        return []
    candidates = _candidates(path, task, [kind for kind in KINDS if counts.get(kind)])
    used: set[str] = set()
    chosen: list[Shown] = []
    for kind in KINDS:
        ids = {shown.id for shown in chosen}
        by_language = {
            language: [each for each in own if each.shown.id not in ids]
            for language, own in candidates.get(kind, {}).items()
        }
        own = _choose(by_language, counts.get(kind, 0), used)
        chosen += sorted(own, key=lambda shown: shown.confidence if kind == "unsure" else -shown.confidence)
    return chosen


def _choose(by_language: Mapping[str, list[_Candidate]], count: int, used: set[str]) -> list[Shown]:
    """Choose up to ``count`` candidates of each language in turns; ``used`` are the clusters that were chosen."""
    classes: Counter[str] = Counter()
    left = {language: list(own) for language, own in sorted(by_language.items())}
    chosen = []
    for _ in range(count):
        for own in left.values():
            if own:
                # Candidates stand in the order of preference; `min` takes the first of equally good ones.
                best = min(own, key=lambda each: (each.cluster in used, classes[each.group]))
                own.remove(best)
                used.add(best.cluster)
                classes[best.group] += 1
                chosen.append(best.shown)
    return chosen


def _candidates(path: Path, task: Task, kinds: list[Kind]) -> dict[Kind, dict[str, list[_Candidate]]]:
    """Return the candidates by kind and language, the preferred ones first: a few of each language and class."""
    kept: dict[tuple[Kind, str, str], list[_Candidate]] = {}
    for batch, matrix in probabilities(path, task):
        examples = _multilabel(batch, matrix, task) if task.multilabel else _single_label(batch, matrix, task, kinds)
        for each in examples:
            if each.shown.kind in kinds:
                _keep(kept.setdefault((each.shown.kind, each.shown.language, each.group), []), each)
    result: dict[Kind, dict[str, list[_Candidate]]] = {}
    for (kind, language, _), own in kept.items():
        result.setdefault(kind, {}).setdefault(language, []).extend(own)
    for by_language in result.values():
        for own in by_language.values():
            own.sort(key=_preference)
    return result


def _keep(kept: list[_Candidate], candidate: _Candidate) -> None:
    """Add a candidate to the best ones of its language and class, of different clusters."""
    for at, other in enumerate(kept):
        if other.cluster == candidate.cluster:
            if _preference(candidate) < _preference(other):
                kept[at] = candidate
            break
    else:
        kept.append(candidate)
    kept.sort(key=_preference)
    del kept[CANDIDATES:]


def _preference(candidate: _Candidate) -> tuple[float, str]:
    """Return the key by which candidates are sorted; the id makes it independent of the order of reading."""
    confidence = candidate.shown.confidence
    return (confidence if candidate.shown.kind == "unsure" else -confidence, candidate.shown.id)


def _single_label(
    batch: pa.RecordBatch, matrix: NDArray[np.float32], task: Task, kinds: list[Kind]
) -> Iterator[_Candidate]:
    """Yield the candidates of a batch: for each kind, language and true class the best rows."""
    labels = batch.column(task.name)
    names = labels.dictionary_encode() if not isinstance(labels, pa.DictionaryArray) else labels
    position = {name: index for index, name in enumerate(task.classes)}
    index = np.array([*(position.get(name, -1) for name in names.dictionary.to_pylist()), -1])
    true = index[np.asarray(names.indices.fill_null(len(index) - 1))]
    guess = matrix.argmax(1)
    confidence = matrix[np.arange(len(guess)), guess]
    language = batch.column("language").dictionary_encode()
    group = np.asarray(language.indices).astype(np.int64) * len(task.classes) + true
    for kind in kinds:
        rows = np.flatnonzero((true >= 0) & _is(kind, guess == true))
        order = rows[np.lexsort((confidence[rows] if kind == "unsure" else -confidence[rows], group[rows]))]
        place = np.arange(len(order)) - np.searchsorted(group[order], group[order])
        # More than the number that is kept, because several rows may share a cluster.
        for row in order[place < 4 * CANDIDATES].tolist():
            name = task.classes[true[row]]
            shown = Shown(
                str(batch.column("id")[row]),
                str(batch.column("language")[row]),
                name,
                task.classes[guess[row]],
                float(confidence[row]),
                kind,
            )
            yield _Candidate(shown, str(batch.column("cluster")[row]), name)


def _is(kind: Kind, hit: NDArray[np.bool_]) -> NDArray[np.bool_]:
    return {"mistake": ~hit, "unsure": np.ones_like(hit), "correct": hit}[kind]


def _multilabel(batch: pa.RecordBatch, scores: NDArray[np.float32], task: Task) -> Iterator[_Candidate]:
    """Yield the labelled rows of a batch on a multi-label task: each as a mistake or as correct, and as unsure."""
    predicted = predicted_classes(scores)
    ids, languages, clusters = (batch.column(name).to_pylist() for name in ("id", "language", "cluster"))
    for row, own in enumerate(batch.column(task.name).to_pylist()):
        if own is None:
            continue
        true = np.isin(task.classes, own)
        wrong = true != predicted[row]
        names = (_names(task, true), _names(task, predicted[row]))
        certainty = np.where(predicted[row], scores[row], 1 - scores[row])
        group = task.classes[int((wrong if wrong.any() else true).argmax())] if (wrong | true).any() else NO_CLASS
        best = certainty[wrong].max() if wrong.any() else certainty.min()
        kinds: tuple[tuple[Kind, float], ...] = (
            ("mistake" if wrong.any() else "correct", float(best)),
            ("unsure", float(certainty.min())),
        )
        for kind, confidence in kinds:
            yield _Candidate(Shown(ids[row], languages[row], *names, confidence, kind), clusters[row], group)


def _names(task: Task, classes: NDArray[np.bool_]) -> str:
    return ", ".join(task.classes[index] for index in np.flatnonzero(classes)) or NO_CLASS

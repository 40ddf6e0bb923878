"""The rows that several runs share: their predictions brought into one order, and everything in which they differ."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from mmeval.api.task import Task
from mmeval.comparison.label_sets import SUBSET_ACCURACY, label_set_outcomes
from mmeval.errors import RunFolderError, UserError
from mmeval.metrics.counts import FROM_COUNTS, macro_f1, weighted_f1
from mmeval.metrics.multilabel import micro_f1
from mmeval.metrics.outcomes import Codes, Outcomes, Predictions

Ints = NDArray[np.int32]
CountMetric = Callable[..., NDArray[np.floating]]
"""A function of counts of classes and their axis."""


@dataclass(frozen=True, eq=False)
class SeedOutcomes:
    """The predictions of one training seed, in the order of the reference."""

    predicted: Ints
    """Predicted classes ``[n]``, as numbers of :attr:`Alignment.classes`; -1 in rows that the run lacks."""
    confidence: NDArray[np.float32] | None
    """Probability of the predicted class ``[n]``."""
    values: NDArray[np.float64]
    """Value of the metric ``[n]``, or hits for a metric that is computed from counts of classes."""


@dataclass(eq=False)
class Alignment:
    """The labelled rows of one task that all runs share, in the order of the first run.

    ``add`` each training seed of each run. Runs that differ in rows, labels, languages or clusters are refused, or, if
    ``force``, compared on the rows that agree.
    """

    first: str
    """Name of the first run, for messages."""
    ids: pa.Array
    languages: Codes
    clusters: Codes
    true: Ints
    classes: list[str]
    """Class names; those that only later runs have stand at the end."""
    task: str
    metric: str
    is_multilabel: bool = False
    """Whether the classes are sets of labels, see :mod:`mmeval.comparison.label_sets`."""
    force: bool = False
    shared: NDArray[np.bool_] = field(init=False)
    """Whether all runs have a row with this id, label and language ``[n]``."""
    problems: list[str] = field(default_factory=list)
    """The differences that ``force`` allowed, as sentences."""
    notes: list[str] = field(default_factory=list)
    cluster_source: str = ""
    """Name of the run whose clusters are used."""

    def __post_init__(self) -> None:
        self.shared = np.ones(len(self.ids), bool)
        self.cluster_source = self.cluster_source or self.first

    @classmethod
    def start(
        cls, name: str, predictions: Predictions, task: str, metric: str | None, *, force: bool = False
    ) -> Alignment:
        """Take the rows of a run's predictions as the reference.

        Args:
            name: name of the run.
            predictions: its predictions.
            task: the task.
            metric: the metric; None: top-1, or subset accuracy of a multi-label task.
            force: compare runs that differ on the rows that agree.

        Raises:
            UserError: there is no such task, or no row has a label of it.
        """
        outcomes, own_task = _outcomes_of(name, predictions, task)
        is_multilabel = task in predictions.multilabel
        rows = np.flatnonzero(outcomes.true >= 0)
        if not len(rows):
            raise UserError(f'No row of {name} has a label of the task "{task}", so there is nothing to compare.')
        return cls(
            first=name,
            ids=_array(predictions.ids).take(pa.array(rows)),
            languages=predictions.languages.take(rows),
            clusters=predictions.clusters.take(rows),
            true=outcomes.true[rows],
            classes=list(own_task.classes),
            task=task,
            metric=metric or (SUBSET_ACCURACY if is_multilabel else "top1"),
            is_multilabel=is_multilabel,
            force=force,
        )

    def add(self, name: str, predictions: Predictions, seed: int | None = None) -> SeedOutcomes:
        """Bring the predictions of one seed of a run into the order of the reference.

        Args:
            name: name of the run, for messages.
            predictions: its predictions.
            seed: the training seed, for messages; None: the run has a single one.

        Raises:
            RunFolderError: ids, labels, languages or clusters differ; the message says how many and names an example.
            UserError: the run lacks the task or the metric.
        """
        outcomes, own_task = _outcomes_of(name, predictions, self.task)
        if (self.task in predictions.multilabel) != self.is_multilabel:
            raise UserError(f"{self.task} is a multi-label task in only one of the runs {self.first} and {name}.")
        values = self._values(name, outcomes)
        label = name if seed is None else f"{name} (seed {seed})"
        position = self._positions(label, predictions, outcomes)
        found = position >= 0
        at = np.where(found, position, 0)
        translated = self._class_codes(own_task)
        self._compare_labels(label, translated, outcomes.true[at], found)
        self._compare_languages(label, predictions.languages.take(at), found)
        self._compare_clusters(name, predictions.clusters.take(at), found)
        predicted = translated[outcomes.predicted[at]]
        predicted[~found] = -1
        confidence = None if outcomes.confidence is None else outcomes.confidence[at]
        return SeedOutcomes(predicted, confidence, values[at])

    def _positions(self, name: str, predictions: Predictions, outcomes: Outcomes) -> NDArray[np.int64]:
        """Return the row number of each reference row in other predictions, -1 where they lack it."""
        labelled = np.flatnonzero(outcomes.true >= 0)
        ids = _array(predictions.ids)
        if len(labelled) == len(self.ids) and ids.take(pa.array(labelled)).equals(self.ids):
            return labelled
        # Unlabelled rows take part, so that a missing label is told from a missing row.
        found = pc.index_in(self.ids, value_set=ids)
        position: NDArray[np.int64] = np.asarray(found.fill_null(-1)).astype(np.int64)
        more = ids.take(pa.array(labelled)).filter(
            pc.invert(pc.is_in(ids.take(pa.array(labelled)), value_set=self.ids))
        )
        missing = np.flatnonzero(position < 0)
        if len(missing) or len(more):
            parts = []
            if len(missing):
                parts.append(
                    f"it lacks {len(missing):,} of the {len(self.ids):,} rows of {self.first} "
                    f"(such as {self._id(missing)})"
                )
            if len(more):
                parts.append(
                    f"it has {len(more):,} labelled rows that {self.first} lacks or has no label of "
                    f'(such as "{more[0]}")'
                )
            self._differ(f"{name} has other rows than {self.first}: {' and '.join(parts)}")
            self.shared &= position >= 0
        return position

    def _class_codes(self, task: Task) -> Ints:
        """Return the number in ``classes`` of each class of another run's task; new classes are appended."""
        number = {known: code for code, known in enumerate(self.classes)}
        for class_name in task.classes:
            if class_name not in number:
                number[class_name] = len(self.classes)
                self.classes.append(class_name)
        # The last entry translates -1, no label.
        return np.array([*(number[class_name] for class_name in task.classes), -1], np.int32)

    def _compare_labels(self, name: str, translated: Ints, true: Ints, found: NDArray[np.bool_]) -> None:
        differ = found & (translated[true] != self.true)
        if differ.any():
            row = int(np.flatnonzero(differ)[0])
            theirs = int(translated[true[row]])
            label = f'"{self.classes[theirs]}"' if theirs >= 0 else "no label"
            self._differ(
                f"{name} has other labels of {self.task} than {self.first} in {_count(differ)} of {len(self.ids):,} "
                f'rows (such as {self._id([row])}: {label}, not "{self.classes[self.true[row]]}")'
            )
            self.shared &= ~differ

    def _compare_languages(self, name: str, languages: Codes, found: NDArray[np.bool_]) -> None:
        differ = found & _differing(self.languages, languages)
        if differ.any():
            row = int(np.flatnonzero(differ)[0])
            theirs, mine = (codes.names[codes.codes[row]] for codes in (languages, self.languages))
            self._differ(
                f"{name} has other languages than {self.first} in {_count(differ)} of {len(self.ids):,} rows "
                f'(such as {self._id([row])}: "{theirs}", not "{mine}")'
            )
            self.shared &= ~differ

    def _compare_clusters(self, name: str, clusters: Codes, found: NDArray[np.bool_]) -> None:
        """Check that the same rows share clusters; the names of clusters don't matter."""
        mine, theirs = self.clusters.codes[found].astype(np.int64), clusters.codes[found].astype(np.int64)
        if not len(mine):
            return
        both = len(np.unique(mine * (int(theirs.max()) + 1) + theirs))
        own, other = len(np.unique(mine)), len(np.unique(theirs))
        if both == own == other or other == len(theirs):
            if other != own:
                self._note_clusters(name, self.cluster_source)
            return
        if own == len(mine) and found.all():
            self._note_clusters(self.cluster_source, name)
            self.clusters, self.cluster_source = clusters, name
            return
        differ = found & _differing(self.clusters, clusters)
        self._differ(
            f"{name} groups the rows into other clusters than {self.cluster_source}: {other:,} clusters, not {own:,}; "
            f"the names of clusters differ in {_count(differ)} of {len(self.ids):,} rows"
            + (f" (such as {self._id(np.flatnonzero(differ))})" if differ.any() else "")
        )

    def _values(self, name: str, outcomes: Outcomes) -> NDArray[np.float64]:
        """Return the metric's value of each row; hits for a metric that is computed from counts of classes."""
        counted = count_metrics(multilabel=self.is_multilabel)
        if self.metric in counted:
            return outcomes.hits.astype(np.float64)
        if self.metric not in outcomes.values:
            known = ", ".join([*outcomes.values, *counted])
            only = ""
            if outcomes.confidence is None and not self.is_multilabel:
                only = " since its predictions are labels without probabilities"
            raise UserError(f'{name} has no metric "{self.metric}" of {self.task}{only}; --metric can be: {known}.')
        return np.asarray(outcomes.values[self.metric], np.float64)

    def _note_clusters(self, without: str, with_clusters: str) -> None:
        note = f"{without} has a cluster of its own for every row; the clusters are those of {with_clusters}."
        if note not in self.notes:
            self.notes.append(note)

    def _id(self, rows: NDArray[np.int64] | list[int]) -> str:
        return f'"{self.ids[int(rows[0])]}"'

    def _differ(self, problem: str) -> None:
        """Refuse a difference, or record it if ``force``."""
        if not self.force:
            raise RunFolderError(
                f"{problem}; compare runs of the same rows, or add --force to compare the rows on which the runs agree."
            )
        if f"{problem}." not in self.problems:
            self.problems.append(f"{problem}.")


def _differing(mine: Codes, theirs: Codes) -> NDArray[np.bool_]:
    from mmeval.metrics.same_examples import same_names

    return ~np.asarray(same_names(mine, theirs), bool)


def _count(mask: NDArray[np.bool_]) -> str:
    return f"{int(mask.sum()):,}"


def _array(ids: pa.ChunkedArray | pa.Array) -> pa.Array:
    if not isinstance(ids, pa.ChunkedArray):
        return ids
    return ids.combine_chunks() if ids.num_chunks else pa.array([], pa.string())


def first_task(predictions: Predictions) -> str:
    """Return the name of the first task of the data set."""
    return predictions.order[0] if predictions.order else predictions.tasks[0].name


def count_metrics(*, multilabel: bool) -> dict[str, CountMetric]:
    """Return the metrics of a task that are computed from counts of classes."""
    if not multilabel:
        return dict(FROM_COUNTS)
    return {"micro_f1": micro_f1, "macro_f1": macro_f1, "weighted_f1": weighted_f1}


def _outcomes_of(name: str, predictions: Predictions, task: str) -> tuple[Outcomes, Task]:
    """Return the outcomes of a task and the task; of a multi-label task those of its sets of labels."""
    if task in predictions.multilabel:
        return label_set_outcomes(predictions.multilabel[task])
    if task not in predictions.outcomes:
        has = ", ".join(predictions.order or [each.name for each in predictions.tasks])
        raise UserError(
            f'{name} has no predictions of the task "{task}"; its tasks are: {has}. Choose a task that all runs have '
            "with --task; predictions of another tool get the name of their task with `mmeval score FILE --task NAME`."
        )
    return predictions.outcomes[task], next(each for each in predictions.tasks if each.name == task)


def values_by_run(seeds: Mapping[int, SeedOutcomes], rows: NDArray[np.integer]) -> NDArray[np.float64]:
    """Return the metric's values of some rows, one row per seed: ``[S, n]``."""
    return np.stack([outcomes.values[rows] for outcomes in seeds.values()])

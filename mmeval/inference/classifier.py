"""The classifier of a run, or of an ensemble of runs: predictions for new rows, and for a single example."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mmeval.api.task import Task
from mmeval.console import note, progress
from mmeval.data.languages import UNDETERMINED, complaint, language_of
from mmeval.data.prepare.image import StoredImage, convert
from mmeval.data.reading.files import read_image
from mmeval.data.request import DatasetRequest
from mmeval.engine.predict import Block
from mmeval.engine.transient import TransientEmbeddings
from mmeval.errors import DataError, UserError
from mmeval.inference.chunk import Chunk, chunks
from mmeval.inference.embeddings import embeddings, only
from mmeval.inference.embeddings import schema as embedding_schema
from mmeval.inference.member import Member
from mmeval.inference.results import REJECTED, ResultOptions, counts, result_table, schema, top
from mmeval.inference.rows import NewRows, RowOptions, RunColumns, image_source, is_missing
from mmeval.metrics.multilabel import predicted_classes
from mmeval.protocol import Inputs

SHOWN = 3
"""Rejected rows that a message names."""


@dataclass(frozen=True)
class Classified:
    """A chunk of rows with the outputs of the model for its usable rows."""

    chunk: Chunk
    probabilities: Block
    """``[n, classes]`` by task, ``n`` being the usable rows."""
    embeddings: NDArray[np.float32] | None = None
    """The fused vectors ``[n, D]``, if they were asked for."""


@dataclass(frozen=True)
class TaskPrediction:
    """The prediction of one task for one example."""

    label: str | tuple[str, ...] | None
    """The class; the classes of a multi-label task; None if the model abstained."""
    probability: float
    """Of the class; of a multi-label task, of its least certain decision."""
    top: tuple[tuple[str, float], ...]
    """The most probable classes with their probabilities, the most probable first."""

    def __repr__(self) -> str:
        """Return ``shoes (.93)``."""
        label = " + ".join(self.label) if isinstance(self.label, tuple) else self.label
        name = "abstained" if label is None else label or "none"
        return f"{name} ({self.probability:.2f})"


@dataclass(frozen=True)
class ExamplePrediction:
    """The predictions for one example; those of the first task are also here."""

    tasks: Mapping[str, TaskPrediction]
    """By task."""

    @property
    def label(self) -> str | tuple[str, ...] | None:
        """The class of the first task."""
        return next(iter(self.tasks.values())).label

    @property
    def probability(self) -> float:
        """The probability of that class."""
        return next(iter(self.tasks.values())).probability

    @property
    def top(self) -> tuple[tuple[str, float], ...]:
        """The most probable classes of the first task."""
        return next(iter(self.tasks.values())).top

    def __repr__(self) -> str:
        """Return ``ExamplePrediction(category: shoes (.93), colour: red (.71))``."""
        return f"ExamplePrediction({', '.join(f'{task}: {own!r}' for task, own in self.tasks.items())})"


@dataclass
class Tally:
    """Rows, rejected rows and abstentions of a prediction, for the message at its end."""

    rows: int = 0
    rejected: int = 0
    abstained: int = 0
    examples: list[str] = field(default_factory=list)
    """The first rejected rows, with the reasons."""

    def add(self, table: pa.Table, tasks: Sequence[Task]) -> None:
        """Add the rows of a table of results."""
        own = counts(table, tasks)
        self.rows += own["rows"]
        self.rejected += own["rejected"]
        self.abstained += own["abstained"]

    def note_rejected(self, chunk: Chunk) -> None:
        """Keep the first rejected rows as examples."""
        for row in chunk.rejected:
            if row and len(self.examples) < SHOWN:
                self.examples.append(f"{row.where}: {row.reason}")

    def note_reasons(self, table: pa.Table) -> None:
        """Keep the first rejected rows of a table of results as examples."""
        for identity, reason in zip(table["id"].to_pylist(), table[REJECTED].to_pylist(), strict=True):
            if reason and len(self.examples) < SHOWN:
                self.examples.append(f"{identity}: {reason}")

    def announce(self) -> None:
        """Tell the user how many rows were rejected, where and why."""
        if self.rejected:
            more = "; ..." if self.rejected > len(self.examples) else ""
            examples = f", for example {'; '.join(self.examples)}{more}" if self.examples else ""
            note(f"Rejected: {self.rejected:,} of {self.rows:,} rows (column rejected){examples}")


class Classifier:
    """The trained model of a run, or an average over several; :func:`mmeval.load` makes it."""

    def __init__(self, members: Sequence[Member]) -> None:
        """Take loaded models of the same tasks.

        Raises:
            UserError: tasks or classes differ.
        """
        self.members = tuple(members)
        self._memory = TransientEmbeddings()
        first = self.members[0]
        self.tasks: tuple[Task, ...] = first.tasks
        for other in self.members[1:]:
            if other.tasks != self.tasks:
                raise UserError(
                    f"--ensemble: {first.name} and {other.name} can't be averaged: {_difference(first, other)}."
                )

    @property
    def inputs(self) -> Inputs:
        """The inputs that at least one of the models sees."""
        image = any(member.inputs.image for member in self.members)
        text = any(member.inputs.text for member in self.members)
        return Inputs.IMAGE_TEXT if image and text else Inputs.IMAGE if image else Inputs.TEXT

    @property
    def calibrated(self) -> bool:
        """Whether every model has temperatures of all tasks, from the validation predictions of its run."""
        return all({task.name for task in self.tasks} <= member.temperatures.keys() for member in self.members)

    def predict(
        self,
        rows: object,
        *,
        columns: str | Mapping[str, str | Sequence[str]] = "",
        language: str = "",
        images: str | Path | None = None,
        encoding: str = "",
        top_k: int = 5,
        min_confidence: float = 0.0,
        calibrated: bool = True,
        batch_size: int | None = None,
    ) -> pa.Table:
        """Classify rows; ``mmeval predict`` writes the same columns to a file.

        Args:
            rows: a table as path (CSV, TSV, JSON Lines, Parquet, or a folder of them), data frame, Arrow table, or list
                of records. Images are paths, bytes, PIL images or pixels.
            columns: the role of each column where it is not that of the run: ``{"text": ["title", "body"]}``.
            language: the language of rows without one.
            images: the folder that image paths start from.
            encoding: the encoding of a text file.
            top_k: number of classes in ``TASK:top``.
            min_confidence: the probability below which the model abstains.
            calibrated: whether to calibrate probabilities on the validation predictions of the run.
            batch_size: examples per forward pass.

        Returns:
            A row for each row of the input, in its order, with the columns ``id``, ``language``, for each task
            ``TASK``, ``TASK:probability``, ``TASK:top``, ``TASK:top_probabilities`` and ``TASK:abstained``, and
            ``rejected``, the reason for rejecting a row, which then has no prediction.

        Raises:
            UserError: the rows can't be read, or an option does not fit.
        """
        options = result_options(top_k, min_confidence)
        new = self.rows(rows, row_options(columns, language, images, encoding))
        tally, tables = Tally(), []
        with progress("Predicting", None, "rows") as advance:
            for own in self.classify(new, calibrated=calibrated, batch_size=batch_size):
                tables.append(result_table(own.chunk, own.probabilities, self.tasks, options))
                tally.note_rejected(own.chunk)
                tally.add(tables[-1], self.tasks)
                advance(len(own.chunk))
        new.announce()
        tally.announce()
        return pa.concat_tables(tables) if tables else schema(self.tasks).empty_table()

    def embed(
        self,
        rows: object,
        *,
        columns: str | Mapping[str, str | Sequence[str]] = "",
        language: str = "",
        images: str | Path | None = None,
        encoding: str = "",
        batch_size: int | None = None,
    ) -> pa.Table:
        """Embed rows: the fused vector of image and text, which the task heads read.

        Args:
            rows: as for :meth:`predict`, like all other arguments.
            columns: the role of each column where it is not that of the run.
            language: the language of rows without one.
            images: the folder that image paths start from.
            encoding: the encoding of a text file.
            batch_size: examples per forward pass.

        Returns:
            A row for each row of the input, in its order, with the columns ``id``, ``language``, ``embedding`` (half
            precision, a list of fixed size) and ``rejected``. The embedding of a row without image and text is zero,
            that of a rejected row is null.

        Raises:
            UserError: the model has no fused vector, there are several models, or the rows can't be read.
        """
        member = only(self.members)
        none = embedding_schema(member.embedding_width).empty_table()
        new = self.rows(rows, row_options(columns, language, images, encoding))
        tally, tables = Tally(), [none]
        with progress("Embedding", None, "rows") as advance:
            for chunk, table in embeddings(member, new, batch_size=batch_size):
                tables.append(table)
                tally.note_rejected(chunk)
                tally.add(table, ())
                advance(len(chunk))
        new.announce()
        tally.announce()
        return pa.concat_tables(tables)

    def rows(self, source: object, options: RowOptions | None = None, scored: Sequence[Task] = ()) -> NewRows:
        """Open new rows with the columns of the run.

        Args:
            source: a table as for :meth:`predict`.
            options: options of the rows.
            scored: the tasks whose labels are read, for scores.

        Raises:
            UserError: the files are missing, or the roles of the columns are unclear.
        """
        attributes = sorted({name for member in self.members for name in member.context.attributes})
        of_run = RunColumns.of(self.members[0].record, attributes, self.inputs)
        return NewRows(source, of_run, options or RowOptions(), scored)

    def classify(
        self,
        rows: NewRows,
        *,
        calibrated: bool = True,
        batch_size: int | None = None,
        start: int = 0,
        stop: int | None = None,
        embed: bool = False,
    ) -> Iterator[Classified]:
        """Yield chunks of rows with their probabilities, averaged over the models; memory holds a few chunks.

        Args:
            rows: the rows, from :meth:`rows`.
            calibrated: whether to calibrate probabilities.
            batch_size: examples per forward pass.
            start: number of the first row.
            stop: number of the row behind the last; None for all.
            embed: whether to give the fused vectors of the first model, too.

        Raises:
            UserError: the rows can't be read, or a model fails.
        """
        if calibrated and not self.calibrated:
            lacking = next(m for m in self.members if {task.name for task in self.tasks} - m.temperatures.keys())
            note(f"{lacking.name} has no validation predictions, so its probabilities are not calibrated.")
        self._memory.forget()
        parsed = rows.parsed(start, stop)
        for chunk in chunks(parsed, self.tasks, rows.attributes, images=rows.reads_images, start=start):
            rows.forget()
            with self._memory.block():
                outputs = [
                    member.predict(chunk.store, calibrate=calibrated, batch_size=batch_size, embed=embed and not number)
                    for number, member in enumerate(self.members)
                ]
            yield Classified(chunk, _mean([own.probabilities for own in outputs]), outputs[0].embedding)

    def predict_one(
        self,
        image: object = None,
        text: str | None = "",
        language: str | None = UNDETERMINED,
        *,
        attributes: Mapping[str, str] | None = None,
        top_k: int = 5,
        min_confidence: float = 0.0,
        calibrated: bool = True,
    ) -> ExamplePrediction:
        """Classify a single example, for services and notebooks.

        Args:
            image: path, bytes, PIL image, or pixels uint8 ``[H, W, 3]``; None, or an empty path, for none.
            text: the text; None or empty for none.
            language: its language: an ISO 639 code or a name. An unknown language is no error.
            attributes: further inputs, for the few models that have any.
            top_k: number of classes in ``top``.
            min_confidence: the probability below which the model abstains.
            calibrated: whether to calibrate probabilities.

        Raises:
            UserError: there is neither image nor text, a text is none, or the image can't be decoded.
        """
        options = result_options(top_k, min_confidence)
        text, named = _text("text", text), _text("language", language)
        if is_missing(image) and not text.strip():
            raise UserError("predict_one needs an image or a text.")
        stored = None if is_missing(image) else _stored(image)
        code = _code(named)
        given = attributes or {}
        with self._memory.block():
            blocks = [member.predict_one(stored, text, code, given, calibrate=calibrated) for member in self.members]
        block = _mean(blocks)
        return ExamplePrediction({task.name: _of_task(task, block[task.name], options) for task in self.tasks})

    def __repr__(self) -> str:
        """Return ``Classifier(runs/emoji (seed 0), group: 9 classes)``."""
        tasks = ", ".join(f"{task.name}: {len(task.classes)} classes" for task in self.tasks)
        return f"Classifier({' + '.join(member.name for member in self.members)}, {tasks})"


def row_options(
    columns: str | Mapping[str, str | Sequence[str]] = "",
    language: str = "",
    images: str | Path | None = None,
    encoding: str = "",
) -> RowOptions:
    """Return options of rows as a Python user passes them: columns as text or as a mapping of roles."""
    request = DatasetRequest.of("rows", columns=columns, language=language, images=images, encoding=encoding)
    return RowOptions(columns=request.columns, language=language, images=request.images, encoding=encoding)


def result_options(top_k: int, min_confidence: float) -> ResultOptions:
    """Return the options of results.

    Raises:
        UserError: a number is out of range.
    """
    if top_k < 1:
        raise UserError(f"--top-k {top_k}: write the number of classes to list, at least 1.")
    if not 0 <= min_confidence <= 1:
        raise UserError(f"--min-confidence {min_confidence}: a probability is from 0 to 1.")
    return ResultOptions(top_k=top_k, min_confidence=min_confidence)


def _stored(image: object) -> StoredImage:
    source = image_source(image)
    try:
        return convert(read_image(source) if isinstance(source, Path) else source)
    except FileNotFoundError:
        raise DataError(f"There is no image file {source!s}.") from None
    except DataError as error:
        name = str(source) if isinstance(source, Path) else "The image"
        raise DataError(f"{name} can't be used: {error}.") from None


def _text(name: str, value: object) -> str:
    """Return a text that a user passes; a missing value is an empty text.

    Raises:
        UserError: it is no text.
    """
    if is_missing(value):
        return ""
    if not isinstance(value, str):
        raise UserError(f"predict_one: {name} must be a text, not a {type(value).__name__}.")
    return value


def _code(language: str) -> str:
    named = None if complaint(language) else language_of(language)
    return named.code if named else UNDETERMINED


def _mean(blocks: Sequence[Block]) -> Block:
    """Return the mean probabilities over models."""
    if len(blocks) == 1:
        return blocks[0]
    stacked = {task: np.stack([block[task] for block in blocks]) for task in blocks[0]}
    return {task: np.asarray(values.mean(0, dtype=np.float64), np.float32) for task, values in stacked.items()}


def _of_task(task: Task, matrix: NDArray[np.float32], options: ResultOptions) -> TaskPrediction:
    row = matrix[0]
    shown = tuple((task.classes[index], float(row[index])) for index in top(matrix, options.top_k)[0])
    if not task.multilabel:
        probability = float(row.max())
        label: Any = task.classes[int(row.argmax())]
    else:
        probability = float(np.maximum(row, 1 - row).min())
        label = tuple(name for name, taken in zip(task.classes, predicted_classes(row), strict=True) if taken)
    return TaskPrediction(None if probability < options.min_confidence else label, probability, shown)


def _difference(first: Member, other: Member) -> str:
    """Return the first difference between the tasks of two models."""
    mine, theirs = ({task.name: task for task in member.tasks} for member in (first, other))
    if mine.keys() != theirs.keys():
        return f"one has the tasks {' and '.join(mine)}, the other {' and '.join(theirs)}"
    for name, task in mine.items():
        if task != theirs[name]:
            only = sorted({*task.classes} ^ {*theirs[name].classes})
            what = f"{only[0]} is a class of only one of them" if only else "their classes have another order"
            return f"in the task {name}, {what}"
    return "their tasks have another order"

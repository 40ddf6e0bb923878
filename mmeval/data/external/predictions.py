"""Predictions of another tool, checked and in the order of the examples."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from mmeval.api.task import Task
from mmeval.data.external.classes import Classes, guess, in_order, require_one_spelling
from mmeval.data.external.columns import PREDICTED, SLICE
from mmeval.data.external.languages import language_codes
from mmeval.data.external.layout import Layout, Reference, lay_out, such_rows
from mmeval.data.external.reading import RawPredictions
from mmeval.errors import DataError

ROWS = 8192
"""Rows whose probabilities are gathered at once."""
TOLERANCE = 1e-3
"""The largest distance of a sum of probabilities from 1, as in predictions files."""
MOST_OTHERS = 100
"""If more predicted classes than this, and more than there are true classes, are no true class, the column holds free
text."""
SHOWN = 5
"""Number of classes that a note names."""


@dataclass(frozen=True)
class ExternalPredictions:
    """Predictions of another tool for one split: the same examples for each training seed."""

    where: str
    """The name of the table in messages."""
    columns: Mapping[str, pa.Array]
    """``id``, ``language``, ``cluster`` and ``slice:NAME`` of each example."""
    tasks: tuple[Task, ...]
    labels: Mapping[str, NDArray[np.int64]]
    """Index of the true class by task, -1 for an example without a label; of a multi-label task, which only a model of
    mmeval can have, zeros and ones ``[n, classes]``, -1 in the rows without a label."""
    seeds: tuple[int, ...]
    labels_only: tuple[str, ...]
    """Tasks with predicted classes instead of probabilities."""
    predicted: Callable[[int], dict[str, NDArray[np.int64]]]
    """The predicted classes of a seed, by task of ``labels_only``."""
    blocks: Callable[[int], Iterator[dict[str, NDArray[np.float32]]]]
    """The probabilities of a seed, by each other task, in blocks of examples."""

    def __len__(self) -> int:
        """Number of examples."""
        return len(self.columns["id"])

    def fingerprint(self) -> str:
        """Return the SHA-256 over ids, languages, clusters and true classes of all examples, sorted by id.

        Two tables over the same examples have the same fingerprint, in whatever order their rows are and whatever they
        predict; the class list is left out, since a tool may predict classes that no example has.
        """
        sha = hashlib.sha256()
        order = np.asarray(pc.sort_indices(self.columns["id"])).astype(np.int64)
        values = {name: self.columns[name] for name in ("id", "language", "cluster")}
        for task in sorted(self.tasks, key=lambda task: task.name):
            codes = self.labels[task.name]
            if task.multilabel:
                values[f"true:{task.name}"] = _joined_names(task, codes)
                continue
            indices = pa.array(codes, pa.int32(), mask=codes < 0)
            values[f"true:{task.name}"] = pa.DictionaryArray.from_arrays(indices, pa.array(task.classes))
        for name, column in values.items():
            sha.update(f"{name}\0{len(order)}\0".encode())
            # To take rows from many chunks is slow.
            column = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
            for start in range(0, len(order), ROWS):
                _update(sha, column.take(pa.array(order[start : start + ROWS])))
        return sha.hexdigest()


def _joined_names(task: Task, labels: NDArray[np.int64]) -> pa.Array:
    """Return the classes of each example of a multi-label task as one text; null without a label."""
    names = np.array(task.classes, object)
    return pa.array([None if (row < 0).any() else "\0".join(sorted(names[row > 0])) for row in labels], pa.string())


def _update(sha: hashlib._Hash, column: pa.Array | pa.ChunkedArray) -> None:
    """Hash a column of strings: the length of each in bytes, -1 for null, then all of them."""
    texts = pa.concat_arrays(column.chunks) if isinstance(column, pa.ChunkedArray) else column
    texts = texts.cast(pa.string())
    lengths = np.asarray(pc.binary_length(texts).fill_null(-1)).astype("<i4")
    sha.update(lengths.tobytes())
    data, offsets = texts.buffers()[2], np.frombuffer(texts.buffers()[1], np.int32)[texts.offset :]
    if data is not None:
        sha.update(memoryview(data)[offsets[0] : offsets[len(texts)]])


@dataclass
class _Split:
    """One table while its classes are decided."""

    raw: RawPredictions
    layout: Layout
    reference: Reference | None
    true: dict[str, tuple[list[str], NDArray[np.int32]]]
    """True classes by task: names, and the code of each example, -1 for none."""
    widths: dict[str, int]
    """Number of probabilities per row by task; 0 where there are only labels."""


def assemble(
    raw: RawPredictions,
    validation: RawPredictions | None = None,
    *,
    task: str = "label",
    language: str = "",
    classes: Classes = (),
    reference: Reference | None = None,
    validation_reference: Reference | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> tuple[ExternalPredictions, ExternalPredictions | None]:
    """Check the predictions of the test split, and of the validation split if there are any, and order their rows.

    Args:
        raw: the table of the test split.
        validation: the table of the validation split.
        task: the name of the task of tables without a column of tasks.
        language: the language of all rows of tables without a column of languages.
        classes: the classes, in the order of lists of probabilities.
        reference: test examples of another run that the table must have.
        validation_reference: its validation examples.
        say: called with sentences about decisions, for the report.

    Raises:
        DataError: a row can't be used; the message names table and row.
    """
    splits = [_split(raw, task, reference)]
    if validation is not None:
        splits.append(_split(validation, task, validation_reference))
        _require_same_form(splits[0], splits[1])
    tasks = tuple(Task(name, _class_list(name, splits, classes, say)) for name in splits[0].layout.tasks)
    built = [_build(split, tasks, language, say) for split in splits]
    return built[0], built[1] if validation is not None else None


def _split(raw: RawPredictions, task: str, reference: Reference | None) -> _Split:
    layout = lay_out(raw, task, reference)
    if reference is not None:
        for name in layout.tasks:
            if name not in reference.labels:
                has = ", ".join(reference.labels)
                raise DataError(
                    f"{raw.where}: {reference.name} has no task {name}, only {has}; name the task with --task."
                )
    true = {name: _true(raw, layout, name, reference) for name in layout.tasks}
    for name, (_, codes) in true.items():
        if (codes < 0).all():
            raise DataError(f"{raw.where}: no row of {name} has a true class, so there is nothing to score.")
    return _Split(raw, layout, reference, true, {name: _width(raw, layout, name) for name in layout.tasks})


def _require_same_form(test: _Split, validation: _Split) -> None:
    """Check that the validation table has the seeds, tasks and kinds of predictions of the test table."""
    where, other = validation.raw.where, test.raw.where
    if set(validation.layout.tasks) != set(test.layout.tasks):
        raise DataError(
            f"{where} has the tasks {', '.join(validation.layout.tasks)}, {other} {', '.join(test.layout.tasks)}."
        )
    if validation.layout.seeds != test.layout.seeds:
        mine, theirs = (", ".join(map(str, split.layout.seeds)) for split in (validation, test))
        raise DataError(f"{where} has the seeds {mine}, {other} has {theirs}; both need the same.")
    for task, width in test.widths.items():
        if bool(validation.widths[task]) != bool(width):
            has, lacks = (other, where) if width else (where, other)
            raise DataError(f"{has} has probabilities of {task} and {lacks} has labels only; both need the same.")


def _true(
    raw: RawPredictions, layout: Layout, task: str, reference: Reference | None
) -> tuple[list[str], NDArray[np.int32]]:
    """Return the true classes of a task in the order of the examples; all seeds, and the reference, must agree."""
    expected: tuple[list[str], NDArray[np.int32]] | None = None
    if reference is not None:
        encoded = reference.labels[task].dictionary_encode().unify_dictionaries().combine_chunks()
        encoded = encoded.chunk(0) if isinstance(encoded, pa.ChunkedArray) else encoded
        expected = encoded.dictionary.to_pylist(), np.asarray(encoded.indices.fill_null(-1)).astype(np.int32)
    if "true" not in raw.names:
        assert expected is not None, "only a reference replaces the column of true classes"
        return expected
    names, codes = raw.names["true"].names, raw.names["true"].codes
    if expected is not None:
        known = {name: code for code, name in enumerate(expected[0])}
        translation = np.array([*(known.get(name, -2) for name in names), -1], np.int32)
        for seed in layout.seeds:
            rows = layout.rows_of(seed, task)
            differing = np.flatnonzero(translation[codes[rows]] != expected[1])
            if differing.size:
                row, code = int(rows[differing[0]]), int(expected[1][differing[0]])
                theirs = f'"{expected[0][code]}"' if code >= 0 else "no label"
                raise _differs(
                    raw,
                    row,
                    "the true class",
                    _named(names, codes[row]),
                    theirs,
                    str(reference and reference.name),
                    len(differing),
                )
        return expected
    first = layout.rows_of(layout.seeds[0], task)
    for seed in layout.seeds[1:]:
        rows = layout.rows_of(seed, task)
        if (differing := np.flatnonzero(codes[rows] != codes[first])).size:
            row, other = int(rows[differing[0]]), int(first[differing[0]])
            raise _differs(
                raw,
                row,
                "the true class",
                _named(names, codes[row]),
                _named(names, codes[other]),
                f"row {raw.numbers[other]} of seed {layout.seeds[0]}",
                len(differing),
            )
    of_task = codes[first]
    used = np.unique(of_task[of_task >= 0])
    compact = np.full(len(names) + 1, -1, np.int32)
    compact[used] = np.arange(len(used), dtype=np.int32)
    return [names[code] for code in used], compact[of_task]


def _named(names: Sequence[str], code: int) -> str:
    return f'"{names[code]}"' if code >= 0 else "no label"


def _differs(raw: RawPredictions, row: int, what: str, mine: str, theirs: str, other: str, count: int) -> DataError:
    return DataError(
        f'{raw.row(row)}: {what} of the id "{raw.texts["id"][row]}" is {mine}, but {theirs} in {other} '
        f"({such_rows(count)}); both must be of the same examples."
    )


def _width(raw: RawPredictions, layout: Layout, task: str) -> int:
    """Return the number of probabilities in each row of a task; 0 if its rows have labels only.

    Raises:
        DataError: a row lacks a prediction, or has more or fewer probabilities than the others.
    """
    rows = np.concatenate([layout.rows_of(seed, task) for seed in layout.seeds])
    if raw.lengths is not None:
        lengths = raw.lengths[rows]
        if (lengths >= 0).any():
            width = int(lengths[lengths >= 0][0])
            if (bad := np.flatnonzero(lengths != width)).size:
                row = int(rows[bad].min())
                has = "no probabilities" if raw.lengths[row] < 0 else f"{raw.lengths[row]} probabilities"
                raise DataError(f"{raw.row(row)}: there are {has} of {task}, but {width} in other rows.")
            if not width:
                raise DataError(f"{raw.row(int(rows[0]))}: the list of probabilities is empty.")
            return width
    elif raw.matrix is not None and (columns := _class_columns(raw, layout, task)).any():
        return int(columns.sum())
    if PREDICTED not in raw.names:
        raise DataError(
            f"{raw.row(int(rows.min()))}: there are no probabilities of {task} and there is no predicted class."
        )
    codes = raw.names[PREDICTED].codes[rows]
    if (empty := rows[codes < 0]).size:
        raise DataError(
            f"{raw.row(int(empty.min()))}: the column {raw.columns.texts[PREDICTED]} is empty "
            f"({such_rows(len(empty))}); every row needs a prediction: write a word such as none where the "
            "tool gave no answer."
        )
    return 0


def _class_columns(raw: RawPredictions, layout: Layout, task: str) -> NDArray[np.bool_]:
    """Return which columns of probabilities belong to a task: those that any of its rows fills; one task has all."""
    assert raw.matrix is not None
    if len(layout.tasks) == 1:
        return np.ones(raw.matrix.shape[1], bool)
    used = np.zeros(raw.matrix.shape[1], bool)
    for seed in layout.seeds:
        rows = layout.rows_of(seed, task)
        for start in range(0, len(rows), ROWS):
            used |= ~np.isnan(raw.matrix[rows[start : start + ROWS]]).all(0)
    return used


def _class_list(task: str, splits: Sequence[_Split], given: Classes, say: Callable[[str], None]) -> tuple[str, ...]:
    """Return the classes of a task, in the order of its probabilities.

    Raises:
        DataError: the order of lists of probabilities is not known, a true class has no probability, or there is only
            one class.
    """
    test = splits[0]
    where, reference = test.raw.where, test.reference
    known = given.get(task, ()) if isinstance(given, Mapping) else given
    if isinstance(given, Mapping) and not known:
        raise DataError(f"--classes has no classes of the task {task}, only of {', '.join(given)}.")
    true = {name for split in splits for name in split.true[task][0]}
    predicted = {name for split in splits for name in _predicted_names(split, task)}
    require_one_spelling(true | predicted | set(known), where, task)
    for split in splits[1:]:
        if split.widths[task] != test.widths[task]:
            raise DataError(
                f"{split.raw.where} has {split.widths[task]} probabilities of {task}, {where} has {test.widths[task]}."
            )
    declared = tuple(known) or (test.raw.class_names if len(test.layout.tasks) == 1 else ())
    from_reference = reference.classes[task] if reference else ()
    if not test.widths[task]:
        start = declared or from_reference
        extra = in_order(predicted - true - set(start))
        if known:
            _require_known(splits, task, declared, PREDICTED)
        elif len(extra) > max(MOST_OTHERS, len(true)):
            raise DataError(
                f"{where}: {len(extra):,} predicted classes of {task} are no example's true class, such as "
                f"{_some(extra)}; write one word such as none for answers that are no class, or give all classes "
                "with --classes."
            )
        elif extra and not predicted & true:
            say(
                f"No predicted class of {task} is any example's true class, so every row is wrong: predicted are "
                f"{_some(extra)}, true are {_some(in_order(true))}; check that both are written in the same way."
            )
        elif extra:
            say(f"Predicted classes of {task} that are no example's true class: {_some(extra)}.")
        classes = (*start, *in_order((true | predicted) - set(start))) if not known else declared
    elif test.raw.matrix is not None:
        classes = _columns_of(splits, task)
        preferred = declared or from_reference
        if set(preferred) == set(classes):
            classes = preferred
        elif known:
            differing = sorted(set(known) ^ set(classes))[0]
            raise DataError(
                f'{where}: the class "{differing}" is in only one of --classes and the columns p:CLASS of {task}.'
            )
    else:
        classes = _list_order(task, test, declared, from_reference, true, say)
    _require_known(splits, task, classes, "true")
    if len(classes) < 2:
        raise DataError(f'{where}: {task} has only the class "{classes[0]}"; a task needs two.')
    return classes


def _list_order(
    task: str,
    test: _Split,
    declared: tuple[str, ...],
    from_reference: tuple[str, ...],
    true: set[str],
    say: Callable[[str], None],
) -> tuple[str, ...]:
    """Return the classes of lists of probabilities, in their order."""
    where, width = test.raw.where, test.widths[task]
    if declared:
        if len(declared) != width:
            raise DataError(
                f"{where}: the lists of {task} have {width} probabilities, but there are {len(declared)} class names."
            )
        return declared
    order = "its lists of probabilities are taken in the order"
    if test.reference and len(from_reference) == width:
        say(f"{task}: {order} of the classes of {test.reference.name}.")
        return from_reference
    if len(true) == width:
        say(f"{task}: {order} of its sorted true classes, {_some(in_order(true))}.")
        return in_order(true)
    raise DataError(
        f"{where}: the lists of {task} have {width} probabilities, but there are {len(true)} true classes, so their "
        "order is not known; give it with --classes A,B,C, or a file with a class per line."
    )


def _columns_of(splits: Sequence[_Split], task: str) -> tuple[str, ...]:
    """Return the classes with a column of probabilities; both tables must have the same."""
    lists = []
    for split in splits:
        used = _class_columns(split.raw, split.layout, task)
        lists.append([name for name, is_used in zip(split.raw.columns.classes, used, strict=True) if is_used])
    for split, names in zip(splits[1:], lists[1:], strict=True):
        if set(names) != set(lists[0]):
            differing = sorted(set(names) ^ set(lists[0]))[0]
            raise DataError(
                f"Only one of {splits[0].raw.where} and {split.raw.where} has the column p:{differing} of {task}."
            )
    return tuple(lists[0])


def _predicted_names(split: _Split, task: str) -> set[str]:
    """Return the predicted classes of a task without probabilities."""
    if split.widths[task]:
        return set()
    column = split.raw.names[PREDICTED]
    codes = {int(c) for seed in split.layout.seeds for c in np.unique(column.codes[split.layout.rows_of(seed, task)])}
    return {column.names[code] for code in codes}


def _require_known(splits: Sequence[_Split], task: str, classes: tuple[str, ...], role: str) -> None:
    """Check that every true or predicted class is in the class list."""
    known = set(classes)
    for split in splits:
        raw = split.raw
        if role not in raw.names:
            continue
        unknown = {code for code, name in enumerate(raw.names[role].names) if name not in known}
        for seed in split.layout.seeds if unknown else ():
            rows = split.layout.rows_of(seed, task)
            if (bad := np.flatnonzero(np.isin(raw.names[role].codes[rows], list(unknown)))).size:
                row = int(rows[bad].min())
                name = raw.names[role].names[raw.names[role].codes[row]]
                kind = "true" if role == "true" else "predicted"
                start = f'{raw.row(row)}: the {kind} class "{name}" of {task}'
                if raw.matrix is not None and split.widths[task]:
                    raise DataError(
                        f"{start} has no column p:{name}{guess(name, classes)}; add it, with 0 in every row if the "
                        "tool never predicts it."
                    )
                raise DataError(f"{start} is not in the list of classes{guess(name, classes)}.")


def _build(split: _Split, tasks: tuple[Task, ...], language: str, say: Callable[[str], None]) -> ExternalPredictions:
    raw, layout = split.raw, split.layout
    labels = {}
    for task in tasks:
        names, codes = split.true[task.name]
        index = {name: number for number, name in enumerate(task.classes)}
        labels[task.name] = np.array([*(index[name] for name in names), -1], np.int64)[codes]
        if missing := int(np.count_nonzero(labels[task.name] < 0)):
            of = f"{missing:,} of {len(codes):,} rows of {raw.where}"
            say(f"No true class of {task.name} in {of}; they aren't scored.")
    labels_only = tuple(task.name for task in tasks if not split.widths[task.name])
    columns = _example_columns(split, language, say)
    probable = [task for task in tasks if task.name not in labels_only]
    gather = {task.name: _gatherer(split, task) for task in probable}
    for task in probable:
        _check_probabilities(split, task, gather[task.name], say)

    def predicted(seed: int) -> dict[str, NDArray[np.int64]]:
        result = {}
        for task in tasks:
            if task.name in labels_only:
                index = {name: number for number, name in enumerate(task.classes)}
                column = raw.names[PREDICTED]
                table = np.array([index.get(name, -1) for name in column.names], np.int64)
                result[task.name] = table[column.codes[layout.rows_of(seed, task.name)]]
        return result

    def blocks(seed: int) -> Iterator[dict[str, NDArray[np.float32]]]:
        for start in range(0, layout.examples if probable else 0, ROWS):
            stop = min(start + ROWS, layout.examples)
            yield {
                task.name: gather[task.name](_rows_between(layout, seed, task.name, start, stop)) for task in probable
            }

    return ExternalPredictions(raw.where, columns, tasks, labels, layout.seeds, labels_only, predicted, blocks)


def _rows_between(layout: Layout, seed: int, task: str, start: int, stop: int) -> NDArray[np.int64]:
    rows = layout.rows[seed, task]
    return np.arange(start, stop) if rows is None else rows[start:stop]


def _gatherer(split: _Split, task: Task) -> Callable[[NDArray[np.int64]], NDArray[np.float32]]:
    """Return a function that returns the probabilities of some rows in the order of the task's classes."""
    raw = split.raw
    if raw.matrix is not None:
        matrix, names = raw.matrix, list(raw.columns.classes)
        order = [names.index(name) for name in task.classes]
        whole = order == list(range(len(names)))
        return lambda rows: matrix[rows] if whole else matrix[rows][:, order]
    assert raw.flat is not None
    assert raw.lengths is not None
    flat, width = raw.flat, split.widths[task.name]
    if len(flat) == width * len(raw):
        return lambda rows: flat.reshape(-1, width)[rows]
    ends = np.cumsum(np.maximum(raw.lengths, 0))
    return lambda rows: flat[(ends[rows] - width)[:, None] + np.arange(width)]


def _check_probabilities(
    split: _Split,
    task: Task,
    gather: Callable[[NDArray[np.int64]], NDArray[np.float32]],
    say: Callable[[str], None],
) -> None:
    """Check that every row is a probability distribution, and compare it with the predicted class if there is one.

    Raises:
        DataError: a row is no distribution, or most predicted classes are not the most probable ones.
    """
    raw, layout = split.raw, split.layout
    differing, example, total = 0, -1, 0
    for seed in layout.seeds:
        for start in range(0, layout.examples, ROWS):
            rows = _rows_between(layout, seed, task.name, start, min(start + ROWS, layout.examples))
            block = gather(rows)
            _require_distributions(raw, task, rows, block)
            if PREDICTED in raw.names:
                index = {name: number for number, name in enumerate(task.classes)}
                table = np.array([*(index.get(name, -2) for name in raw.names[PREDICTED].names), -1], np.int64)
                guesses = table[raw.names[PREDICTED].codes[rows]]
                own = np.where(guesses >= 0, block[np.arange(len(rows)), guesses], -1)
                # Of equal probabilities any may be the tool's choice; an empty cell says nothing.
                bad = np.flatnonzero((own < block.max(1)) & (guesses != -1))
                if bad.size and example < 0:
                    example = int(rows[bad[0]])
                differing, total = differing + len(bad), total + int((guesses != -1).sum())
    if not differing:
        return
    share = f"in {differing:,} of {total:,} rows"
    if 2 * differing > total:
        raise DataError(
            f"{raw.row(example)}: the predicted class is not the most probable one {share}, so the classes seem to be "
            "in another order than the probabilities; give the order with --classes, or leave the column predicted out."
        )
    say(
        f"The predicted class of {task.name} is not the most probable one {share} of {raw.where}, first in row "
        f"{raw.numbers[example]}; the probabilities are scored."
    )


def _require_distributions(
    raw: RawPredictions, task: Task, rows: NDArray[np.int64], block: NDArray[np.float32]
) -> None:
    sums = block.sum(1, dtype=np.float64)
    # NaN and infinity reach the sum of their row.
    if bool((np.abs(sums - 1) <= TOLERANCE).all()) and block.min() >= 0:
        return
    bad = (np.abs(sums - 1) > TOLERANCE) | ~np.isfinite(sums) | (block < 0).any(1)
    at = int(np.flatnonzero(bad)[np.argmin(rows[bad])])
    values, row = block[at], raw.row(int(rows[at]))
    if not np.isfinite(values).all():
        name = task.classes[int(np.flatnonzero(~np.isfinite(values))[0])]
        problem = "there is no number" if np.isnan(values).any() else "there is an infinite number"
        raise DataError(f'{row}: {problem} for the class "{name}" of {task.name}; every class needs a probability.')
    if (values < 0).any():
        name = task.classes[int(np.flatnonzero(values < 0)[0])]
        raise DataError(
            f'{row}: the probability of "{name}" of {task.name} is negative ({values.min():g}); write probabilities, '
            "not scores or logarithms."
        )
    raise DataError(
        f"{row}: the probabilities of {task.name} sum to {sums[at]:.6g}, not to 1; correct them (mmeval doesn't "
        "normalize, since a missing class would go unnoticed)."
    )


def _example_columns(split: _Split, language: str, say: Callable[[str], None]) -> dict[str, pa.Array]:
    """Return id, language, cluster and slices of each example; all seeds and tasks must agree."""
    raw, layout, reference = split.raw, split.layout, split.reference
    single = all(rows is None for rows in layout.rows.values())
    first = layout.rows_of(layout.seeds[0], layout.tasks[0])

    def arranged(column: pa.ChunkedArray | pa.Array) -> pa.Array:
        return column if single else column.take(pa.array(first))

    codes, names = language_codes(raw, language, say)
    if len(set(names)) == 1:
        say(f"All rows of {raw.where} are in one language, {names[0]}: there is no worst language and no gap.")
    columns: dict[str, pa.Array] = {"id": reference.ids if reference else arranged(raw.texts["id"])}
    if reference:
        columns["language"], columns["cluster"] = reference.languages, reference.clusters
        if codes is not None:
            _require_languages(split, codes, names)
    else:
        assert codes is not None, "only a reference replaces the column of languages"
        _require_same(split, codes, names, "the language")
        columns["language"] = pa.DictionaryArray.from_arrays(pa.array(codes[first]), pa.array(names, pa.string()))
        if "cluster" in raw.texts:
            columns["cluster"] = arranged(raw.texts["cluster"])
            if not single:
                encoded = raw.texts["cluster"].dictionary_encode().unify_dictionaries().combine_chunks()
                encoded = encoded.chunk(0) if isinstance(encoded, pa.ChunkedArray) else encoded
                _require_same(split, np.asarray(encoded.indices), encoded.dictionary, "the cluster")
        else:
            columns["cluster"] = columns["id"]
            say(
                f"{raw.where} has no column cluster: every id counts as independent, so intervals are too narrow if "
                "several share an image or a text."
            )
    if reference:
        columns |= {f"{SLICE}{name}": values for name, values in reference.slices.items()}
    for role, column in raw.names.items():
        if role.startswith(SLICE) and role not in columns:
            _require_same(split, column.codes, column.names, role)
            indices = pa.array(column.codes[first])
            columns[role] = pa.DictionaryArray.from_arrays(indices, pa.array(column.names, pa.string()))
    return columns


def _require_same(split: _Split, codes: NDArray[np.integer], names: Sequence[str] | pa.Array, what: str) -> None:
    """Check that a column has the same value for every seed and task of an example."""
    raw, layout = split.raw, split.layout
    first = layout.rows_of(layout.seeds[0], layout.tasks[0])
    for rows in (rows for rows in layout.rows.values() if rows is not None):
        if (differing := np.flatnonzero(codes[rows] != codes[first])).size:
            row, other = int(rows[differing[0]]), int(first[differing[0]])
            mine, theirs = (f'"{names[int(codes[number])]}"' for number in (row, other))
            place = f"row {raw.numbers[other]}, which is of seed {layout.seeds[0]}, task {layout.tasks[0]}"
            raise _differs(raw, row, what, mine, theirs, place, len(differing))


def _require_languages(split: _Split, codes: NDArray[np.int32], names: Sequence[str]) -> None:
    """Check that the languages are those of the reference."""
    raw, reference = split.raw, split.reference
    assert reference is not None
    encoded = reference.languages.dictionary_encode().unify_dictionaries().combine_chunks()
    encoded = encoded.chunk(0) if isinstance(encoded, pa.ChunkedArray) else encoded
    known = {name: code for code, name in enumerate(encoded.dictionary.to_pylist())}
    translation = np.array([known.get(name, -1) for name in names], np.int32)
    expected = np.asarray(encoded.indices)
    for seed, task in split.layout.rows:
        rows = split.layout.rows_of(seed, task)
        if (differing := np.flatnonzero(translation[codes[rows]] != expected)).size:
            row = int(rows[differing[0]])
            mine, theirs = names[int(codes[row])], encoded.dictionary[int(expected[differing[0]])]
            raise _differs(raw, row, "the language", f'"{mine}"', f'"{theirs}"', reference.name, len(differing))


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(f'"{name}"' for name in names[:SHOWN]) + more

"""The Python functions ``mmeval.run``, ``repeat``, ``open_run`` and ``score_predictions``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from mmeval.console import note
from mmeval.data.external.classes import Classes, classes_of, parse_classes
from mmeval.data.external.columns import parse_columns, require_roles
from mmeval.data.request import DatasetRequest
from mmeval.errors import UserError
from mmeval.protocol import Inputs
from mmeval.runs import external, pipeline
from mmeval.runs.folder import RunFolder
from mmeval.runs.repeat import Named
from mmeval.runs.request import Request, parse_inputs, set_text


def run(
    plugin: str | Path = "embracenet",
    dataset: str | Path | DatasetRequest = "emoji14",
    *,
    preset: str | None = None,
    set: Mapping[str, Any] | Sequence[str] = (),  # noqa: A002 - the name of the option on the command line
    inputs: str | None = None,
    metrics: Sequence[str | Path] = (),
    hierarchy: str | Path | Mapping[str, str | Path] | None = None,
    device: str = "auto",
    seed: int = 0,
    seeds: int = 1,
    limit: int | None = None,
    output: str | Path | None = None,
    source: str | Path | None = None,
    allow_mismatch: bool = False,
    columns: str | Mapping[str, str | Sequence[str]] = "",
    language: str = "",
    images: str | Path | None = None,
    encoding: str = "",
    **options: Any,  # noqa: ANN401 - whatever options the plugin has
) -> RunFolder:
    """Train a model, score it per language, and write a run folder with a report, as ``mmeval run`` does.

    An unfinished run in ``output`` continues; a finished one is left as it is and returned.

    Args:
        plugin: the model: a plugin's name, or the path of a Python file.
        dataset: a data set's name, ``table:PATH``, or the path of a TOML or Python file.
        preset: a preset of the plugin; by default its default preset.
        set: changes of the model's options, ``{"width": 512, "recipe.epochs": 20}`` or ``["width=512"]``.
        inputs: ``"image+text"``, ``"image"`` or ``"text"``; by default all that the model uses.
        metrics: metric plugins beside the built-in metrics: names or paths of Python files.
        hierarchy: a taxonomy file in the format of Google's product taxonomy, or one by task, for hierarchical metrics.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
        seed: the first training seed.
        seeds: number of training seeds; scores are means over them.
        limit: examples taken of each split, for a trial; by default all.
        output: the run folder; by default a new folder in ``runs``.
        source: the archive or folder that the data set is read from.
        allow_mismatch: accept data that differs from its data card.
        columns: tables only: the role of each column, ``{"text": ["title", "description"], "label": "category"}`` or
            as typed on the command line.
        language: tables only: the language of every row.
        images: tables only: the folder that image paths start from.
        encoding: tables only: the text encoding; by default UTF-8.
        options: further changes of the model's options by keyword: ``width=512``, ``recipe={"epochs": 20}``.

    Raises:
        UserError: the request can't be met; the message says how to change it.
    """
    set_changes = [f"{key}={set_text(value)}" for key, value in set.items()] if isinstance(set, Mapping) else set
    changes = [*set_changes, *_changes(options)]
    request = Request(
        plugin=str(plugin),
        dataset=DatasetRequest.of(
            dataset,
            source=source,
            allow_mismatch=allow_mismatch,
            columns=columns,
            language=language,
            images=images,
            encoding=encoding,
        ),
        preset=preset,
        changes=tuple(changes),
        inputs=inputs if inputs is None or isinstance(inputs, Inputs) else parse_inputs(inputs),
        device=device,
        seed=seed,
        seeds=seeds,
        limit=limit,
        output=None if output is None else Path(output),
        metrics=tuple(map(str, metrics)),
        hierarchies=hierarchy_options(hierarchy),
    )
    return pipeline.run(request)


def hierarchy_options(hierarchy: str | Path | Mapping[str, str | Path] | None) -> tuple[str, ...]:
    """Return taxonomy files as they are typed after ``--hierarchy``: ``FILE`` or ``TASK=FILE``."""
    if hierarchy is None:
        return ()
    if isinstance(hierarchy, Mapping):
        return tuple(f"{task}={file}" for task, file in hierarchy.items())
    return (str(hierarchy),)


def repeat(
    run: str | Path | RunFolder,
    *,
    output: str | Path | None = None,
    device: str | None = None,
    plugin: str | Path | None = None,
    dataset: str | Path | None = None,
    metrics: Sequence[str | Path] = (),
    source: str | Path | None = None,
    images: str | Path | None = None,
) -> RunFolder:
    """Repeat a finished run from its ``run.json``, as ``mmeval run --from`` does, into another folder.

    Plugin, data set, preset, all options, inputs, seeds, limit and metrics are those of the run. Versions and devices
    that differ are noted on standard error.

    Args:
        run: the run folder, or its path.
        output: the new run folder; by default a new folder in ``runs``.
        device: by default the CPU for a run on the CPU, else ``auto``.
        plugin: the Python file of the model. A file that only the run folder names is never run.
        dataset: the Python file of the data set, or the table if it has moved.
        metrics: the Python files of the run's metrics.
        source: the archive or folder of the data set, if it has moved.
        images: the folder of a table's images, if it has moved.

    Raises:
        UserError: the run can't be repeated; for example, the data set has changed since.
    """
    named = Named(
        plugin=None if plugin is None else str(plugin),
        dataset=None if dataset is None else str(dataset),
        metrics=tuple(map(str, metrics)),
        source=None if source is None else Path(source),
        images=None if images is None else Path(images),
        device=device,
        output=None if output is None else Path(output),
    )
    return pipeline.repeat(run if isinstance(run, RunFolder) else RunFolder(run), named)


def score_predictions(
    predictions: str | Path | Any,  # noqa: ANN401 - a table of pandas, polars, Arrow, or a mapping of columns
    *,
    output: str | Path | None = None,
    validation: str | Path | Any | None = None,  # noqa: ANN401 - see predictions
    name: str = "",
    dataset: str = "",
    columns: str | Mapping[str, str] = "",
    classes: str | Sequence[str] | Mapping[str, Sequence[str]] = (),
    language: str = "",
    task: str = "",
    inputs: str | None = None,
    like: str | Path | RunFolder | None = None,
    encoding: str = "",
    metrics: Sequence[str | Path] = (),
    hierarchy: str | Path | Mapping[str, str | Path] | None = None,
) -> RunFolder:
    """Score predictions that another tool made and write a run folder, as ``mmeval score FILE`` does.

    A table has the columns ``id``, ``language`` and ``true``, and either ``predicted``, or a probability per class
    (``p:CLASS``), or a list of probabilities in ``probabilities``; optional are ``cluster``, ``task``, ``seed`` and
    ``slice:NAME``.

    Args:
        predictions: a Parquet, CSV, TSV or JSON Lines file; or a table: a data frame, an Arrow table, a list of
            records, or a mapping of columns, in which ``probabilities`` may be an array ``[n, classes]``.
        output: the run folder; by default a new folder in ``runs``.
        validation: the predictions of the validation split, for thresholds and calibration.
        name: the model's name; by default the name of the file.
        dataset: the data set's name; by default the name of the file.
        columns: the column of each role whose name differs, ``{"true": "gold", "p:*": "prob_*"}`` or
            ``"true=gold,p:*=prob_*"``.
        classes: the classes in the order of the lists of probabilities, or such a list for each task, or as typed on
            the command line.
        language: the language of all rows of a table without a column of languages.
        task: the name of the task of a table without a column of tasks; by default ``label``.
        inputs: the inputs of the model: ``"image+text"``, ``"image"`` or ``"text"``; by default unknown.
        like: a run over the same examples. Ids, languages and labels must agree with it; what the table lacks is taken
            from it, and the two runs can be compared.
        encoding: the encoding of a text file; by default UTF-8.
        metrics: metric plugins beside the built-in metrics: names or paths of Python files.
        hierarchy: a taxonomy file with the path of each class, or such files by task.

    Raises:
        UserError: the predictions can't be used; the message names the row and says what to change.
    """
    if not isinstance(columns, str):
        columns = {str(role): str(column) for role, column in columns.items()}
        require_roles(columns)
    request = external.ExternalRequest(
        predictions=_table(predictions),
        output=None if output is None else Path(output),
        validation=None if validation is None else _table(validation),
        name=name,
        dataset=dataset,
        columns=parse_columns(columns) if isinstance(columns, str) else columns,
        classes=_classes(classes),
        typed_classes=classes if isinstance(classes, str) else "",
        language=language,
        task=task,
        inputs=Inputs.UNKNOWN if inputs is None else parse_inputs(inputs),
        like=like.path if isinstance(like, RunFolder) else None if like is None else Path(like),
        encoding=encoding,
        metrics=tuple(map(str, metrics)),
        hierarchies=hierarchy_options(hierarchy),
    )
    folder = external.score_predictions(request)
    source = folder.record.source
    for line in source.notes if source else []:
        note(f"{folder.path}: {line}")
    return folder


def _classes(value: str | Sequence[str] | Mapping[str, Sequence[str]]) -> Classes:
    if isinstance(value, str):
        return parse_classes(value) if value else ()
    return classes_of(value) if len(value) else ()


def _table(value: Any) -> Path | pa.Table:  # noqa: ANN401 - whatever the user passes
    """Return a path, or a table as an Arrow table.

    Raises:
        UserError: the value is neither.
    """
    if isinstance(value, str | Path):
        return Path(value)
    try:
        if isinstance(value, Mapping):
            return pa.table({str(column): _column(values) for column, values in value.items()})
        if isinstance(value, Sequence) and value and all(isinstance(record, Mapping) for record in value):
            keys = dict.fromkeys(key for record in value for key in record)
            return pa.table({str(key): pa.array([record.get(key) for record in value]) for key in keys})
        if isinstance(value, pa.Table) or hasattr(value, "__arrow_c_stream__"):
            return pa.table(value)
    except (pa.ArrowException, TypeError, ValueError) as error:
        reason = " ".join(str(error).split()).rstrip(".")
        raise UserError(f"The table can't be read as Arrow columns ({reason}).") from None
    kind = type(value).__name__
    raise UserError(
        f"predictions must be a file, a data frame, a mapping of columns or a list of records, not a {kind}."
    )


def _column(values: Any) -> pa.Array:  # noqa: ANN401 - whatever Arrow accepts
    matrix = np.asarray(values) if hasattr(values, "ndim") else None
    if matrix is not None and matrix.ndim == 2:
        return pa.FixedSizeListArray.from_arrays(pa.array(np.ascontiguousarray(matrix).ravel()), matrix.shape[1])
    return values if isinstance(values, pa.Array | pa.ChunkedArray) else pa.array(values)


def open_run(path: str | Path) -> RunFolder:
    """Open the folder of a finished run.

    Raises:
        RunFolderError: there is no finished run in the folder, or its record was changed.
    """
    folder = RunFolder(path)
    _ = folder.record
    return folder


def _changes(options: Mapping[str, Any]) -> Iterator[str]:
    """Yield ``key=value`` for each option, in the form of ``--set``; a mapping is a group of options."""
    for name, value in options.items():
        if isinstance(value, Mapping):
            yield from (f"{name}.{key}={set_text(inner)}" for key, inner in value.items())
        else:
            yield f"{name}={set_text(value)}"

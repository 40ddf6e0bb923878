"""The Python functions ``mmeval.run``, ``mmeval.repeat`` and ``mmeval.open_run``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from mmeval.data.request import DatasetRequest
from mmeval.protocol import Inputs
from mmeval.runs import pipeline
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

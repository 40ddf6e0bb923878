"""The Python functions ``mmeval.run`` and ``mmeval.open_run``."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from mmeval.data.request import DatasetRequest
from mmeval.protocol import Inputs
from mmeval.runs import pipeline
from mmeval.runs.folder import RunFolder
from mmeval.runs.request import Request, parse_inputs


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
    set_changes = [f"{key}={_text(value)}" for key, value in set.items()] if isinstance(set, Mapping) else set
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
            yield from (f"{name}.{key}={_text(inner)}" for key, inner in value.items())
        else:
            yield f"{name}={_text(value)}"


def _text(value: object) -> str:
    """Return a value as text that ``--set`` reads back."""
    if value is None:
        return "none"
    return value if isinstance(value, str) else json.dumps(value, default=str)

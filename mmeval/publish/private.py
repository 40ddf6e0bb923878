"""Local paths in a run folder: shortened to file names before anything is published."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import PurePath
from typing import Any, NamedTuple

import pyarrow as pa

from mmeval.data.reading.text import without_folders, word_without_folders
from mmeval.record import Record
from mmeval.report.content import Content

_FOLDERS = re.compile(r"(?:(?<![A-Za-z])[A-Za-z]:)?[/\\](?:[^/\\\s\"'=:,]+[/\\])+")


class Shortened(NamedTuple):
    """A record without local paths."""

    record: Record
    fields: tuple[str, ...]
    """The fields of ``run.json`` that were changed."""
    folders: frozenset[str]
    """The private folders, such as ``/home/me/shop/``; no published file may name them."""


def shorten(record: Record) -> Shortened:
    """Return a record in which absolute paths are shortened to file names.

    Shortened are the command, the names of plugins and of the data set, its options, the options of the model, and the
    facts about the data and the training. Names of classes and languages are never changed.
    """
    pages = Content(record, pa.table({}), [])
    plan = record.plan.model_copy(update={"config": pages.options})
    options = record.dataset_options
    changes: dict[str, Any] = {
        "command": pages.command,
        "plugin": value_without_folders(record.plugin),
        "dataset": value_without_folders(record.dataset),
        "dataset_options": options and options.model_copy(update=value_without_folders(options.model_dump())),
        "metric_plugins": value_without_folders(record.metric_plugins),
        "metric_origins": value_without_folders(record.metric_origins),
        "plan": plan,
        "data": value_without_folders(record.data),
        "seeds": value_without_folders(record.seeds),
        "source": record.source
        and record.source.model_copy(update={"notes": value_without_folders(record.source.notes)}),
    }
    changed = {name: value for name, value in changes.items() if value != getattr(record, name)}
    before = record.model_dump(mode="json", include=set(changed))
    return Shortened(record.model_copy(update=changed), tuple(sorted(changed)), frozenset(_folders(before)))


def value_without_folders(value: Any) -> Any:  # noqa: ANN401 - what JSON holds
    """Shorten the absolute paths in all texts of a JSON value to file names; keys are kept."""
    if isinstance(value, str):
        return without_folders(word_without_folders(value))
    if isinstance(value, dict):
        return {name: value_without_folders(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [value_without_folders(inner) for inner in value]
    return value


def _folders(value: Any) -> Iterator[str]:  # noqa: ANN401 - what JSON holds
    """Yield the folders of all absolute paths with at least two parts in the texts of a JSON value."""
    if isinstance(value, str) and value_without_folders(value) != value:
        for match in _FOLDERS.finditer(value):
            if len(PurePath(match[0]).parts) > 2:
                yield match[0]
    elif isinstance(value, dict):
        for inner in value.values():
            yield from _folders(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _folders(inner)

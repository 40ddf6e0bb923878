"""Preparation of a source's examples: validation, and writing with references to the images."""

from __future__ import annotations

import hashlib
import itertools
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from mmeval.api.source import Example, Rejected
from mmeval.console import progress
from mmeval.data.fingerprint import encode_row
from mmeval.data.languages import RESERVED
from mmeval.data.reading.text import is_text, writable
from mmeval.data.store import ATTRIBUTE, LABEL, METADATA, SLICE
from mmeval.data.store_files import EXAMPLES
from mmeval.errors import DataError

if TYPE_CHECKING:
    from mmeval.api.source import Source
    from mmeval.api.task import Task
    from mmeval.data.prepare.images import PreparedImages

BATCH = 4096
LONGEST_TEXT = 32_768
"""Characters of a text that are kept: about 8,000 English tokens, more than any encoder here reads."""
REJECTED_SCHEMA = pa.schema([(name, pa.string()) for name in ("where", "id", "reason")])
PREFIXES = {"slices": SLICE, "metadata": METADATA, "attributes": ATTRIBUTE}


@dataclass
class WrittenExamples:
    """Counts and rejected rows, collected while the examples are written."""

    count: int = 0
    cut: int = 0
    """Number of texts that were longer than ``LONGEST_TEXT``."""
    languages: set[str] = field(default_factory=set)
    splits: Counter[str] = field(default_factory=Counter)
    attributes: dict[str, set[str]] = field(default_factory=dict)
    rejected: list[Rejected] = field(default_factory=list)
    unknown: dict[str, Counter[str]] = field(default_factory=dict)
    """Rows by task and label that is not a class of the task."""
    left_out: dict[str, Counter[str]] = field(default_factory=dict)
    """Rows by task and label whose class the variant leaves out."""
    sha: hashlib._Hash = field(default_factory=hashlib.sha256)
    """Digest of all rows."""


def write_examples(folder: Path, source: Source, images: PreparedImages, name: str) -> WrittenExamples:
    """Write ``examples-00000.arrow`` into ``folder``, in the format that ``datasets`` memory-maps.

    Raises:
        DataError: no example can be used, or the source contradicts itself.
    """
    tasks, written = source.tasks, WrittenExamples()
    first = _first(source)
    columns = {attribute: sorted(getattr(first, attribute)) for attribute in PREFIXES}
    text = {column: pa.string() for column in ("id", "text", "language", "split", "cluster")}
    labels = {LABEL + task.name: pa.list_(pa.int32()) if task.multilabel else pa.int32() for task in tasks}
    others = {PREFIXES[attribute] + column: pa.string() for attribute in PREFIXES for column in columns[attribute]}
    schema = pa.schema({**text, "image": pa.int32(), **labels, **others})
    rows = _Rows(tasks, images, columns, written).of(source)
    with (
        progress(f"Writing {name}", None, "examples") as advance,
        pa.OSFile(str(folder / f"{EXAMPLES}-00000.arrow"), "wb") as sink,
        pa.ipc.new_stream(sink, schema) as writer,
    ):
        while block := list(itertools.islice(rows, BATCH)):
            writer.write_batch(pa.RecordBatch.from_pylist(block, schema=schema))
            advance(len(block))
    if not written.count:
        raise _all_rejected(written.rejected[0])
    return written


def _first(source: Source) -> Example:
    rejected: Rejected | None = None
    for example in source.examples():
        if isinstance(example, Example):
            return example
        rejected = rejected or example
    raise _all_rejected(rejected) if rejected else DataError("The source has no examples.")


def _all_rejected(first: Rejected) -> DataError:
    return DataError(f"All rows of the source were rejected, for example {first.where}: {first.reason}.")


def write_rejected(path: Path, rejected: list[Rejected]) -> None:
    """Write rejected rows and images as a Parquet table with the columns where, id and reason."""
    rows = [{name: writable(getattr(row, name)) for name in REJECTED_SCHEMA.names} for row in rejected]
    pq.write_table(pa.Table.from_pylist(rows, schema=REJECTED_SCHEMA), str(path))


class _Rows:
    """Converts examples to rows of the Store, and counts them in ``written``."""

    def __init__(
        self,
        tasks: tuple[Task, ...],
        images: PreparedImages,
        columns: Mapping[str, list[str]],
        written: WrittenExamples,
    ) -> None:
        self.tasks, self.images, self.columns, self.written = tasks, images, columns, written
        self.indices = {task.name: {name: index for index, name in enumerate(task.classes)} for task in tasks}
        self.all_image_rows = images.rows()
        self.ids: set[str] = set()

    def of(self, source: Source) -> Iterator[dict[str, Any]]:
        """Yield the row of each usable example."""
        written = self.written
        for source_example in source.examples():
            if isinstance(source_example, Rejected):
                written.rejected.append(source_example)
                continue
            example = self._cut(source_example)
            if reason := self._problem(example):
                written.rejected.append(Rejected(example.where or example.id, reason, example.id))
                continue
            row = self._row(example)
            self.ids.add(example.id)
            written.count += 1
            written.languages.add(example.language)
            written.splits[example.split] += 1
            for task, label in example.unknown_labels.items():
                written.unknown.setdefault(task, Counter())[label] += 1
            for task, label in example.left_out_labels.items():
                written.left_out.setdefault(task, Counter())[label] += 1
            for name, value in example.attributes.items():
                written.attributes.setdefault(name, set()).add(value)
            written.sha.update(encode_row(row))
            yield row

    def _cut(self, example: Example) -> Example:
        """Return the example with its text, metadata and attributes cut to the longest allowed length."""
        texts = (example.text, *example.metadata.values(), *example.attributes.values())
        long = sum(text != _shortened(text) for text in texts)
        if not long:
            return example
        self.written.cut += long
        return replace(
            example,
            text=_shortened(example.text),
            metadata={name: _shortened(text) for name, text in example.metadata.items()},
            attributes={name: _shortened(text) for name, text in example.attributes.items()},
        )

    def _problem(self, example: Example) -> str:
        """Return why an example can't be used; empty if it can."""
        for name, value in self._texts(example):
            if not isinstance(value, str):
                raise DataError(f"Example {example.id}: its {name} must be a text, but is {value!r}.")
            if not is_text(value):
                return f"its {name} holds half a character (a lone surrogate)"
        if example.language in RESERVED:
            return f'the language "{example.language}" is a reserved word of the score table'
        if example.id in self.ids:
            return f'the id "{example.id}" belongs to another example'
        for task, label in example.labels.items():
            for name in label if isinstance(label, tuple) else (label,):
                if name not in self.indices.get(task, {}):
                    return f'"{name}" is not a class of {task}'
        if example.image is not None and example.image not in self.all_image_rows:
            reason = self.images.rejected.get(example.image)
            if reason is None:
                raise DataError(
                    f'Example {example.id} names the image "{example.image}", which the source does not have.'
                )
            return f"{example.image}: {reason}"
        return ""

    @staticmethod
    def _texts(example: Example) -> Iterator[tuple[str, str]]:
        yield from ((name, getattr(example, name)) for name in ("id", "text", "language", "split", "cluster"))
        for attribute in PREFIXES:
            yield from getattr(example, attribute).items()

    def _row(self, example: Example) -> dict[str, Any]:
        others: dict[str, str] = {}
        for attribute, expected in self.columns.items():
            values: Mapping[str, str] = getattr(example, attribute)
            if sorted(values) != expected:
                raise DataError(
                    f"Example {example.id} has the {attribute} {sorted(values)}, but others have {expected}."
                )
            others |= {PREFIXES[attribute] + name: value for name, value in values.items()}
        return {
            "id": example.id,
            "text": example.text,
            "language": example.language,
            "split": example.split,
            "cluster": example.cluster or example.id,
            "image": -1 if example.image is None else self.all_image_rows[example.image],
            **{LABEL + task.name: self._label(example, task) for task in self.tasks},
            **others,
        }

    def _label(self, example: Example, task: Task) -> int | list[int] | None:
        """Return the class index, -1 for none; for a multi-label task the sorted indices, None for no label."""
        label, index = example.labels.get(task.name), self.indices[task.name]
        if isinstance(label, tuple) != task.multilabel and label is not None:
            expected = "a tuple of classes" if task.multilabel else "one class, a text"
            raise DataError(f"Example {example.id}: its label of {task.name} must be {expected}, but is {label!r}.")
        if isinstance(label, tuple):
            return sorted({index[name] for name in label})
        return None if task.multilabel else -1 if label is None else index[label]


def _shortened(text: str) -> str:
    # A value that is not a text is reported later, with the name of its field.
    return text[:LONGEST_TEXT] if isinstance(text, str) and len(text) > LONGEST_TEXT else text

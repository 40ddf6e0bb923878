"""Chunks of new rows, prepared as a data set in memory: images converted, texts cut, unusable rows rejected."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mmeval.api.source import Rejected
from mmeval.api.task import Task
from mmeval.data.loader import cores, in_order
from mmeval.data.prepare.examples import LONGEST_TEXT
from mmeval.data.prepare.image import StoredImage
from mmeval.data.prepare.shard import SCHEMA as IMAGE_SCHEMA
from mmeval.data.prepare.shard import convert_or_reason
from mmeval.data.reading.text import is_text
from mmeval.data.store import ATTRIBUTE, Store
from mmeval.data.table.images import ImageReference
from mmeval.data.table.parsing import ParsedRow
from mmeval.inference.rows import NewRow

ROWS = 1024
"""Rows of a chunk. Results may differ in the last bits with the size of the batches, so it is fixed."""
_TASK = 32
"""Rows that a thread prepares at once."""


@dataclass(frozen=True)
class Chunk:
    """Consecutive rows, of which the usable ones are a Store in memory."""

    start: int
    """Number of the first row in the table, from 0."""
    ids: list[str]
    """The id of every row, also of a rejected one; file and row where the table has none."""
    languages: list[str | None]
    """The language of every row; None for a rejected one."""
    rejected: list[Rejected | None]
    """For every row the reason for rejecting it; None for a usable row."""
    usable: NDArray[np.int64]
    """Positions of the usable rows in the chunk."""
    store: Store
    """The usable rows, in their order."""
    rows: list[NewRow]
    """The usable rows as the table has them."""

    def __len__(self) -> int:
        """Number of rows, rejected ones included."""
        return len(self.ids)


class _Prepared:
    """A row with its converted image, or the reason for rejecting it."""

    __slots__ = ("image", "row")

    def __init__(self, row: NewRow | Rejected, image: StoredImage | None = None) -> None:
        self.row, self.image = row, image


def chunks(
    rows: Iterable[NewRow | Rejected],
    tasks: Sequence[Task],
    attributes: Sequence[str],
    *,
    images: bool,
    start: int = 0,
    size: int | None = None,
) -> Iterator[Chunk]:
    """Yield chunks of ``size`` rows; images are read and converted in threads, ahead of the chunk that is used.

    Args:
        rows: the rows, in their order.
        tasks: the tasks of the model.
        attributes: the names of further inputs.
        images: whether the model sees images; otherwise they are not read.
        start: the number of the first row.
        size: rows per chunk; None for ``ROWS``.
    """
    size = size or ROWS
    left = size

    def parts() -> Iterator[list[NewRow | Rejected]]:
        nonlocal left
        source = iter(rows)
        while part := list(itertools.islice(source, min(_TASK, left))):
            left = left - len(part) or size
            yield part

    prepare = _with_images if images else _without_images
    prepared = (
        in_order(parts(), prepare, workers=cores(), ahead=max(2 * cores(), size // _TASK))
        if images
        else map(prepare, parts())
    )
    held: list[_Prepared] = []
    for part in prepared:
        held += part
        if len(held) == size:
            yield _chunk(held, tasks, attributes, start)
            start += len(held)
            held = []
    if held:
        yield _chunk(held, tasks, attributes, start)


def _without_images(part: Sequence[NewRow | Rejected]) -> list[_Prepared]:
    return [_Prepared(_checked(row)) for row in part]


def _with_images(part: Sequence[NewRow | Rejected]) -> list[_Prepared]:
    known: dict[str, StoredImage | str] = {}
    prepared = []
    for raw in part:
        row = _checked(raw)
        reference = row.parsed.image if isinstance(row, NewRow) else None
        if not isinstance(row, NewRow) or reference is None:
            prepared.append(_Prepared(row))
            continue
        if reference.key not in known:
            known[reference.key] = convert_or_reason(reference.key, reference.read)
        image = known[reference.key]
        if isinstance(image, str):
            prepared.append(_Prepared(Rejected(row.parsed.where, f"{reference.key}: {image}", row.parsed.id)))
        else:
            prepared.append(_Prepared(row, image))
    return prepared


def _checked(row: NewRow | Rejected) -> NewRow | Rejected:
    """Return a row, rejected if a text of it can't be written as UTF-8."""
    if isinstance(row, NewRow):
        for name, value in (("id", row.parsed.id), ("text", row.parsed.text)):
            if not is_text(value):
                return Rejected(row.parsed.where, f"its {name} holds half a character (a lone surrogate)")
    return row


def _chunk(held: Sequence[_Prepared], tasks: Sequence[Task], attributes: Sequence[str], start: int) -> Chunk:
    ids: list[str] = []
    languages: list[str | None] = []
    rejected: list[Rejected | None] = []
    usable: list[int] = []
    image_rows: list[int] = []
    images: dict[str, tuple[int, StoredImage]] = {}
    rows: list[NewRow] = []
    for place, prepared in enumerate(held):
        row = prepared.row
        if isinstance(row, Rejected):
            ids.append(row.id or row.where)
            languages.append(None)
            rejected.append(row)
            continue
        ids.append(row.id)
        languages.append(row.parsed.language)
        rejected.append(None)
        usable.append(place)
        rows.append(row)
        image = prepared.image
        image_rows.append(-1 if image is None else images.setdefault(image.digest, (len(images), image))[0])
    columns = {
        "id": [row.id for row in rows],
        "text": [row.parsed.text[:LONGEST_TEXT] for row in rows],
        "language": [row.parsed.language for row in rows],
        "split": ["predict"] * len(rows),
        "cluster": [row.id for row in rows],
    }
    table = {name: pa.array(values, pa.string()) for name, values in columns.items()}
    table["image"] = pa.array(image_rows, pa.int32())
    for name in attributes:
        table[ATTRIBUTE + name] = pa.array([row.attributes.get(name, "") for row in rows], pa.string())
    stored = [image for _, image in images.values()]
    fields = [[image.digest for image in stored], [image.digest for image in stored], [image.data for image in stored]]
    arrays = [pa.array(values, field.type) for values, field in zip(fields, IMAGE_SCHEMA, strict=True)]
    store = Store.in_memory("new rows", tasks, pa.table(table), pa.table(arrays, schema=IMAGE_SCHEMA))
    return Chunk(start, ids, languages, rejected, np.array(usable, np.int64), store, rows)


def single(
    image: StoredImage | None, text: str, language: str, attributes: Mapping[str, str], tasks: Sequence[Task]
) -> Store:
    """Return a Store in memory with a single example."""
    reference = ImageReference(image.digest) if image else None
    parsed = ParsedRow("example", text, language, {}, reference, "", "", {}, {}, "the example")
    return _chunk([_Prepared(NewRow(parsed, attributes), image)], tasks, list(attributes), 0).store

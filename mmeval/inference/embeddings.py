"""Embeddings of rows as an Arrow table: the fused vector of each row in half precision."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mmeval.engine.transient import TransientEmbeddings
from mmeval.errors import UserError
from mmeval.inference.chunk import Chunk, chunks
from mmeval.inference.member import Member
from mmeval.inference.results import REJECTED
from mmeval.inference.rows import NewRows

EMBEDDING = "embedding"
LARGEST = float(np.finfo(np.float16).max)


def schema(width: int) -> pa.Schema:
    """Return the columns of embeddings: ``id``, ``language``, ``embedding`` (float16 ``[width]``) and ``rejected``."""
    return pa.schema(
        [
            pa.field("id", pa.string()),
            pa.field("language", pa.string()),
            pa.field(EMBEDDING, pa.list_(pa.float16(), width)),
            pa.field(REJECTED, pa.string()),
        ]
    )


def embeddings(
    member: Member, rows: NewRows, *, batch_size: int | None = None, start: int = 0, stop: int | None = None
) -> Iterator[tuple[Chunk, pa.Table]]:
    """Yield chunks of rows with their embeddings; memory holds a few chunks.

    Args:
        member: the model.
        rows: the rows.
        batch_size: examples per forward pass.
        start: number of the first row.
        stop: number of the row behind the last; None for all.

    Raises:
        UserError: the rows can't be read, or the model has no embeddings.
    """
    parsed, memory = rows.parsed(start, stop), TransientEmbeddings()
    for chunk in chunks(parsed, member.tasks, rows.attributes, images=rows.reads_images, start=start):
        rows.forget()
        with memory.block():
            vectors = member.embed(chunk.store, batch_size=batch_size)
        yield chunk, table(chunk, vectors)


def table(chunk: Chunk, vectors: NDArray[np.float32]) -> pa.Table:
    """Return the embeddings of a chunk, a row for each of its rows; that of a rejected row is null.

    ``vectors``: ``[n, D]`` of the usable rows. Features beyond the range of half precision are clamped to it.
    """
    own = schema(vectors.shape[1])
    half = np.zeros((len(chunk), vectors.shape[1]), np.float16)
    half[chunk.usable] = vectors.clip(-LARGEST, LARGEST)
    unusable = np.ones(len(chunk), bool)
    unusable[chunk.usable] = False
    lists = pa.FixedSizeListArray.from_arrays(
        pa.array(half.ravel()), type=own.field(EMBEDDING).type, mask=pa.array(unusable)
    )
    return pa.table(
        [
            pa.array(chunk.ids, pa.string()),
            pa.array(chunk.languages, pa.string()),
            lists,
            pa.array([row and row.reason for row in chunk.rejected], pa.string()),
        ],
        schema=own,
    )


def vectors_of(column: pa.ChunkedArray | pa.Array) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Return embeddings ``[n, D]``, zero for null, and bool ``[n]``: whether a row has one that is not zero."""
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    width = array.type.list_size
    values = array.values.slice(array.offset * width, len(array) * width)
    matrix = values.to_numpy(zero_copy_only=False).reshape(len(array), width).astype(np.float32)
    matrix[~np.asarray(array.is_valid())] = 0  # the features of a null are NaN
    return matrix, matrix.any(1)


def only(members: tuple[Member, ...]) -> Member:
    """Return the single model of a classifier.

    Raises:
        UserError: there are several, whose spaces have nothing in common.
    """
    if len(members) > 1:
        names = " and ".join(member.name for member in members[:2])
        raise UserError(
            f"Embeddings of several models can't be averaged: each model has its own space; choose one of {names}."
        )
    return members[0]

"""Exact nearest neighbours by cosine similarity, in blocks, so that memory does not grow with the rows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from mmeval.errors import DataError
from mmeval.files import scratch_folder
from mmeval.inference.embeddings import EMBEDDING, vectors_of

IDS, SIMILARITIES = "neighbour_ids", "neighbour_similarities"
BLOCK = 8192
"""Rows of the reference that are compared at once."""
MODEL_KEY = b"mmeval:model"
"""Key of the identity of the model in the metadata of a file of embeddings."""
SAME = 0.999
"""Two rows with the same id are the same row if their similarity is at least this; half precision rounds vectors."""


class Neighbours(NamedTuple):
    """The nearest rows of each query, the nearest first."""

    ids: pa.ListArray
    """Their ids."""
    similarities: pa.ListArray
    """Their cosine similarities, float32."""
    own: int
    """Number of queries that are rows of the reference themselves."""


class Reference:
    """The rows among which neighbours are searched: ids in memory, unit vectors in a temporary file."""

    def __init__(self, path: Path) -> None:
        """Read the embeddings in ``path``, a Parquet file with the columns ``id`` and ``embedding``.

        Raises:
            UserError: the file holds no embeddings.
        """
        self.path = path
        with open_embeddings(path) as file:
            self.width = int(file.schema_arrow.field(EMBEDDING).type.list_size)
            self.model = model_of(file.schema_arrow)
            folder, self._remove = scratch_folder("mmeval-neighbours-")
            ids: list[pa.Array] = []
            with (folder / "vectors").open("wb") as out:
                for batch in file.iter_batches(BLOCK, columns=["id", EMBEDDING]):
                    vectors, present = vectors_of(batch.column(1))
                    _unit(vectors[present]).tofile(out)
                    ids.append(batch.column(0).cast(pa.string()).filter(pa.array(present)))
        self.ids = pa.chunked_array(ids, pa.string()).combine_chunks()
        """The ids of the rows that have a vector."""
        shape = (len(self.ids), self.width)
        self._vectors: NDArray[np.float32] = (
            np.memmap(folder / "vectors", np.float32, "r", shape=shape)
            if len(self.ids)
            else np.zeros(shape, np.float32)
        )

    def __len__(self) -> int:
        """Number of rows that have a vector."""
        return len(self.ids)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        del self._vectors
        self._remove()

    def nearest(self, vectors: NDArray[np.float32], ids: Sequence[str | None], k: int) -> Neighbours:
        """Return the ``k`` rows with the highest cosine similarity to each vector ``[n, D]``, the nearest first.

        A row is not its own neighbour: a row of the reference with the same id and a similarity of at least ``SAME`` is
        left out. A zero vector has no neighbours. Among equal similarities, the first rows of the reference come first.
        """
        queries = _unit(vectors)
        kept = k + 1  # the row itself may be among them
        best = np.full((len(queries), kept), -np.inf, np.float32)
        rows = np.full((len(queries), kept), -1, np.int64)
        for start in range(0, len(self), BLOCK):
            block = self._vectors[start : start + BLOCK]
            similar = queries @ block.T  # [n, b]
            columns = _largest(similar, kept)
            best = np.hstack([best, np.take_along_axis(similar, columns, 1)])
            rows = np.hstack([rows, columns + start])
            columns = _largest(best, kept)
            best, rows = np.take_along_axis(best, columns, 1), np.take_along_axis(rows, columns, 1)
        return self._without_self(best, rows, ids, np.asarray(queries.any(1)), k)

    def _without_self(
        self,
        best: NDArray[np.float32],
        rows: NDArray[np.int64],
        ids: Sequence[str | None],
        present: NDArray[np.bool_],
        k: int,
    ) -> Neighbours:
        flat = pa.array(np.where(rows < 0, 0, rows).ravel())
        names = (
            self.ids.take(flat).to_numpy(zero_copy_only=False).reshape(rows.shape) if len(self) else rows.astype(object)
        )
        own = (names == np.asarray(ids, object)[:, None]) & (best >= SAME) & (rows >= 0)
        own &= own.cumsum(1) == 1  # at most one row is the row itself
        usable = (rows >= 0) & ~own & present[:, None]
        usable &= usable.cumsum(1) <= k
        counts = usable.sum(1)
        offsets = pa.array(np.append(0, counts.cumsum()), pa.int32())
        return Neighbours(
            pa.ListArray.from_arrays(offsets, pa.array(names[usable], pa.string())),
            pa.ListArray.from_arrays(offsets, pa.array(best[usable], pa.float32())),
            int((own.any(1) & present).sum()),
        )


def open_embeddings(path: Path) -> pq.ParquetFile:
    """Open a file of embeddings.

    Raises:
        UserError: it is none.
    """
    try:
        file = pq.ParquetFile(path)
    except FileNotFoundError:
        raise DataError(f"There is no file {path}.") from None
    except (OSError, pa.ArrowException) as error:
        reason = " ".join(str(error).split()).rstrip(".")
        raise DataError(f"{path} is no Parquet file of embeddings ({reason}).") from None
    names = file.schema_arrow.names
    if is_embeddings(file.schema_arrow):
        return file
    file.close()
    raise DataError(
        f"{path} holds no embeddings: `mmeval embed` writes the columns id and {EMBEDDING}, this file has "
        f"{', '.join(names)}."
    )


def is_embeddings(columns: pa.Schema) -> bool:
    """Return whether a table has the columns of embeddings: ``id``, and float vectors of one size in ``embedding``."""
    if not {"id", EMBEDDING} <= set(columns.names):
        return False
    kind = columns.field(EMBEDDING).type
    return bool(pa.types.is_fixed_size_list(kind) and pa.types.is_floating(kind.value_type))


def model_of(columns: pa.Schema) -> str:
    """Return the identity of the model that made embeddings; empty if the file does not tell."""
    metadata: dict[bytes, bytes] = columns.metadata or {}
    return metadata.get(MODEL_KEY, b"").decode("utf-8", "replace")


def _unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return vectors of length 1; zero vectors stay zero."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return (vectors / np.where(lengths, lengths, 1)).astype(np.float32)


def _largest(values: NDArray[np.float32], k: int) -> NDArray[np.int64]:
    """Return the columns of the ``k`` largest values of each line ``[n, m]``, the largest first, then the leftmost."""
    k = min(k, values.shape[1])
    smallest = np.partition(values, values.shape[1] - k, axis=1)[:, values.shape[1] - k, None]
    above, equal = values > smallest, values == smallest
    equal &= equal.cumsum(1, dtype=np.int32) <= k - above.sum(1, keepdims=True)
    columns = np.nonzero(above | equal)[1].reshape(-1, k)
    order = np.argsort(-np.take_along_axis(values, columns, 1), axis=1, kind="stable")
    return np.take_along_axis(columns, order, 1)

"""The embeddings of a table in a file, with the nearest rows of a reference, as ``mmeval embed`` writes them."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from mmeval.console import note, progress
from mmeval.errors import UserError
from mmeval.files import digest
from mmeval.inference.chunk import ROWS
from mmeval.inference.classifier import Classifier, Tally
from mmeval.inference.embeddings import EMBEDDING, embeddings, only, schema, vectors_of
from mmeval.inference.job import PARQUET, require_output, run_job
from mmeval.inference.neighbours import (
    IDS,
    MODEL_KEY,
    SIMILARITIES,
    Reference,
    is_embeddings,
    open_embeddings,
)
from mmeval.inference.predict import Shard, job_identity, require_not_input
from mmeval.inference.ray import Embed, RayEngine
from mmeval.inference.rows import NewRows, RowOptions
from mmeval.integrity import content_digest

JOB_KEY = b"mmeval:job"
"""Key of the identity of the job in the metadata of a file of embeddings."""
REFERENCE, OWN = ".reference.parquet", ".embeddings.parquet"
"""Suffixes of the files with the embeddings of a reference that is a table: another one, or the table itself."""


def embed_file(
    classifier: Classifier,
    source: Path,
    output: Path,
    *,
    rows: RowOptions = RowOptions(),  # noqa: B008 - frozen
    neighbours: int | None = None,
    reference: Path | None = None,
    batch_size: int | None = None,
    shard: Shard = Shard(),  # noqa: B008 - frozen
    engine: RayEngine | None = None,
) -> Tally:
    """Embed the rows of a table and write a Parquet file; an interrupted call continues where it stopped.

    Args:
        classifier: a single model.
        source: the table: a file, or a folder of files.
        output: the Parquet file. It appears when it is complete.
        rows: options of the rows, and of the reference if it is a table.
        neighbours: number of nearest rows of the reference to add to each row.
        reference: embeddings that an earlier call wrote, or a table, whose embeddings are then written beside the
            output; by default the table itself.
        batch_size: examples per forward pass.
        shard: the part of the rows to embed.
        engine: embeds in the workers of a Ray cluster, instead of this process.

    Raises:
        UserError: the model has no fused vector, the table or the reference can't be read, the output can't be written,
            or another process is writing it.
    """
    require_output(output, (PARQUET,))
    if neighbours is None and reference is not None:
        raise UserError("--reference names the rows among which neighbours are searched; add --neighbours K.")
    if neighbours is not None and neighbours < 1:
        raise UserError(f"--neighbours {neighbours}: write the number of nearest rows, at least 1.")
    new = classifier.rows(source, rows)
    require_not_input(output, new)
    job = _Job(classifier, new, rows, batch_size, shard, engine)
    if neighbours is None:
        return job.write(output)
    if reference is not None and shard.of == 1 and reference.exists() and reference.samefile(source):
        reference = None
    if reference is None and shard.of > 1:
        raise UserError(
            f"--shard {shard.number}/{shard.of}: each shard needs all rows to find neighbours; embed the table first, "
            "and name that file with --reference."
        )
    if reference is not None and reference.exists() and output.exists() and reference.samefile(output):
        raise UserError(f"--output {output} is the reference itself; name another file.")
    own = reference is None
    embedded = output.with_name(output.stem + (OWN if own else REFERENCE))
    if reference is None:
        job.write_once(embedded)
    elif reference.is_file() and reference.suffix.lower() == PARQUET and is_embeddings(pq.read_schema(reference)):
        embedded = reference
    else:
        table = classifier.rows(reference, rows)
        require_not_input(embedded, table)
        _Job(classifier, table, rows, batch_size, Shard(), engine).write_once(embedded)
    tally = job.write(output, neighbours, embedded, own=own)
    if own:
        embedded.unlink()
    elif embedded != reference:
        note(f"The embeddings of {reference} are in {embedded}; name it with --reference next time")
    return tally


class _Job:
    """The embedding of the rows of one table."""

    def __init__(
        self,
        classifier: Classifier,
        rows: NewRows,
        options: RowOptions,
        batch_size: int | None,
        shard: Shard,
        engine: RayEngine | None,
    ) -> None:
        if engine:
            engine.require(rows)
        self.member, self.classifier = only(classifier.members), classifier
        self.rows, self.options, self.batch_size, self.shard, self.engine = rows, options, batch_size, shard, engine
        self.identity = job_identity(classifier, rows, shard) | {"batch size": batch_size, "kind": "embeddings"}

    def write(self, output: Path, k: int | None = None, reference: Path | None = None, *, own: bool = False) -> Tally:
        """Write the file ``output``, with ``k`` neighbours in ``reference``; ``own``: it holds these very rows."""
        tally = Tally()
        with contextlib.ExitStack() as stack:
            searched = None
            identity: dict[str, Any] = dict(self.identity)
            if k is not None and reference is not None:
                searched = stack.enter_context(Reference(reference))
                self._require_same_model(searched)
                identity |= {"neighbours": k, "reference": content_digest(reference)}
            columns = self._schema(identity, k)
            start, stop = self.shard.span(self.rows)

            def compute(done: int) -> Iterator[pa.Table]:
                with progress("Embedding", None if stop is None else stop - start, "rows") as advance:
                    advance(done)
                    ready = _read(reference, done) if own and reference else self._embed(start + done, stop, tally)
                    for table in ready:
                        if searched is not None and k is not None:
                            table = _with_neighbours(table, searched, k)
                        yield table.cast(columns)
                        advance(len(table))
                if not own:
                    self.rows.announce()

            for table in run_job(output, identity, columns, compute, (PARQUET,)):
                tally.add(table, ())
        if not tally.rows:
            note(f"{self.rows.where} holds no rows")
        tally.announce()
        return tally

    def write_once(self, output: Path) -> None:
        """Write the file ``output``, unless an earlier call has written the same embeddings there."""
        if output.is_file() and _metadata(output).get(JOB_KEY) == _identity(self.identity):
            note(f"Using the embeddings in {output}")
            return
        self.write(output)

    def _embed(self, start: int, stop: int | None, tally: Tally) -> Iterator[pa.Table]:
        if self.engine:
            function = Embed(self.batch_size)
            for table in self.engine.tables(function, self.classifier, self.rows, self.options, start, stop):
                tally.note_reasons(table)
                yield table
            return
        for chunk, table in embeddings(self.member, self.rows, batch_size=self.batch_size, start=start, stop=stop):
            tally.note_rejected(chunk)
            yield table

    def _schema(self, identity: Mapping[str, Any], k: int | None) -> pa.Schema:
        columns = schema(self.member.embedding_width)
        if k is not None:
            columns = columns.append(pa.field(IDS, pa.list_(pa.string())))
            columns = columns.append(pa.field(SIMILARITIES, pa.list_(pa.float32())))
        return columns.with_metadata({MODEL_KEY: self.member.identity.encode(), JOB_KEY: _identity(identity)})

    def _require_same_model(self, reference: Reference) -> None:
        """Check that a reference has the embeddings of this model.

        Raises:
            UserError: it has those of another.
        """
        if reference.model and reference.model != self.member.identity:
            raise UserError(
                f"--reference {reference.path} holds embeddings of another model than {self.member.name}, in a space "
                "of its own; embed the reference with this run."
            )
        if reference.width != self.member.embedding_width:
            raise UserError(
                f"--reference {reference.path} holds vectors of {reference.width} features, {self.member.name} makes "
                f"{self.member.embedding_width}; embed the reference with this run."
            )
        if not reference.model:
            note(f"{reference.path} does not tell which model embedded it; its vectors are taken as those of this run")
        if not len(reference):
            note(f"{reference.path} holds no vectors, so that no row has neighbours")


def _with_neighbours(table: pa.Table, reference: Reference, k: int) -> pa.Table:
    """Return a table of embeddings with the columns of its neighbours."""
    vectors, _ = vectors_of(table[EMBEDDING])
    found = reference.nearest(vectors, table["id"].to_pylist(), k)
    return table.append_column(IDS, found.ids).append_column(SIMILARITIES, found.similarities)


def _read(path: Path, start: int) -> Iterator[pa.Table]:
    """Yield the rows of a file of embeddings from number ``start``, in tables of ``ROWS`` rows."""
    with open_embeddings(path) as file:
        done = 0
        for batch in file.iter_batches(ROWS):
            if done >= start:
                yield pa.Table.from_batches([batch])
            done += len(batch)


def _metadata(path: Path) -> Mapping[bytes, bytes]:
    try:
        return pq.read_schema(path).metadata or {}
    except (OSError, pa.ArrowException):
        return {}


def _identity(identity: Mapping[str, Any]) -> bytes:
    return digest(json.dumps(identity, sort_keys=True)).encode()

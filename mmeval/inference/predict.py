"""The predictions of a table in a file, as ``mmeval predict`` writes them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from mmeval.console import note, progress
from mmeval.errors import UserError
from mmeval.files import digest
from mmeval.inference.classifier import Classifier, Tally
from mmeval.inference.job import require_output, run_job
from mmeval.inference.ray import Classify, RayEngine
from mmeval.inference.results import ResultOptions, result_table, schema
from mmeval.inference.rows import NewRows, RowOptions
from mmeval.inference.score import Scoring
from mmeval.integrity import content_digest

_BAR = 2**30
"""Bytes above which reading takes more than about two seconds, so that a progress bar is shown."""


@dataclass(frozen=True)
class Shard:
    """One of several equal parts of the rows, in their order."""

    number: int = 1
    """From 1."""
    of: int = 1

    @classmethod
    def parse(cls, text: str) -> Shard:
        """Return the shard that ``--shard`` names: ``2/8``.

        Raises:
            UserError: the text has another form, or there is no such shard.
        """
        number, _, of = text.partition("/")
        if number.isdecimal() and of.isdecimal() and 1 <= int(number) <= int(of):
            return cls(int(number), int(of))
        raise UserError(f"--shard {text}: write I/N, the I-th of N parts, such as 1/4.")

    def span(self, rows: NewRows) -> tuple[int, int | None]:
        """Return the number of the first row and of the row behind the last; None for the end of the table."""
        if self.of == 1:
            return 0, None
        total = rows.count()
        return total * (self.number - 1) // self.of, total * self.number // self.of


def predict_file(
    classifier: Classifier,
    source: Path,
    output: Path,
    *,
    rows: RowOptions = RowOptions(),  # noqa: B008 - frozen
    results: ResultOptions = ResultOptions(),  # noqa: B008 - frozen
    calibrated: bool = True,
    batch_size: int | None = None,
    shard: Shard = Shard(),
    scoring: Scoring | None = None,
    engine: RayEngine | None = None,
) -> Tally:
    """Classify the rows of a table and write a file; an interrupted call continues where it stopped.

    Args:
        classifier: the models.
        source: the table: a file, or a folder of files.
        output: CSV, JSON Lines or Parquet, by its suffix. It appears when it is complete.
        rows: options of the rows.
        results: options of the results.
        calibrated: whether to calibrate probabilities.
        batch_size: examples per forward pass.
        shard: the part of the rows to classify.
        scoring: scores the predictions with the labels in the table; without it, no label is read.
        engine: computes in the workers of a Ray cluster, instead of this process.

    Raises:
        UserError: the table can't be read, the output can't be written, or another process is writing it.
    """
    require_output(output)
    if scoring:
        scoring.require_new_folder()
    new = classifier.rows(source, rows, classifier.tasks if scoring else ())
    require_not_input(output, new)
    if engine:
        engine.require(new)
        if scoring:
            raise UserError("--engine ray writes predictions only; leave out --score, and score them afterwards.")
    identity = job_identity(classifier, new, shard) | {
        "results": [results.top_k, results.min_confidence],
        "calibration": calibrated,
        "batch size": batch_size,
        "labels": new.labels,
    }
    tally = Tally()
    start, stop = shard.span(new)

    def compute(done: int) -> Iterator[pa.Table]:
        first = start + done
        with progress("Predicting", None if stop is None else stop - start, "rows") as advance:
            advance(done)
            if engine:
                function = Classify(results, calibrated, batch_size)
                for table in engine.tables(function, classifier, new, rows, first, stop):
                    tally.note_reasons(table)
                    yield table
                    advance(len(table))
                return
            chunks = classifier.classify(new, calibrated=calibrated, batch_size=batch_size, start=first, stop=stop)
            for own in chunks:
                tally.note_rejected(own.chunk)
                table = result_table(own.chunk, own.probabilities, classifier.tasks, results)
                yield scoring.extend(table, own, new) if scoring else table
                advance(len(own.chunk))
        new.announce()

    def finish(parts: list[Path]) -> None:
        if scoring:
            scoring.write(parts, new, identity["input"])

    columns, extra = schema(classifier.tasks), scoring.fields if scoring else ()
    for table in run_job(output, identity, columns, compute, extra=extra, finish=finish):
        tally.add(table, classifier.tasks)
    if not tally.rows:
        note(f"{new.where} holds no rows" + (f" in shard {shard.number}/{shard.of}" if shard.of > 1 else ""))
    tally.announce()
    return tally


def job_identity(classifier: Classifier, rows: NewRows, shard: Shard) -> dict[str, Any]:
    """Return what the output of a job depends on: the models, the input, and the columns."""
    return {
        "run": [[member.record.seal or member.record.name, member.seed] for member in classifier.members],
        "input": _digest_of(rows),
        "columns": [str(rows.columns), rows.language],
        "images": str(rows.folder.absolute()),
        "shard": [shard.number, shard.of],
        "device": classifier.members[0].device.type,
    }


def require_not_input(output: Path, rows: NewRows) -> None:
    """Check that the output is not the table itself.

    Raises:
        UserError: it is.
    """
    files: Sequence[Path] = [table.path for table in rows.tables]
    if output.exists() and any(path.exists() and path.samefile(output) for path in files):
        raise UserError(f"--output {output} is the table itself; name another file.")


def _digest_of(rows: NewRows) -> str:
    paths = [table.path for table in rows.tables]
    size = sum(path.stat().st_size for path in paths)
    if size < _BAR:
        return digest(*(f"{path.name}\0{content_digest(path)}" for path in paths))
    with progress("Checking the table", size, "bytes") as advance:
        return digest(*(f"{path.name}\0{content_digest(path, advance)}" for path in paths))

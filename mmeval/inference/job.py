"""Long jobs over the rows of a table: parts on disk, continuation after a kill, and one output file at the end.

Beside the output stands the folder ``OUTPUT.unfinished`` with a part per 8,192 rows, and with ``job.json``, which tells
what is computed from which input. A part is written atomically, and the output replaces an older file when all parts
are there, so a kill at any moment costs at most one part, and the output is the same as without it.
"""

from __future__ import annotations

import contextlib
import csv
import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from mmeval.console import note
from mmeval.errors import DataError, Stopped, UserError
from mmeval.escaping import ACTIVE, spreadsheet
from mmeval.files import LockedError, atomic_path, digest, lock, sweep, write_text
from mmeval.home import home
from mmeval.integrity import DamageError, read_sealed, sealed

PART_ROWS = 8192
"""Rows of a part: a multiple of the rows of a chunk, so that a continued job has the same chunks."""
JOURNAL = "job.json"
UNFINISHED = ".unfinished"
CSV, JSON_LINES, PARQUET = ".csv", ".jsonl", ".parquet"

Rows = Callable[[int], Iterator[pa.Table]]
"""(number of rows that are done) -> tables of the rows that follow."""


def run_job(
    output: Path,
    identity: Mapping[str, Any],
    schema: pa.Schema,
    rows: Rows,
    formats: tuple[str, ...] = (),
    *,
    extra: Sequence[pa.Field] = (),
    finish: Callable[[list[Path]], None] = lambda _: None,
) -> Iterator[pa.Table]:
    """Compute the rows that are missing, write the output file, and yield its parts in their order.

    The caller consumes all parts.

    Args:
        output: the file to write; its suffix names the format.
        identity: everything that the content depends on, as JSON. If it differs from that of an unfinished job for
            the same output, the job starts anew.
        schema: the columns of the output.
        rows: computes the rows.
        formats: the suffixes that the output may have; by default CSV, JSON Lines and Parquet.
        extra: further columns of the parts, for ``finish``.
        finish: called with the parts when the output is written, before they are removed.

    Raises:
        UserError: the output can't be written there, or another process is writing it.
        Stopped: the user pressed Ctrl-C; finished parts are kept.
    """
    require_output(output, formats)
    work = output.with_name(output.name + UNFINISHED)
    with _exclusive(output):
        sweep(output.parent, output.name)
        done, finished = _prepare(work, dict(identity)), False
        try:
            _compute(work, pa.schema([*schema, *extra]), rows, done)
            yield from _merge(work, output, schema)
            finished = True
            finish(_parts(work))
        except KeyboardInterrupt:
            kept = _rows_in(_parts(work))
            raise Stopped(f"Stopped. {kept:,} rows are kept in {work}; repeat the command to continue.") from None
        except UserError:
            if finished:
                shutil.rmtree(work)
            raise
        shutil.rmtree(work)


def require_output(output: Path, formats: tuple[str, ...] = ()) -> None:
    """Check that a file can be written as the output of a job.

    Raises:
        UserError: its suffix names no format, or it is a folder.
    """
    formats = formats or (CSV, JSON_LINES, PARQUET)
    if output.suffix.lower() not in formats:
        names = f"{', '.join(formats[:-1])} or {formats[-1]}" if len(formats) > 1 else formats[0]
        raise UserError(f"--output {output}: its name must end in {names}.")
    if output.is_dir():
        raise UserError(f"--output {output} is a folder; name a file.")


@contextlib.contextmanager
def _exclusive(output: Path) -> Iterator[None]:
    output.parent.mkdir(parents=True, exist_ok=True)
    try:
        with lock(home() / "locks" / f"{digest(str(output.resolve()))[:16]}.lock", wait=False):
            yield
    except LockedError:
        raise UserError(
            f"--output {output}: another process is writing this file; wait until it has finished."
        ) from None


def _prepare(work: Path, identity: dict[str, Any]) -> int:
    """Create the folder of a job, or return how many rows an earlier attempt has finished."""
    journal = work / JOURNAL
    if work.exists():
        sweep(work)
        try:
            before = read_sealed(journal)
        except (OSError, DamageError):
            before = {}
        if before.get("identity") == json.loads(json.dumps(identity)):
            done = _rows_in(_parts(work))
            if done:
                note(f"Continuing after {done:,} rows, which {work} holds")
            return done
        if not before and any(work.iterdir()):
            raise UserError(f"{work} is in the way: it is no unfinished job that mmeval can read; remove it.")
        if before:
            note(f"Starting anew: {_first_difference(before.get('identity'), identity)} since {work} was begun")
        shutil.rmtree(work)
    work.mkdir(parents=True)
    write_text(journal, sealed({"identity": identity}))
    return 0


def _first_difference(before: object, now: Mapping[str, Any]) -> str:
    if isinstance(before, Mapping):
        for key in sorted({*before, *now}):
            if before.get(key) != now.get(key):
                return f"the {key} changed"
    return "the job changed"


def _compute(work: Path, schema: pa.Schema, rows: Rows, done: int) -> None:
    """Write the parts that follow ``done`` rows."""
    if done % PART_ROWS:  # the last part is shorter, so the table ended
        return
    number, held, count = done // PART_ROWS, list[pa.Table](), 0
    for table in rows(done):
        held.append(table)
        count += len(table)
        if count == PART_ROWS:
            _write_part(work, number, held, schema)
            number, held, count = number + 1, [], 0
        assert count < PART_ROWS, "parts end where chunks end"
    if held or not number:
        _write_part(work, number, held, schema)


def _write_part(work: Path, number: int, tables: list[pa.Table], schema: pa.Schema) -> None:
    table = pa.concat_tables(tables) if tables else schema.empty_table()
    with atomic_path(_part(work, number)) as path:
        pq.write_table(table, path, compression="zstd", write_page_checksum=True)


def _part(work: Path, number: int) -> Path:
    return work / f"part-{number:06}.parquet"


def _parts(work: Path) -> list[Path]:
    """Return the finished parts, up to the first that is missing, unreadable, or shorter than a part."""
    parts = []
    for number in range(len(list(work.glob("part-*.parquet")))):
        path = _part(work, number)
        try:
            rows = pq.read_metadata(path).num_rows
        except (OSError, pa.ArrowException):
            break
        parts.append(path)
        if rows < PART_ROWS:
            break
    return parts


def _rows_in(parts: list[Path]) -> int:
    return sum(pq.read_metadata(path).num_rows for path in parts)


def _merge(work: Path, output: Path, schema: pa.Schema) -> Iterator[pa.Table]:
    """Write the output from its parts, and yield them."""
    with atomic_path(output) as temporary, _writer(temporary, output.suffix.lower(), schema) as write:
        for path in _parts(work):
            try:
                table = pq.read_table(path, columns=schema.names, page_checksum_verification=True).cast(schema)
                table.validate(full=True)
            except (OSError, pa.ArrowException):
                path.unlink(missing_ok=True)
                raise DataError(
                    f"{path} was damaged, and is removed; repeat the command to compute it again."
                ) from None
            write(table)
            yield table


@contextlib.contextmanager
def _writer(path: Path, suffix: str, schema: pa.Schema) -> Iterator[Callable[[pa.Table], None]]:
    if suffix == PARQUET:
        with pq.ParquetWriter(str(path), schema, compression="zstd", write_page_checksum=True) as writer:
            yield writer.write_table
        return
    with path.open("w", encoding="utf-8", newline="") as file:
        if suffix == CSV:
            rows = csv.writer(file, lineterminator="\n")
            rows.writerow(map(spreadsheet, schema.names))
            yield lambda table: rows.writerows(map(_csv_row, _records(table)))
        else:
            names = schema.names
            yield lambda table: file.writelines(
                f"{_json(dict(zip(names, record, strict=True)))}\n" for record in _records(table)
            )


def _records(table: pa.Table) -> Iterator[tuple[Any, ...]]:
    return zip(*(_values(column) for column in table.columns), strict=True)


def _values(column: pa.ChunkedArray) -> list[Any]:
    """Return a column as Python values; a float32 as the shortest number that reads back as the same."""
    values: list[Any] = column.to_pylist()
    of = column.type.value_type if pa.types.is_list(column.type) else column.type
    if not pa.types.is_float32(of):
        return values
    return [[*map(_shortest, value)] if isinstance(value, list) else _shortest(value) for value in values]


def _shortest(number: float | None) -> float | None:
    return None if number is None else float(str(np.float32(number)))


def _csv_row(record: tuple[Any, ...]) -> list[str]:
    return [_csv_cell(value) for value in record]


def _csv_cell(value: Any) -> str:  # noqa: ANN401 - text, number, list or None
    if value is None:
        return ""
    if isinstance(value, str):
        return spreadsheet(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    return _json(value) if isinstance(value, list) else repr(value)


def _json(value: Any) -> str:  # noqa: ANN401 - what JSON holds
    # On one line; control characters as escapes.
    text = json.dumps(value, ensure_ascii=False)
    return ACTIVE.sub(lambda match: f"\\u{ord(match[0]):04x}", text)

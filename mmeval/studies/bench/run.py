"""Every run of a benchmark, one after the other; what one of them can't do doesn't stop the others."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa

from mmeval.console import note
from mmeval.errors import Stopped, UserError
from mmeval.files import disk_full, write_text
from mmeval.metrics.scores import write_scores
from mmeval.plugin.manager import Manager
from mmeval.report.content import Content
from mmeval.runs.pipeline import run
from mmeval.runs.scoring import content_of
from mmeval.studies.bench.entries import Entry
from mmeval.studies.bench.table import Row, markdown, rows_of
from mmeval.system_errors import trouble


def run_benchmark(entries: Sequence[Entry], output: Path, command: str) -> tuple[list[Row], dict[str, str]]:
    """Do each run that isn't done, then write ``README.md`` and ``scores.parquet`` into ``output``.

    Finished runs are left as they are, an unfinished one goes on: the same command again picks up where it stopped.
    A plugin whose run on all inputs failed has no row, though its baselines may be done.

    Returns:
        A row per plugin, and what went wrong by run.

    Raises:
        UserError: no run could be done.
    """
    failures: dict[str, str] = {}
    contents: dict[Entry, Content] = {}
    for number, entry in enumerate(entries, 1):
        note(f"[{number} of {len(entries)}] {entry.plugin}, {entry.inputs.value}")
        try:
            # A manager of its own: what one plugin brings must not be there for another.
            folder = run(entry.request, Manager())
            contents[entry] = content_of(folder, folder.record())
        except Stopped:
            raise Stopped(f"Stopped. {number - 1} of {len(entries)} runs are done; the same command goes on.") from None
        except Exception as error:
            failures[entry.folder.name] = _why(error)
            note(f"{entry.folder.name} failed: {_why(error)}")
    if not contents:
        raise UserError(f"No run of the benchmark could be done: {next(iter(failures.values()))}")
    rows = rows_of(contents)
    write_text(output / "README.md", markdown(rows, failures, command))
    write_scores(output / "scores.parquet", pa.concat_tables([content.scores for content in contents.values()]))
    return rows, failures


def _why(error: Exception) -> str:
    """Why a run failed.

    Raises:
        Exception: what the next run won't survive either (a full disk), or a defect of the program.
    """
    if isinstance(error, UserError):
        return str(error)
    if disk_full(error) or (message := trouble(error)) is None:
        raise error
    return message

"""Every run of a benchmark, one after the other; what one of them can't do doesn't stop the others."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa

from mmeval.bench.entries import Entry
from mmeval.bench.table import Row, markdown, rows_of
from mmeval.console import note
from mmeval.errors import Stopped, UserError
from mmeval.files import write_text
from mmeval.metrics.scores import read_scores, write_scores
from mmeval.plugin.manager import Manager
from mmeval.run.folder import RunFolder
from mmeval.run.views import content_of
from mmeval.run.walk import run


def walk(entries: Sequence[Entry], output: Path, command: str) -> tuple[list[Row], dict[str, str]]:
    """Do each run that isn't done, then write ``README.md`` and ``scores.parquet`` into ``output``.

    Finished runs are left as they are, an unfinished one goes on: the same command again picks up where it stopped.

    Returns:
        A row per plugin, and what went wrong by run.

    Raises:
        UserError: no run could be done.
    """
    failures: dict[str, str] = {}
    for number, entry in enumerate(entries, 1):
        note(f"[{number} of {len(entries)}] {entry.plugin}, {entry.inputs.value}")
        try:
            # A manager of its own: what one plugin brings must not be there for another.
            run(entry.request, Manager())
        except Stopped:
            raise Stopped(f"Stopped. {number - 1} of {len(entries)} runs are done; the same command goes on.") from None
        except UserError as error:
            failures[entry.folder.name] = str(error)
            note(f"{entry.folder.name} failed: {error}")
    done = [entry for entry in entries if entry.folder.name not in failures]
    if not done:
        raise UserError(f"No run of the benchmark could be done: {next(iter(failures.values()))}")
    folders = {entry: RunFolder(entry.folder) for entry in done}
    rows = rows_of({entry: content_of(folder, folder.record()) for entry, folder in folders.items()})
    write_text(output / "README.md", markdown(rows, failures, command))
    tables = [read_scores(folder.scores_file) for folder in folders.values()]
    write_scores(output / "scores.parquet", pa.concat_tables(tables))
    return rows, failures

"""``mmeval score``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def score(
    run: Annotated[Path, typer.Argument(help="Run folder.")],
    metrics: Annotated[
        list[str] | None, typer.Option("--metric", metavar="NAME", help="Add a plugin's metric: its name or ./file.py.")
    ] = None,
) -> None:
    """Make the scores of a run again, from its predictions, and then its report."""
    from mmeval.cli.show import show_result
    from mmeval.run.folder import RunFolder
    from mmeval.run.views import with_metrics, write_report, write_scores_of

    folder = RunFolder(run)
    record, found = with_metrics(folder.record(), metrics or ())
    write_scores_of(folder, record, found)
    write_report(folder, record)
    folder.finish(record)
    show_result(folder)

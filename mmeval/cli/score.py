"""``mmeval score`` and ``mmeval report``: make the scores and the report of a finished run again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def score(
    run: Annotated[Path, typer.Argument(help="Run folder.")],
    metrics: Annotated[
        list[str] | None, typer.Option("--metric", metavar="NAME", help="Add a plugin's metric: its name or ./file.py.")
    ] = None,
    plugin: Annotated[
        str | None, typer.Option(metavar="FILE", help="The ./file.py of the run's model, if a metric comes with it.")
    ] = None,
    dataset: Annotated[
        str | None, typer.Option(metavar="FILE", help="The ./file.py of its data set, if a metric comes with it.")
    ] = None,
) -> None:
    """Make the scores of a run again, from its predictions, and then its report.

    Every file of the run folder is held against the digests in run.json first. Files with code that the run folder
    names are not run: name those that you trust.
    """
    from mmeval.cli.run import show_result
    from mmeval.runs.folder import RunFolder
    from mmeval.runs.scoring import ScoringPlugins, score_again

    folder = RunFolder(run)
    score_again(folder, ScoringPlugins(tuple(metrics or ()), plugin, dataset))
    show_result(folder)


def report(run: Annotated[Path, typer.Argument(help="Run folder.")]) -> None:
    """Make the report of a run again, from its scores.

    Every file of the run folder is held against the digests in run.json first.
    """
    from mmeval.cli.run import show_result
    from mmeval.runs.folder import RunFolder
    from mmeval.runs.scoring import report_again

    folder = RunFolder(run)
    report_again(folder)
    show_result(folder)

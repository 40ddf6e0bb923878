"""The commands ``mmeval score`` and ``mmeval report``, which rebuild the scores and report of a finished run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mmeval.cli.options import Hierarchy, Metrics


def score(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Run folder.")],
    metrics: Metrics = None,
    hierarchy: Hierarchy = None,
    plugin: Annotated[
        str | None, typer.Option(metavar="FILE", help="The model as ./file.py, if the file registers a metric.")
    ] = None,
    dataset: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="The data set as ./file.py, if the file registers a metric."),
    ] = None,
) -> None:
    """Recompute the scores of a run from its predictions, then rebuild its report.

    The files of the run folder are first checked against the digests in run.json.

    Python files that the run folder names are not executed unless you name them.
    """
    from mmeval.cli.run import show_result
    from mmeval.runs.folder import RunFolder
    from mmeval.runs.scoring import ScoringPlugins, score_again

    folder = RunFolder(run)
    score_again(folder, ScoringPlugins(tuple(metrics or ()), plugin, dataset), tuple(hierarchy or ()))
    show_result(folder)


def report(run: Annotated[Path, typer.Argument(metavar="RUN", help="Run folder.")]) -> None:
    """Rebuild the report of a run from its scores.

    The files of the run folder are first checked against the digests in run.json.
    """
    from mmeval.cli.run import show_result
    from mmeval.runs.folder import RunFolder
    from mmeval.runs.scoring import report_again

    folder = RunFolder(run)
    report_again(folder)
    show_result(folder)

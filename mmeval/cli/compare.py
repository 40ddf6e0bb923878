"""The command ``mmeval compare``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mmeval.cli.options import AsJson


def compare(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN", help="Folders of finished runs, two or more.")],
    metric: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Metric: top1, top5, macro_f1, log_loss, ..., a plugin's metric or ./file.py.",
            show_default="top1; subset_accuracy of a multi-label task",
        ),
    ] = None,
    task: Annotated[
        str | None, typer.Option(metavar="NAME", help="Task that is compared.", show_default="the first one")
    ] = None,
    correction: Annotated[str, typer.Option(help="Correction over languages: holm or bh.")] = "holm",
    margin: Annotated[
        float | None,
        typer.Option(metavar="D", help="Largest difference that does not matter (0.02): tests equivalence within it."),
    ] = None,
    as_json: AsJson = False,
    output: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Write comparison.html, comparison.json and comparison.parquet there."),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Compare runs whose protocols or rows differ; the result says in what.")
    ] = False,
) -> None:
    """Compare finished runs on the same rows: is A better than B, in which language, and could the data show it?

    The table shows A minus B of the first two runs per language, with 95 % intervals and exact p-values that take
    clusters (rows of one image or product) as the unit. More than two runs get ranks.
    """
    from mmeval.comparison.write import as_json as json_of
    from mmeval.console import cell, console, print_json
    from mmeval.report.comparison import terminal
    from mmeval.runs.compare import compare_folders
    from mmeval.runs.folder import RunFolder

    result = compare_folders(
        [RunFolder(run) for run in runs], metric=metric, task=task, correction=correction, margin=margin, force=force
    )
    if output is not None:
        result.write(output)
    if as_json:
        print_json(json_of(result))
        return
    screen = console()
    screen.print(terminal(result))
    if output is not None:
        screen.print(cell(f"Comparison: {output}"), soft_wrap=True)

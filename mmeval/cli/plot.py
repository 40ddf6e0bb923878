"""The command ``mmeval plot``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def plot(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN", help="Run folders; one or several, by the kind.")],
    output: Annotated[
        Path, typer.Option(metavar="FILE", help="The figure; the ending is .svg, .png or .pdf.", show_default=False)
    ],
    kind: Annotated[
        str,
        typer.Option(
            metavar="KIND",
            help="languages: score per language; reliability: accuracy by confidence; confusion: the classes confused "
            "most; learning: validation score by epoch; comparison: differences of two runs, or ranks of several.",
        ),
    ] = "languages",
    task: Annotated[
        str | None, typer.Option(metavar="NAME", help="Task that is drawn.", show_default="the first one")
    ] = None,
    metric: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Metric of languages and comparison: macro_f1, ...", show_default="top1"),
    ] = None,
    width: Annotated[
        float | None,
        typer.Option(metavar="MM", help="Width in millimetres.", show_default="84, a column of a paper"),
    ] = None,
) -> None:
    """Draw a figure of finished runs for a paper, as SVG, PNG or PDF, and print a caption for it.

    Texts have 6 to 8 points at the width of the figure, so print it in that width. The same runs give the same file.
    The package matplotlib is needed: install mmeval with the extra plot.
    """
    from mmeval.console import cell, console
    from mmeval.runs.folder import RunFolder
    from mmeval.runs.plot import plot as draw

    caption = draw([RunFolder(run) for run in runs], kind, output, task=task, metric=metric, width_mm=width)
    screen = console()
    screen.print(cell(caption), soft_wrap=True)
    screen.print(cell(f"Figure: {output}"), soft_wrap=True)

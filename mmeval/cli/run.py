"""The command ``mmeval run``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mmeval.cli.options import OPTION, Changes, Device, Hierarchy, Limit, Metrics, Seeds, takes_dataset
from mmeval.data.request import DatasetRequest

if TYPE_CHECKING:
    from mmeval.runs.folder import RunFolder


EMOJI14 = DatasetRequest("emoji14")


@takes_dataset(OPTION, default=EMOJI14.name)
def run(
    plugin: Annotated[
        str, typer.Option(metavar="NAME", help="Model: a plugin's name (see `mmeval plugins`) or ./file.py.")
    ] = "embracenet",
    dataset: DatasetRequest = EMOJI14,
    preset: Annotated[
        str | None,
        typer.Option(help="Preset of the model (see `mmeval plugins show`).", show_default="the model's default"),
    ] = None,
    changes: Changes = None,
    inputs: Annotated[
        str | None,
        typer.Option(help="Inputs of the model: image+text, image or text.", show_default="all that the model uses"),
    ] = None,
    metrics: Metrics = None,
    hierarchy: Hierarchy = None,
    device: Device = "auto",
    seed: Annotated[int, typer.Option(min=0, help="First training seed.")] = 0,
    seeds: Seeds = 1,
    limit: Limit = None,
    output: Annotated[
        Path | None,
        typer.Option(help="Run folder; an unfinished run in it is resumed.", show_default="a new folder in runs"),
    ] = None,
) -> None:
    """Train a model, score it per language, and write a run folder with a report."""
    from mmeval.errors import Stopped
    from mmeval.runs.pipeline import run as run_pipeline
    from mmeval.runs.request import Request, parse_inputs

    request = Request(
        plugin=plugin,
        dataset=dataset,
        preset=preset,
        changes=tuple(changes or ()),
        inputs=None if inputs is None else parse_inputs(inputs),
        device=device,
        seed=seed,
        seeds=seeds,
        limit=limit,
        output=output,
        metrics=tuple(metrics or ()),
        hierarchies=tuple(hierarchy or ()),
    )
    try:
        folder = run_pipeline(request)
    except KeyboardInterrupt:
        raise Stopped("Stopped before the run began; no partial files are left. Repeat the command.") from None
    show_result(folder)


def show_result(folder: RunFolder) -> None:
    """Print the scores per language and the paths of the run folder and its report."""
    from mmeval.console import cell, console
    from mmeval.report.terminal import terminal

    screen = console()
    screen.print(terminal(folder.content()))
    screen.print(cell(f"Run folder: {folder.path}"), soft_wrap=True)
    screen.print(cell(f"Report:     {folder.report_path}"), soft_wrap=True)

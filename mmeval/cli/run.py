"""``mmeval run``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mmeval.cli.options import OPTION, takes_dataset
from mmeval.data.request import DatasetRequest

if TYPE_CHECKING:
    from mmeval.runs.folder import RunFolder


EMOJI14 = DatasetRequest("emoji14")


@takes_dataset(OPTION, default=EMOJI14.name)
def run(
    plugin: Annotated[str, typer.Option(help="Model: a plugin's name (`mmeval plugins`) or ./file.py.")] = "embracenet",
    dataset: DatasetRequest = EMOJI14,
    preset: Annotated[str | None, typer.Option(help="Preset of the plugin (`mmeval plugins show NAME`).")] = None,
    changes: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change an option; may be repeated.")
    ] = None,
    inputs: Annotated[
        str | None,
        typer.Option(help="What the model is shown: image+text, image or text.", show_default="all that it uses"),
    ] = None,
    metrics: Annotated[
        list[str] | None,
        typer.Option("--metric", metavar="NAME", help="Score with a plugin's metric too: its name or ./file.py."),
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    seed: Annotated[int, typer.Option(min=0, help="First training seed.")] = 0,
    seeds: Annotated[int, typer.Option(min=1, help="Number of training seeds; scores are means over them.")] = 1,
    limit: Annotated[int | None, typer.Option(min=1, help="Take N examples of each split: a trial.")] = None,
    output: Annotated[Path | None, typer.Option(help="Run folder; an unfinished run in it goes on.")] = None,
) -> None:
    """Train a model, score it per language, write a run folder with a report."""
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
    )
    try:
        folder = run_pipeline(request)
    except KeyboardInterrupt:
        raise Stopped("Stopped before the run began. Nothing half-written is left; repeat the command.") from None
    show_result(folder)


def show_result(folder: RunFolder) -> None:
    """Print the table per language, and where everything is."""
    from mmeval.console import cell, console
    from mmeval.report.terminal import terminal

    screen = console()
    screen.print(terminal(folder.content()))
    screen.print(cell(f"Run folder: {folder.path}"), soft_wrap=True)
    screen.print(cell(f"Report:     {folder.report_path}"), soft_wrap=True)

"""The command ``mmeval run``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mmeval.cli.options import OPTION, Changes, Device, Hierarchy, Limit, Metrics, Seeds, takes_dataset
from mmeval.data.request import DatasetRequest

if TYPE_CHECKING:
    from mmeval.runs.folder import RunFolder


EMOJI14 = DatasetRequest("emoji14")


CONTRADICTING = {
    "preset": "--preset",
    "changes": "--set",
    "inputs": "--inputs",
    "seed": "--seed",
    "seeds": "--seeds",
    "limit": "--limit",
    "allow_mismatch": "--allow-mismatch",
    "columns": "--columns",
    "language": "--language",
    "encoding": "--encoding",
}
"""Options that a repeated run takes from its record, by the name of their parameter."""


@takes_dataset(OPTION, default=EMOJI14.name)
def run(
    context: typer.Context,
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
    repeated: Annotated[
        Path | None,
        typer.Option(
            "--from", metavar="RUN", help="Repeat a finished run with the options in its run.json.", show_default=False
        ),
    ] = None,
) -> None:
    """Train a model, score it per language, and write a run folder with a report."""
    from mmeval.runs.folder import RunFolder
    from mmeval.runs.pipeline import repeat
    from mmeval.runs.pipeline import run as run_pipeline
    from mmeval.runs.repeat import Named
    from mmeval.runs.request import Request, parse_inputs

    if repeated is not None:
        _refuse_contradictions(context, repeated)
        named = Named(
            plugin=plugin if _is_typed(context, "plugin") else None,
            dataset=dataset.name if _is_typed(context, "dataset") else None,
            metrics=tuple(metrics or ()),
            source=dataset.source,
            images=dataset.images,
            device=device if _is_typed(context, "device") else None,
            output=output,
        )
        show_result(_started(lambda: repeat(RunFolder(repeated), named)))
        return
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
    show_result(_started(lambda: run_pipeline(request)))


def _started(run: Callable[[], RunFolder]) -> RunFolder:
    """Return the folder of a run; Ctrl-C before the run begins ends the command in one sentence."""
    from mmeval.errors import Stopped

    try:
        return run()
    except KeyboardInterrupt:
        raise Stopped("Stopped before the run began; no partial files are left. Repeat the command.") from None


def _refuse_contradictions(context: typer.Context, repeated: Path) -> None:
    """Raise a UserError if an option is typed that a repeated run takes from its record."""
    from mmeval.errors import UserError

    for parameter, option in CONTRADICTING.items():
        if _is_typed(context, parameter):
            raise UserError(
                f"{option}: --from {repeated} repeats that run with its own options; leave {option} out, or start a "
                "run without --from."
            )


def _is_typed(context: typer.Context, parameter: str) -> bool:
    source = context.get_parameter_source(parameter)
    return source is not None and source.name == "COMMANDLINE"


def show_result(folder: RunFolder) -> None:
    """Print the scores per language and the paths of the run folder and its report."""
    from mmeval.console import cell, console
    from mmeval.report.terminal import terminal

    screen = console()
    screen.print(terminal(folder.content()))
    screen.print(cell(f"Run folder: {folder.path}"), soft_wrap=True)
    screen.print(cell(f"Report:     {folder.report_path}"), soft_wrap=True)

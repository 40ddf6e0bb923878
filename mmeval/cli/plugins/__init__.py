"""The commands ``mmeval plugins ...``."""

from __future__ import annotations

from typing import Annotated

import typer

from mmeval.cli.listing import print_listing
from mmeval.cli.options import AsJson
from mmeval.cli.plugins.check import check
from mmeval.cli.plugins.new import new
from mmeval.cli.plugins.show import show

app = typer.Typer(help="List the installed plugins; show, check or create one.", invoke_without_command=True)
app.command()(show)
app.command()(check)
app.command()(new)


@app.callback()
def plugins(
    ctx: typer.Context,
    json: AsJson = False,
    timings: Annotated[bool, typer.Option("--timings", help="Measure the import time of each plugin.")] = False,
) -> None:
    """List the installed plugins without importing any."""
    if ctx.invoked_subcommand is None:
        next_step = "mmeval plugins show NAME, or mmeval plugins new NAME"
        kinds = ("model", "dataset", "metric", "command") if timings else ("model", "metric", "command")
        print_listing(*kinds, as_json=json, next_step=next_step, timed=timings)

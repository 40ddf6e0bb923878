"""``mmeval plugins``."""

from __future__ import annotations

from typing import Annotated

import typer

from mmeval.cli.listing import print_listing
from mmeval.cli.plugins.check import check
from mmeval.cli.plugins.new import new
from mmeval.cli.plugins.show import show

app = typer.Typer(help="List the installed plugins; explain, check or begin one.", invoke_without_command=True)
app.command()(show)
app.command()(check)
app.command()(new)


@app.callback()
def plugins(
    ctx: typer.Context,
    json: Annotated[bool, typer.Option("--json", help="As JSON, for programs.")] = False,
    timings: Annotated[bool, typer.Option("--timings", help="Measure how long each takes to import.")] = False,
) -> None:
    """List the installed plugins; none is imported."""
    if ctx.invoked_subcommand is None:
        then = "mmeval plugins show NAME, or mmeval plugins new NAME"
        kinds = ("model", "dataset", "metric", "command") if timings else ("model", "metric", "command")
        print_listing(*kinds, as_json=json, then=then, timed=timings)

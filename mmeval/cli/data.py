"""``mmeval data``."""

from __future__ import annotations

from typing import Annotated

import typer

from mmeval.cli.listing import print_listing

app = typer.Typer(help="List the data sets.", invoke_without_command=True)


@app.callback()
def data(
    ctx: typer.Context,
    json: Annotated[bool, typer.Option("--json", help="As JSON, for programs.")] = False,
) -> None:
    """List the data sets; none is opened."""
    if ctx.invoked_subcommand is None:
        print_listing("dataset", as_json=json, then="mmeval run --dataset NAME")

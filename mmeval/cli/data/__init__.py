"""``mmeval data``."""

from __future__ import annotations

from typing import Annotated

import typer

from mmeval.cli.data.audit import audit
from mmeval.cli.data.card import card
from mmeval.cli.data.prepare import prepare
from mmeval.cli.data.show import show
from mmeval.cli.data.stats import stats
from mmeval.cli.data.verify import verify
from mmeval.cli.listing import print_listing

app = typer.Typer(help="List the data sets; prepare, check and look at one.", invoke_without_command=True)
for command in (prepare, verify, stats, show, audit, card):
    app.command()(command)


@app.callback()
def data(
    ctx: typer.Context,
    json: Annotated[bool, typer.Option("--json", help="As JSON, for programs.")] = False,
) -> None:
    """List the data sets; none is opened."""
    if ctx.invoked_subcommand is None:
        print_listing("dataset", as_json=json, then="mmeval data prepare NAME, or mmeval run --dataset NAME")

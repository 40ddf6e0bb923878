"""The commands ``mmeval data ...``."""

from __future__ import annotations

import typer

from mmeval.cli.data.audit import audit
from mmeval.cli.data.card import card
from mmeval.cli.data.power import power
from mmeval.cli.data.prepare import prepare
from mmeval.cli.data.show import show
from mmeval.cli.data.stats import stats
from mmeval.cli.data.verify import verify
from mmeval.cli.listing import print_listing
from mmeval.cli.options import AsJson

app = typer.Typer(help="List the data sets; prepare, check and inspect one.", invoke_without_command=True)
for command in (prepare, verify, stats, power, show, audit, card):
    app.command()(command)


@app.callback()
def data(
    ctx: typer.Context,
    json: AsJson = False,
) -> None:
    """List the data sets without opening any."""
    if ctx.invoked_subcommand is None:
        print_listing("dataset", as_json=json, next_step="mmeval data prepare NAME, or mmeval run --dataset NAME")

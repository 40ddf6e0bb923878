"""The command ``mmeval data card``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mmeval.cli.options import open_dataset, takes_dataset
from mmeval.data.request import DatasetRequest
from mmeval.escaping import visible


@takes_dataset()
def card(
    dataset: DatasetRequest,
    generate: Annotated[
        bool, typer.Option("--generate", help="Generate the card from the prepared data, even if there is a card.")
    ] = False,
    output: Annotated[
        Path | None, typer.Option(help="Write the card to this file.", show_default="standard output")
    ] = None,
) -> None:
    """Show the data card of a data set; the card of a table is generated from its data."""
    from mmeval.data.open.resolve import resolve_spec
    from mmeval.data.open.write_card import card_of
    from mmeval.plugin.manager import Manager

    shipped = None if generate or dataset.is_table else resolve_spec(dataset.name, Manager()).card
    text = shipped.read_text(encoding="utf-8") if shipped else card_of(open_dataset(dataset))
    if output:
        from mmeval.console import cell, console
        from mmeval.files import write_text

        write_text(output, text)
        console().print(cell(f"Wrote {output}"), soft_wrap=True)
        return
    typer.echo(visible(text))

"""The command ``mmeval data prepare``."""

from __future__ import annotations

from pathlib import Path
from shlex import join, quote
from typing import Annotated

import typer

from mmeval.cli.options import TABLES, open_dataset, takes_dataset
from mmeval.data.request import DatasetRequest


@takes_dataset()
def prepare(
    dataset: DatasetRequest,
    save: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.toml", help="Save these options to a file.", show_default=False, rich_help_panel=TABLES
        ),
    ] = None,
) -> None:
    """Prepare a data set: read or download its files, check them, and store the examples for runs.

    Files are downloaded only where the licence of the data set allows it.
    """
    from mmeval.console import cell, console
    from mmeval.errors import Stopped

    try:
        if save:
            from mmeval.data.table.resolve import save_table
            from mmeval.plugin.manager import Manager

            dataset = DatasetRequest(save_table(dataset, save, Manager()))
        data = open_dataset(dataset, download=True)
    except KeyboardInterrupt:
        raise Stopped("Stopped; the images prepared so far are kept. Repeat the command to resume.") from None
    screen = console()
    count = sum(data.store.split_sizes.values())
    languages = "1 language" if len(data.store.languages) == 1 else f"{len(data.store.languages)} languages"
    ready = f"{data.store.name} is ready: {count:,} examples in {languages}, "
    screen.print(cell(f"{ready}{data.store.image_count:,} images."), soft_wrap=True)
    screen.print(cell(f"Next: {_next(dataset)}"), style="dim", soft_wrap=True)


def _next(dataset: DatasetRequest) -> str:
    """Return the command to type next: the name alone is enough unless a table has options."""
    name = quote(dataset.name)
    if not dataset.table_options:
        return f"mmeval data stats {name}, or mmeval run --dataset {name}"
    return (
        f"mmeval run {join(dataset.arguments())}, or repeat this command with --save NAME.toml to use the table by NAME"
    )

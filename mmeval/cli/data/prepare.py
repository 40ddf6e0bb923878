"""``mmeval data prepare``."""

from __future__ import annotations

from pathlib import Path
from shlex import join, quote
from typing import Annotated

import typer

from mmeval.cli.options import open_dataset, takes_dataset
from mmeval.data.request import DatasetRequest


@takes_dataset()
def prepare(
    dataset: DatasetRequest,
    save: Annotated[
        Path | None, typer.Option(help="Of a table: write all that was said to FILE.toml.", show_default=False)
    ] = None,
) -> None:
    """Read a data set from its files (or download it where its licence allows), check it, keep it ready."""
    from mmeval.console import cell, console
    from mmeval.errors import Stopped

    try:
        if save:
            from mmeval.data.table.resolve import save_table
            from mmeval.plugin.manager import Manager

            dataset = DatasetRequest(save_table(dataset, save, Manager()))
        data = open_dataset(dataset, download=True)
    except KeyboardInterrupt:
        raise Stopped("Stopped. What is prepared is kept; repeat the command to go on.") from None
    screen = console()
    count = sum(data.store.split_sizes.values())
    languages = "1 language" if len(data.store.languages) == 1 else f"{len(data.store.languages)} languages"
    ready = f"{data.store.name} is ready: {count:,} examples in {languages}, "
    screen.print(cell(f"{ready}{data.store.image_count:,} images."), soft_wrap=True)
    screen.print(cell(f"Next: {_next(dataset)}"), style="dim", soft_wrap=True)


def _next(dataset: DatasetRequest) -> str:
    """Return the next command to type: with the name alone, unless a table's options would be lost with it."""
    name = quote(dataset.name)
    if not dataset.table_options:
        return f"mmeval data stats {name}, or mmeval run --dataset {name}"
    return f"mmeval run {join(dataset.arguments())}, or this again with --save NAME.toml, and NAME is enough"

"""``mmeval data audit``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mmeval.cli.options import open_dataset, takes_dataset
from mmeval.data.request import DatasetRequest


@takes_dataset()
def audit(
    dataset: DatasetRequest,
    encoder: Annotated[
        str | None,
        typer.Option(
            help="Compare images by this image encoder too, as efficientnet-lite0:128.",
            show_default="where its embeddings are cached",
        ),
    ] = None,
    output: Annotated[Path | None, typer.Option(help="Folder of the report.", show_default="audits/NAME")] = None,
) -> None:
    """Look for leaks and duplicates between splits, texts in another language, labels that stand in the text."""
    from mmeval.audit import audit as look
    from mmeval.audit.terminal import terminal
    from mmeval.console import cell, console
    from mmeval.errors import Stopped

    data = open_dataset(dataset)
    folder = output or Path("audits") / data.store.name.replace(":", "-")
    try:
        found = look(data.store, folder, encoder=encoder, credit=data.spec.credit)
    except KeyboardInterrupt:
        raise Stopped("Stopped. Nothing half-written is left; repeat the command.") from None
    screen = console()
    screen.print(terminal(found))
    screen.print(cell(f"Report: {folder / 'audit.html'}"), soft_wrap=True)

"""The command ``mmeval data audit``."""

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
            help="Also compare images by this image encoder, such as efficientnet-lite0:128.",
            show_default="an encoder whose embeddings are cached, if any",
        ),
    ] = None,
    output: Annotated[Path | None, typer.Option(help="Folder of the report.", show_default="audits/NAME")] = None,
) -> None:
    """Find leaks and duplicates, texts in another language, and labels that appear in the text."""
    from mmeval.audit import audit as audit_store
    from mmeval.audit.terminal import terminal
    from mmeval.console import cell, console
    from mmeval.errors import Stopped

    data = open_dataset(dataset)
    folder = output or Path("audits") / data.store.name.replace(":", "-")
    try:
        result = audit_store(data.store, folder, encoder=encoder, credit=data.spec.credit)
    except KeyboardInterrupt:
        raise Stopped("Stopped; no partial files are left. Repeat the command.") from None
    screen = console()
    screen.print(terminal(result))
    screen.print(cell(f"Report: {folder / 'audit.html'}"), soft_wrap=True)

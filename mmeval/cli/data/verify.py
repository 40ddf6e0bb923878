"""``mmeval data verify``."""

from __future__ import annotations

import typer

from mmeval.cli.options import AsJson, open_dataset, takes_dataset
from mmeval.data.request import DatasetRequest


@takes_dataset()
def verify(
    dataset: DatasetRequest,
    json: AsJson = False,
) -> None:
    """Hold prepared data against its digests and its data card; the exit status is 1 if it isn't as it should be.

    It is 2 where the data can't be opened at all."""
    from mmeval.data.open.verify import Status
    from mmeval.data.open.verify import verify as check

    data = open_dataset(dataset)
    findings = check(data)
    if json:
        from mmeval.console import print_json

        print_json([{"verdict": one.status.value, "text": one.text} for one in findings])
    else:
        from rich.text import Text

        from mmeval.console import cell, console

        marks = {Status.GOOD: ("✓", "green"), Status.WARNING: ("!", "yellow"), Status.BAD: ("✗", "bold red")}
        screen = console()
        screen.print(cell(f"{data.store.name} in {data.store.folder}", "bold"), soft_wrap=True)
        for one in findings:
            screen.print(Text.assemble(marks[one.status], " ", cell(one.text)), soft_wrap=True)
    raise typer.Exit(1 if any(one.status is Status.BAD for one in findings) else 0)

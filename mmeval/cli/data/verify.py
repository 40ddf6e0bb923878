"""The command ``mmeval data verify``."""

from __future__ import annotations

import typer

from mmeval.cli.options import AsJson, open_dataset, takes_dataset
from mmeval.data.request import DatasetRequest


@takes_dataset()
def verify(
    dataset: DatasetRequest,
    json: AsJson = False,
) -> None:
    """Check prepared data against its digests and its data card.

    The exit status is 0 if they match, 1 if not, 2 if the data can't be opened.
    """
    from mmeval.data.open.verify import Status
    from mmeval.data.open.verify import verify as check

    data = open_dataset(dataset)
    findings = check(data)
    if json:
        from mmeval.console import print_json

        print_json([{"verdict": finding.status.value, "text": finding.text} for finding in findings])
    else:
        from rich.text import Text

        from mmeval.console import cell, console

        marks = {Status.GOOD: ("✓", "green"), Status.WARNING: ("!", "yellow"), Status.BAD: ("✗", "bold red")}
        screen = console()
        screen.print(cell(f"{data.store.name} in {data.store.folder}", "bold"), soft_wrap=True)
        for finding in findings:
            screen.print(Text.assemble(marks[finding.status], " ", cell(finding.text)), soft_wrap=True)
    raise typer.Exit(1 if any(finding.status is Status.BAD for finding in findings) else 0)

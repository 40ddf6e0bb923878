"""The command ``mmeval leaderboard``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def leaderboard(
    runs: Annotated[
        list[Path], typer.Argument(metavar="RUNS", help="Run folders, or folders that contain run folders.")
    ],
    output: Annotated[Path, typer.Option(metavar="FOLDER", help="Folder of the site.")] = Path("site"),
    title: Annotated[str, typer.Option(metavar="TEXT", help="Title of the site.")] = "Leaderboard",
) -> None:
    """Write a static site over many runs and data sets: ranks, languages, cost and reports.

    Only runs of the same data, split, inputs, label policy, limit and track share a table. Paired tests decide which
    runs can't be told apart. The site works from a disk (file://) and from any static host; all of its paths are
    relative. Repeat the command after new runs to bring it up to date.
    """
    from mmeval.console import cell, console
    from mmeval.publish.leaderboard.site import leaderboard as write

    written = write(runs, output, title=title)
    screen = console()
    for table in written.tables:
        protocol = table.protocol
        count = len(table.entries)
        facts = f"{protocol.dataset}, {protocol.inputs.value}, {protocol.track}: {count} run{'s' if count != 1 else ''}"
        screen.print(cell(facts), soft_wrap=True)
    screen.print(cell(f"Site: {written.index}"), soft_wrap=True)

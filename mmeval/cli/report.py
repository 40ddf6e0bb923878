"""``mmeval report``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def report(run: Annotated[Path, typer.Argument(help="Run folder.")]) -> None:
    """Make the report of a run again, from its scores."""
    from mmeval.cli.show import show_result
    from mmeval.run.folder import RunFolder
    from mmeval.run.views import write_report

    folder = RunFolder(run)
    write_report(folder, folder.record())
    show_result(folder)

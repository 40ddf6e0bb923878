"""``mmeval report``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def report(run: Annotated[Path, typer.Argument(help="Run folder.")]) -> None:
    """Make the report of a run again, from its scores.

    Every file of the run folder is held against the digests in run.json first.
    """
    from mmeval.cli.show import show_result
    from mmeval.run.folder import RunFolder
    from mmeval.run.views import report_again

    folder = RunFolder(run)
    report_again(folder)
    show_result(folder)

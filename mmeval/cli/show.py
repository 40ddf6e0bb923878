"""What a person sees when a run is done."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mmeval.run.folder import RunFolder


def show_result(folder: RunFolder) -> None:
    """Print the table per language, and where everything is."""
    from mmeval.console import cell, console
    from mmeval.report.terminal import terminal
    from mmeval.run.views import content_of

    screen = console()
    screen.print(terminal(content_of(folder, folder.record())))
    screen.print(cell(f"Run folder: {folder.path}"), soft_wrap=True)
    screen.print(cell(f"Report:     {folder.html_file}"), soft_wrap=True)

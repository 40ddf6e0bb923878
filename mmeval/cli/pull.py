"""The command ``mmeval pull``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def pull(
    repo: Annotated[str, typer.Argument(metavar="OWNER/NAME", help="Repository of a published run on the Hub.")],
    revision: Annotated[
        str | None, typer.Option(metavar="NAME", help="Branch, tag or commit.", show_default="main")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="New folder for the run.", show_default="the repository's name"),
    ] = None,
) -> None:
    """Bring a published run back from the Hub as a run folder, verified by its digests.

    Only run.json and the files that it lists are downloaded; nothing in the repository is run as code. The same command
    continues an interrupted download.
    """
    from mmeval.cli.run import show_result
    from mmeval.runs.pull import pull as pull_run

    show_result(pull_run(repo, revision, output or Path(repo.rpartition("/")[2])))

"""The command ``mmeval publish``."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from mmeval.cli.options import OPTION, takes_dataset
from mmeval.data.request import DatasetRequest
from mmeval.errors import UserError


class Target(StrEnum):
    """Where a publication goes."""

    HUB = "hub"
    FOLDER = "folder"
    EVERY_EVAL_EVER = "every-eval-ever"


@takes_dataset(OPTION, default="")
def publish(
    dataset: DatasetRequest,
    run: Annotated[
        Path | None, typer.Argument(metavar="RUN", help="Folder of a finished run.", show_default=False)
    ] = None,
    repo: Annotated[
        str, typer.Option(metavar="OWNER/NAME", help="Repository on the Hub; created if needed.", show_default=False)
    ] = "",
    to: Annotated[
        Target, typer.Option(help="The Hub, a folder with the same files, or the JSON of Every Eval Ever.")
    ] = Target.HUB,
    output: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="New folder, unless --to hub.", show_default=False)
    ] = None,
    predictions: Annotated[
        bool, typer.Option("--predictions", help="Publish the predictions of the scored split too.")
    ] = False,
    gallery: Annotated[
        bool | None,
        typer.Option(
            "--gallery/--no-gallery",
            help="Show images and texts of the most confident mistakes.",
            show_default="if the data card allows redistribution",
        ),
    ] = None,
    private: Annotated[bool, typer.Option("--private", help="Create a private repository.")] = False,
    licence: Annotated[
        str,
        typer.Option(
            "--licence",
            "--license",
            metavar="ID",
            help="Licence of the model, or of your own table, as the Hub names it: apache-2.0, cc-by-4.0, ...",
            show_default="the plugin's",
        ),
    ] = "",
    dataset_repo: Annotated[
        str,
        typer.Option(
            metavar="OWNER/NAME", help="The run's data set on the Hub, for its leaderboard.", show_default=False
        ),
    ] = "",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show each file with its size; nothing is written or uploaded.")
    ] = False,
) -> None:
    """Publish a run, or a data set with --dataset: to the Hub, to a folder, or in another tool's format.

    A run is published with weights, config, model card, scores, report and results for the Hub's leaderboards, in one
    commit; local paths are removed. The same command continues an interrupted upload, and does nothing if nothing
    changed. A token comes from `hf auth login` or HF_TOKEN. `mmeval pull OWNER/NAME` brings the run back.
    """
    if (run is None) == (not dataset.name):
        raise UserError("Name either a run folder or a data set: `mmeval publish RUN`, or --dataset NAME.")
    if to is Target.HUB and not repo:
        raise UserError("--repo is missing: write --repo OWNER/NAME, or --to folder --output FOLDER.")
    if to is not Target.HUB and output is None:
        raise UserError(f"--output is missing: --to {to.value} writes to a folder; write --output FOLDER.")
    if to is Target.HUB and output is not None:
        raise UserError(f"--output {output}: only --to folder and --to every-eval-ever write to a folder.")
    from mmeval.publish.hub import check_name, require_token

    for name in filter(None, (repo, dataset_repo)):
        check_name(name)
    if run is None:
        for option, value in (("--predictions", predictions), ("--gallery", gallery), ("--dataset-repo", dataset_repo)):
            if value:
                raise UserError(f"{option}: only a run has this option; leave it out.")
        _publish_dataset(dataset, repo, to, private=private, licence=licence, dry_run=dry_run)
        return
    if to is Target.EVERY_EVAL_EVER:
        from mmeval.publish.every_eval_ever import export

        assert output is not None
        tree = export(run, output, repo=repo, dataset_repo=dataset_repo, predictions=predictions, dry_run=dry_run)
        _show(tree, output, dry_run=dry_run)
        return
    from mmeval.publish.run import RunRequest, stage_run

    if to is Target.HUB and not dry_run:
        require_token()
    request = RunRequest(run, repo, predictions, gallery, licence, dataset_repo)
    _publish_run(stage_run(request), repo, output, private=private, dry_run=dry_run)


def _publish_run(staged: Any, repo: str, output: Path | None, *, private: bool, dry_run: bool) -> None:  # noqa: ANN401
    from mmeval.console import cell, console, note
    from mmeval.publish.hub import upload
    from mmeval.publish.run import write_folder

    for line in staged.notes:
        note(line)
    screen = console()
    if dry_run or output is not None:
        if output is not None and not dry_run:
            write_folder(staged, output)
        _show(staged.tree, output or repo, dry_run=dry_run)
        return
    result = upload(staged.tree, repo, f"mmeval: {staged.record.plan.signature}", private=private)
    what = "Published" if result.changed else "Nothing changed"
    screen.print(cell(f"{what}: {result.url} (commit {result.commit[:8]})"), soft_wrap=True)


def _publish_dataset(
    dataset: DatasetRequest, repo: str, to: Target, *, private: bool, licence: str, dry_run: bool
) -> None:
    from mmeval.cli.options import open_dataset
    from mmeval.console import cell, console, note
    from mmeval.publish.dataset import publish_dataset, require_licence, stage_dataset

    if to is not Target.HUB:
        raise UserError("--to: a data set is published to the Hub only; `mmeval data prepare` writes it to a folder.")
    require_licence(dataset, licence)
    staged = stage_dataset(open_dataset(dataset), repo, licence)
    for line in staged.notes:
        note(line)
    if dry_run:
        screen = console()
        screen.print(staged.listing())
        screen.print(cell("Nothing was written or uploaded (--dry-run)."))
        return
    result = publish_dataset(staged, private=private)
    what = "Published" if result.changed else "Nothing changed"
    console().print(cell(f"{what}: {result.url} (commit {result.commit[:8]})"), soft_wrap=True)


def _show(tree: Any, target: Path | str, *, dry_run: bool) -> None:  # noqa: ANN401 - a Tree
    from mmeval.console import cell, console
    from mmeval.publish.tree import listing

    screen = console()
    screen.print(listing(tree, f"{target}"))
    screen.print(cell("Nothing was written or uploaded (--dry-run)." if dry_run else f"Written: {target}"))

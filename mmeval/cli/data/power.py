"""The command ``mmeval data power``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from mmeval.cli.options import AsJson, open_dataset, takes_dataset
from mmeval.data.request import DatasetRequest
from mmeval.errors import UserError

if TYPE_CHECKING:
    from mmeval.data.store import Store
    from mmeval.record import DataPower, Detectable


@takes_dataset()
def power(
    dataset: DatasetRequest,
    accuracy: Annotated[float, typer.Option(metavar="SHARE", help="Accuracy that you expect of both models.")] = 0.8,
    disagreement: Annotated[
        float,
        typer.Option(metavar="SHARE", help="Share of rows that only one of the two models classifies correctly."),
    ] = 0.1,
    split: Annotated[str, typer.Option(help="The split that is scored.")] = "test",
    task: Annotated[str, typer.Option(help="The task.", show_default="the first")] = "",
    json: AsJson = False,
) -> None:
    """Show the smallest difference between two models that each language can show, before any training."""
    from mmeval.data.examples import Examples
    from mmeval.data.power import split_power

    for option, share in (("--accuracy", accuracy), ("--disagreement", disagreement)):
        if not 0 < share < 1:
            raise UserError(f"{option} {share:g}: write a share between 0 and 1, such as 0.1 for 10 %.")
    store = open_dataset(dataset).store
    task = _task(store, task)
    if any(own.multilabel for own in store.tasks if own.name == task):
        raise UserError(
            f"{task} of {store.name} is a multi-label task, whose power is not known; choose another --task."
        )
    if split not in store.split_sizes:
        raise UserError(f"--split {split}: {store.name} has {', '.join(store.split_sizes)}.")
    result = split_power(Examples(store, split), task, accuracy=accuracy, disagreement=disagreement)
    if result is None:
        raise UserError(f"No row of the {split} split of {store.name} has a label of {task}; choose another --split.")
    if json:
        from mmeval.console import print_json

        languages = [{"language": language.language} | language.model_dump() for language in result.languages]
        print_json(
            {"dataset": store.name, "split": split, "task": task} | result.model_dump() | {"languages": languages}
        )
        return
    _print(result, store.name, split, task)


def _task(store: Store, name: str) -> str:
    """Return the name of the task that the user chose, or of the first."""
    names = [task.name for task in store.tasks]
    if name and name not in names:
        raise UserError(f"--task {name}: {store.name} has {', '.join(names)}.")
    return name or names[0]


def _print(power: DataPower, name: str, split: str, task: str) -> None:
    from rich.table import Table

    from mmeval.console import cell, console

    screen = console()
    screen.print(cell(f"{name}: {task}, {split} split, differences between two models", "bold"), soft_wrap=True)
    table = Table(box=None, header_style="bold", padding=(0, 2, 0, 0))
    table.add_column("language", no_wrap=True)
    for column in ("rows", "clusters", "accuracy", "can see", "corrected", "rows for 2 points"):
        table.add_column(column, justify="right")

    def row(label: str, detectable: Detectable, corrected: str, style: str = "") -> None:
        needed = detectable.rows_for["0.02"]
        table.add_row(
            cell(label),
            f"{detectable.rows:,}",
            f"{detectable.clusters:,}",
            f"± {100 * detectable.half_width:.1f}",
            _points(detectable.detectable, power),
            corrected,
            "–" if needed is None else f"{needed:,}",
            style=style,
        )

    for language in power.languages:
        row(language.language, language, _points(language.detectable_adjusted, power))
    if len(power.languages) > 1:
        row("mean", power.mean, "", "bold")
    screen.print(table)
    for line in _legend(power):
        screen.print(cell(line, "dim"), soft_wrap=True)


def _points(difference: float, power: DataPower) -> str:
    """Return a difference in points, or a dash if two models that disagree so seldom can't differ so much."""
    return f"{100 * difference:.1f}" if difference <= power.disagreement else "–"


def _legend(power: DataPower) -> list[str]:
    languages = "language" if len(power.languages) == 1 else "languages"
    return [
        f"accuracy: half the 95 % interval of a model whose top-1 is {power.accuracy:g}, in points",
        f"can see: smallest difference in top-1, in points, that a paired test finds in {100 * power.power:g} % of the "
        f"cases (p < {power.alpha:g}), if only one of the two models is right in {100 * power.disagreement:g} % of the "
        "rows; –: no difference that is possible then is large enough",
        f"corrected: the same after correcting for {len(power.languages)} {languages}",
        "Rows of a cluster (the same image or product) count as one row.",
    ]

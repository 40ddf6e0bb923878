"""The command ``mmeval data stats``."""

from __future__ import annotations

from shlex import quote
from typing import TYPE_CHECKING

from mmeval.cli.options import AsJson, open_dataset, takes_dataset
from mmeval.data.request import DatasetRequest

if TYPE_CHECKING:
    from mmeval.data.stats import Stats

VALUES = 8
"""Number of values shown of each slice."""


@takes_dataset()
def stats(
    dataset: DatasetRequest,
    json: AsJson = False,
) -> None:
    """Count the examples of a data set per language, task and slice."""
    from mmeval.data.stats import stats as count

    result = count(open_dataset(dataset).store)
    if json:
        import dataclasses

        from mmeval.console import print_json

        print_json(dataclasses.asdict(result))
        return
    _print(result, dataset.name)


def _print(stats: Stats, name: str) -> None:
    from rich.table import Table
    from rich.text import Text

    from mmeval.console import cell, console

    screen = console()
    title = f"{stats.name}: {stats.examples:,} examples, {stats.images:,} images"
    screen.print(cell(title, "bold"), soft_wrap=True)
    table = Table(box=None, header_style="bold", padding=(0, 2, 0, 0))
    table.add_column("language", no_wrap=True)
    first = stats.tasks[0]
    for column in (*stats.splits, "no image", "no text", "length", "classes"):
        table.add_column(cell(column), justify="right")
    for row in stats.languages:
        counts = [f"{row.splits[split]:,}" for split in stats.splits]
        missing = [f"{row.without_image:,}", f"{row.without_text:,}", f"{row.characters:.0f}"]
        table.add_row(cell(row.language), *counts, *missing, str(row.classes[first.task]))
    sums = [f"{sum(row.splits[split] for row in stats.languages):,}" for split in stats.splits]
    missing = [f"{sum(row.without_image for row in stats.languages):,}"]
    missing += [f"{sum(row.without_text for row in stats.languages):,}", ""]
    table.add_row("all", *sums, *missing, str(first.classes), style="bold")
    screen.print(table)
    legend = f"length: median characters of non-empty texts; classes: of the task {first.task}"
    screen.print(cell(legend, "dim"))
    screen.print()
    lines = Table(box=None, header_style="bold", padding=(0, 2, 0, 0))
    for column in ("task", "classes", "commonest", "rarest", "no label", "not in train"):
        lines.add_column(column, overflow="fold", justify="left" if column.endswith(("task", "est")) else "right")
    for task in stats.tasks:
        ends = [f"{name} ({count:,})" for name, count in (task.commonest, task.rarest)]
        cells = (task.task, f"{task.classes:,}", *ends, f"{task.unlabelled:,}", f"{task.not_in_train:,}")
        lines.add_row(*map(cell, cells))
    screen.print(lines)
    for slice_name, values in stats.slices.items():
        shown = ", ".join(f"{value} {count:,}" for value, count in list(values.items())[:VALUES])
        more = f", and {len(values) - VALUES} more" if len(values) > VALUES else ""
        screen.print(Text.assemble(cell(f"slice {slice_name}: ", "bold"), cell(shown + more)), soft_wrap=True)
    if stats.rejected:
        command = f"mmeval data show {quote(name)} --rejected"
        screen.print(cell(f"{stats.rejected:,} rows were rejected: `{command}` lists them.", "yellow"), soft_wrap=True)

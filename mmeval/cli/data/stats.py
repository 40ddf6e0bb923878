"""``mmeval data stats``."""

from __future__ import annotations

from shlex import quote
from typing import TYPE_CHECKING

from mmeval.cli.options import AsJson, open_dataset, takes_dataset
from mmeval.data.request import DatasetRequest

if TYPE_CHECKING:
    from mmeval.data.stats import Stats

VALUES = 8
"""Values of a slice that are shown."""


@takes_dataset()
def stats(
    dataset: DatasetRequest,
    json: AsJson = False,
) -> None:
    """Count a data set: per language, task and slice."""
    from mmeval.data.stats import stats as count

    found = count(open_dataset(dataset).store)
    if json:
        import dataclasses

        from mmeval.console import print_json

        print_json(dataclasses.asdict(found))
        return
    _print(found, dataset.name)


def _print(found: Stats, typed: str) -> None:
    from rich.table import Table
    from rich.text import Text

    from mmeval.console import cell, console

    screen = console()
    title = f"{found.name}: {found.examples:,} examples, {found.images:,} images"
    screen.print(cell(title, "bold"), soft_wrap=True)
    table = Table(box=None, header_style="bold", padding=(0, 2, 0, 0))
    table.add_column("language", no_wrap=True)
    first = found.tasks[0]
    for column in (*found.splits, "no image", "no text", "length", "classes"):
        table.add_column(cell(column), justify="right")
    for one in found.languages:
        counts = [f"{one.splits[split]:,}" for split in found.splits]
        holes = [f"{one.without_image:,}", f"{one.without_text:,}", f"{one.characters:.0f}"]
        table.add_row(cell(one.language), *counts, *holes, str(one.classes[first.task]))
    sums = [f"{sum(one.splits[split] for one in found.languages):,}" for split in found.splits]
    holes = [f"{sum(one.without_image for one in found.languages):,}"]
    holes += [f"{sum(one.without_text for one in found.languages):,}", ""]
    table.add_row("all", *sums, *holes, str(first.classes), style="bold")
    screen.print(table)
    legend = f"length: median letters of the texts that aren't empty; classes: of {first.task}"
    screen.print(cell(legend, "dim"))
    screen.print()
    lines = Table(box=None, header_style="bold", padding=(0, 2, 0, 0))
    for column in ("task", "classes", "commonest", "rarest", "no label", "not in train"):
        lines.add_column(column, overflow="fold", justify="left" if column.endswith(("task", "est")) else "right")
    for task in found.tasks:
        ends = [f"{name} ({count:,})" for name, count in (task.commonest, task.rarest)]
        cells = (task.task, f"{task.classes:,}", *ends, f"{task.unlabelled:,}", f"{task.not_in_train:,}")
        lines.add_row(*map(cell, cells))
    screen.print(lines)
    for name, values in found.slices.items():
        shown = ", ".join(f"{value} {count:,}" for value, count in list(values.items())[:VALUES])
        more = f", and {len(values) - VALUES} more" if len(values) > VALUES else ""
        screen.print(Text.assemble(cell(f"slice {name}: ", "bold"), cell(shown + more)), soft_wrap=True)
    if found.rejected:
        see = f"mmeval data show {quote(typed)} --rejected"
        screen.print(cell(f"{found.rejected:,} rows were rejected: `{see}`", "yellow"), soft_wrap=True)

"""``mmeval data show``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mmeval.cli.options import AsJson, open_dataset, takes_dataset
from mmeval.data.request import DatasetRequest

if TYPE_CHECKING:
    from mmeval.data.sample import Preview
    from mmeval.data.store import Store


@takes_dataset()
def show(
    dataset: DatasetRequest,
    count: Annotated[int, typer.Option("-n", "--count", min=1, max=1000, help="How many examples.")] = 12,
    of_language: Annotated[str, typer.Option("--only", metavar="LANGUAGE", help="Of this language.")] = "",
    split: Annotated[str, typer.Option(help="Of this split.")] = "",
    label: Annotated[str, typer.Option(help="With this class, of any task.")] = "",
    word: Annotated[str, typer.Option("--word", help="With these letters in the text.")] = "",
    seed: Annotated[int, typer.Option(min=0, help="Another seed draws others.")] = 0,
    rejected: Annotated[bool, typer.Option("--rejected", help="The rows that were rejected, and why.")] = False,
    page: Annotated[Path | None, typer.Option(help="Where the page with the images goes.", show_default=False)] = None,
    json: AsJson = False,
) -> None:
    """Look at examples: in the terminal, and with their images on a page."""
    from mmeval.data.sample import sample

    data = open_dataset(dataset)
    if rejected:
        _print_rejected(data.store, count, as_json=json)
        return
    found = sample(data.store, count, language=of_language, split=split, label=label, word=word, seed=seed)
    if json:
        from mmeval.console import print_json

        print_json([vars(one) for one in found])
        return
    from mmeval.console import cell, console
    from mmeval.files import write_text
    from mmeval.home import home
    from mmeval.report.examples import examples_page

    _print(found)
    path = page or home() / "pages" / f"{data.store.name.replace(':', '-')}.html"
    write_text(path, examples_page(data.store, found, data.spec.credit))
    console().print(cell(f"With their images: {path}"), style="dim", soft_wrap=True)


def _print(found: list[Preview]) -> None:
    from rich.table import Table

    from mmeval.console import cell, console

    screen = console()
    widest = 48 if screen.is_terminal else None
    table = Table(box=None, header_style="bold", padding=(0, 2, 0, 0))
    for column in ("id", "lang", "split", "text", "labels", "what else is known"):
        table.add_column(column, overflow="fold", no_wrap=column in ("lang", "split"), max_width=widest)
    for one in found:
        labels = ", ".join(one.labels.values()) or "–"
        others = ", ".join(f"{name}: {value}" for name, value in one.others.items())
        cells = (one.id, one.language, one.split, one.text or "–", labels, others)
        table.add_row(*map(cell, cells))
    screen.print(table)


def _print_rejected(store: Store, count: int, *, as_json: bool) -> None:
    import pyarrow.parquet as pq

    from mmeval.data.store_files import REJECTED

    path = store.folder / REJECTED
    rows = pq.read_table(path).slice(0, count).to_pylist()
    from mmeval.console import cell, console, print_json

    if as_json:
        print_json(rows)
        return
    from rich.table import Table

    table = Table(box=None, header_style="bold", padding=(0, 2, 0, 0))
    for column in ("where", "id", "reason"):
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(cell(row[column]) for column in ("where", "id", "reason")))
    screen = console()
    if rows:
        screen.print(table)
    said = f"{len(rows):,} of {store.rejected_count:,}; all in {path}" if rows else "No row was rejected."
    screen.print(cell(said), style="dim", soft_wrap=True)

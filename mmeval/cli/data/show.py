"""The command ``mmeval data show``."""

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
    count: Annotated[int, typer.Option("-n", "--count", min=1, max=1000, help="Number of examples.")] = 12,
    only: Annotated[str, typer.Option(metavar="LANGUAGE", help="Only examples in this language.")] = "",
    split: Annotated[str, typer.Option(help="Only examples of this split.")] = "",
    label: Annotated[str, typer.Option(help="Only examples with this class, in any task.")] = "",
    word: Annotated[str, typer.Option(metavar="TEXT", help="Only examples whose text contains TEXT.")] = "",
    seed: Annotated[int, typer.Option(min=0, help="Seed of the random selection.")] = 0,
    rejected: Annotated[bool, typer.Option("--rejected", help="Show rejected rows and the reasons.")] = False,
    page: Annotated[
        Path | None,
        typer.Option(help="File for the page with the images.", show_default="pages/NAME.html in MMEVAL_HOME"),
    ] = None,
    json: AsJson = False,
) -> None:
    """Show a sample of examples in the terminal, and with their images on an HTML page."""
    from mmeval.data.sample import sample

    data = open_dataset(dataset)
    if rejected:
        _print_rejected(data.store, count, as_json=json)
        return
    examples = sample(data.store, count, language=only, split=split, label=label, word=word, seed=seed)
    if json:
        from mmeval.console import print_json

        print_json([vars(example) for example in examples])
        return
    from mmeval.console import cell, console
    from mmeval.files import write_text
    from mmeval.home import home
    from mmeval.report.citing import citation
    from mmeval.report.examples import examples_page

    _print(examples)
    if data.citation and (work := citation("Data set", data.citation)):
        console().print(cell(f"How to cite: {work.text}"), style="dim", soft_wrap=True)
    path = page or home() / "pages" / f"{data.store.name.replace(':', '-')}.html"
    write_text(path, examples_page(data.store, examples, data.spec.credit))
    console().print(cell(f"Page with the images: {path}"), style="dim", soft_wrap=True)


def _print(examples: list[Preview]) -> None:
    from rich.table import Table

    from mmeval.console import cell, console

    screen = console()
    widest = 48 if screen.is_terminal else None
    table = Table(box=None, header_style="bold", padding=(0, 2, 0, 0))
    for column in ("id", "lang", "split", "text", "labels", "other values"):
        table.add_column(column, overflow="fold", no_wrap=column in ("lang", "split"), max_width=widest)
    for example in examples:
        labels = ", ".join(example.labels.values()) or "–"
        others = ", ".join(f"{name}: {value}" for name, value in example.others.items())
        cells = (example.id, example.language, example.split, example.text or "–", labels, others)
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
    shown = f"{len(rows):,} of {store.rejected_count:,} rejected rows; all are in {path}"
    screen.print(cell(shown if rows else "No row was rejected."), style="dim", soft_wrap=True)

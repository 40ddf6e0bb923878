"""``mmeval data card``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mmeval.cli.data.options import Columns, Encoding, Images, Language, Name, NotTheRelease, Source, asked, opened
from mmeval.escaping import visible


def card(
    name: Name,
    source: Source = None,
    not_the_release: NotTheRelease = False,
    columns: Columns = "",
    language: Language = "",
    images: Images = None,
    encoding: Encoding = "",
    of_the_data: Annotated[
        bool, typer.Option("--of-the-data", help="Made of the prepared data, not the one that is shipped.")
    ] = False,
    output: Annotated[Path | None, typer.Option(help="Write it there.", show_default=False)] = None,
) -> None:
    """Show a data set's card; one of a table is made of its data."""
    from mmeval.data.open.write_card import card_of
    from mmeval.data.request import spec_of
    from mmeval.plugin.manager import Manager

    options = (name, source, not_the_release, columns, language, images, encoding)
    shipped = None if of_the_data or asked(*options).is_table else spec_of(name, Manager()).card
    text = shipped.read_text(encoding="utf-8") if shipped else card_of(opened(*options))
    if output:
        from mmeval.console import cell, console
        from mmeval.files import write_text

        write_text(output, text)
        console().print(cell(f"Wrote {output}"), soft_wrap=True)
        return
    typer.echo(visible(text))

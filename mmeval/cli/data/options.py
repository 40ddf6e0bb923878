"""The options by which every command that reads a data set is told of it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from mmeval.data.request import Asked, Opened

Name = Annotated[
    str, typer.Argument(metavar="NAME", help="A name (`mmeval data`), NAME:VARIANT, table:PATH or FILE.toml.")
]
Source = Annotated[
    Path | None, typer.Option(help="The archive or folder that the data set is read from.", show_default=False)
]
NotTheRelease = Annotated[
    bool,
    typer.Option("--not-the-release", help="Take data in the published format that is not the published data."),
]
Columns = Annotated[
    str,
    typer.Option(
        metavar="ROLE=COLUMN,...",
        help="Of a table: image=, text=ONE+OTHER, language=, label=, id=, split=, group=, slice=, metadata=.",
        show_default="told by their names",
    ),
]
Language = Annotated[str, typer.Option(help="Of a table: the language of every row, as de.", show_default=False)]
Images = Annotated[
    Path | None,
    typer.Option(help="Of a table: the folder that pictures' paths start from.", show_default="that of the table"),
]
Encoding = Annotated[
    str,
    typer.Option(help="Of a table that is text: its encoding, as cp1250 or utf-16.", show_default="UTF-8"),
]
AsJson = Annotated[bool, typer.Option("--json", help="As JSON, for programs.")]


def opened(
    name: str,
    source: Path | None,
    not_the_release: bool,
    columns: str,
    language: str,
    images: Path | None,
    encoding: str,
    *,
    download: bool = False,
) -> Opened:
    """Open what the options ask for."""
    from mmeval.data.open.resolve import open_data
    from mmeval.plugin.manager import Manager

    request = asked(name, source, not_the_release, columns, language, images, encoding)
    return open_data(request, Manager(), download=download)


def asked(
    name: str,
    source: Path | None,
    not_the_release: bool,
    columns: str,
    language: str,
    images: Path | None,
    encoding: str,
) -> Asked:
    """What the options ask for."""
    from mmeval.data.request import Asked

    return Asked(name, source, not not_the_release, columns, language, images, encoding)

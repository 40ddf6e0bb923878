"""``mmeval data prepare``."""

from __future__ import annotations

from pathlib import Path
from shlex import join, quote
from typing import Annotated

import typer

from mmeval.cli.data.options import Columns, Encoding, Images, Language, Name, NotTheRelease, Source, asked, opened


def prepare(
    name: Name,
    source: Source = None,
    not_the_release: NotTheRelease = False,
    columns: Columns = "",
    language: Language = "",
    images: Images = None,
    encoding: Encoding = "",
    save: Annotated[
        Path | None, typer.Option(help="Of a table: write all that was said to FILE.toml.", show_default=False)
    ] = None,
) -> None:
    """Read a data set from its files (or download it where its licence allows), check it, keep it ready."""
    from mmeval.console import cell, console
    from mmeval.errors import Stopped

    options = (name, source, not_the_release, columns, language, images, encoding)
    try:
        if save:
            from mmeval.data.table.resolve import save_table
            from mmeval.plugin.manager import Manager

            name = save_table(asked(*options), save, Manager())
            options = (name, None, False, "", "", None, "")
        data = opened(*options, download=True)
    except KeyboardInterrupt:
        raise Stopped("Stopped. What is prepared is kept; repeat the command to go on.") from None
    screen = console()
    count = sum(data.store.split_sizes.values())
    languages = "1 language" if len(data.store.languages) == 1 else f"{len(data.store.languages)} languages"
    ready = f"{data.store.name} is ready: {count:,} examples in {languages}, "
    screen.print(cell(f"{ready}{data.store.image_count:,} pictures."), soft_wrap=True)
    screen.print(cell(f"Next: {_next(options)}"), style="dim", soft_wrap=True)


def _next(options: tuple[str, Path | None, bool, str, str, Path | None, str]) -> str:
    """What to type now. The name is enough, but for a table of which more was said."""
    typed = quote(options[0])
    if not any(options[3:]):
        return f"mmeval data stats {typed}, or mmeval run --dataset {typed}"
    return f"mmeval run {join(asked(*options).words())}, or this again with --save NAME.toml, and NAME is enough"

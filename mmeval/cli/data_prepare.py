"""``mmeval data prepare``."""

from __future__ import annotations

from pathlib import Path
from shlex import quote
from typing import Annotated

import typer

from mmeval.cli.data_options import Columns, Images, Language, Name, NotTheRelease, Source, asked, opened


def prepare(
    name: Name,
    source: Source = None,
    not_the_release: NotTheRelease = False,
    columns: Columns = "",
    language: Language = "",
    images: Images = None,
    save: Annotated[
        Path | None, typer.Option(help="Of a table: write all that was said to FILE.toml.", show_default=False)
    ] = None,
) -> None:
    """Read a data set from its files (or download it where its licence allows), check it, keep it ready."""
    from mmeval.console import console
    from mmeval.errors import Stopped

    options = (name, source, not_the_release, columns, language, images)
    try:
        if save:
            from mmeval.data.table.named import save_table
            from mmeval.plugin.manager import Manager

            name = save_table(asked(*options), save, Manager())
            options = (name, None, False, "", "", None)
        data = opened(*options, download=True)
    except KeyboardInterrupt:
        raise Stopped("Stopped. What is prepared is kept; repeat the command to go on.") from None
    screen = console()
    count = sum(data.store.split_sizes.values())
    languages = "1 language" if len(data.store.languages) == 1 else f"{len(data.store.languages)} languages"
    ready = f"{data.store.name} is ready: {count:,} examples in {languages}, "
    screen.print(f"{ready}{data.store.image_count:,} pictures.", soft_wrap=True, markup=False)
    typed = quote(str(name))
    screen.print(
        f"Next: mmeval data stats {typed}, or mmeval run --dataset {typed}", style="dim", markup=False, soft_wrap=True
    )

"""The command ``mmeval plugins new``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def new(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="Name that users will type after --plugin, such as my-model.")
    ],
    folder: Annotated[Path | None, typer.Option(help="Folder of the package.", show_default="NAME")] = None,
    licence: Annotated[str, typer.Option(help="SPDX identifier of the licence.")] = "Apache-2.0",
) -> None:
    """Create an installable package with a small working model."""
    from rich.text import Text

    from mmeval.console import cell, console
    from mmeval.plugin.new import new_plugin

    path = new_plugin(name, folder, licence)
    screen = console()
    screen.print(cell(f"Created {path}: a package with a small model, its tests and its model card."), soft_wrap=True)
    for step, purpose in (
        (f"cd {path}", ""),
        ("pip install -e '.[test]'", "make the plugin known to mmeval"),
        (f"mmeval plugins check {name}", "run the checks for models"),
        (f"mmeval run --plugin {name}", "train the model and score it per language"),
    ):
        screen.print(Text.assemble(cell(f"  {step:<36} "), cell(purpose, "dim")), soft_wrap=True)

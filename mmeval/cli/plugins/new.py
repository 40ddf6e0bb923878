"""``mmeval plugins new``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def new(
    name: Annotated[str, typer.Argument(help="What users will type after --plugin, e.g. my-model.")],
    folder: Annotated[Path | None, typer.Option(help="Where to; by default a folder of that name.")] = None,
    licence: Annotated[str, typer.Option(help="SPDX identifier of the licence.")] = "Apache-2.0",
) -> None:
    """Write the package of a new model plugin; it works as it stands."""
    from rich.text import Text

    from mmeval.console import cell, console
    from mmeval.plugin.new import new_plugin

    made = new_plugin(name, folder, licence)
    screen = console()
    screen.print(cell(f"Wrote {made}: a package with a small model, its tests, and its card."), soft_wrap=True)
    for step, why in (
        (f"cd {made}", ""),
        ("pip install -e '.[test]'", "so that mmeval finds it"),
        (f"mmeval plugins check {name}", "does it keep the contract?"),
        (f"mmeval run --plugin {name}", "train it and see how good it is, per language"),
    ):
        screen.print(Text.assemble(cell(f"  {step:<36} "), cell(why, "dim")), soft_wrap=True)

"""The command ``mmeval plugins show``."""

from __future__ import annotations

from typing import Annotated

import typer


def show(name: Annotated[str, typer.Argument(metavar="NAME", help="A model plugin's name, or ./file.py.")]) -> None:
    """Show a model plugin: paper, licence, presets and options."""
    from rich.table import Table
    from rich.text import Text

    from mmeval.api.config import options
    from mmeval.console import cell, console
    from mmeval.plugin.configure import configure
    from mmeval.plugin.manager import Manager
    from mmeval.report.citing import citation, paper

    spec = Manager().model(name)
    screen = console()
    screen.print(Text.assemble(cell(spec.name, "bold"), " ", cell(spec.version)))
    facts = Table.grid(padding=(0, 2))
    for label, value in (
        ("summary", [spec.summary]),
        ("inputs", [" + ".join(spec.inputs)]),
        ("paper", [spec.paper]),
        ("licence", [spec.licence]),
        ("presets", [", ".join(f"{p} (default)" if p == spec.default_preset else p for p in spec.presets)]),
        ("references", spec.references),
    ):
        if any(value):
            facts.add_row(label, Text("\n").join(map(cell, value)))
    screen.print(facts)
    title = cell(f"Options for --set KEY=VALUE, with their values in the preset {spec.default_preset}")
    table = Table(title=title, title_justify="left")
    for column in ("option", "type", "default", "meaning"):
        table.add_column(column, overflow="fold", no_wrap=column == "option")
    defaults = configure(spec.config, spec.name, spec.presets[spec.default_preset])
    for option in options(defaults):
        table.add_row(*map(cell, (option.name, option.type, option.default, option.help)))
    screen.print(table)
    work = citation("Model", spec.citation) or paper("Model", spec.name, spec.paper)
    if work is not None and work.bibtex:
        screen.print(cell("How to cite:", "bold"))
        for line in work.bibtex.splitlines():
            screen.print(cell(line), soft_wrap=True)

"""The table of installed plugins, shared by ``plugins`` and ``data``."""

from __future__ import annotations

from mmeval.plugin.listing import installed


def print_listing(*kinds: str, as_json: bool, then: str) -> None:
    """Print what is installed of these kinds, as a table or as JSON, and what to type next."""
    found = installed(*kinds)
    if as_json:
        import json

        print(json.dumps([vars(one) for one in found], indent=1, ensure_ascii=False))
        return
    from rich.table import Table
    from rich.text import Text

    from mmeval.console import console

    table = Table(box=None, header_style="bold")
    for column in ("name", "what it is", "from"):
        table.add_column(column, overflow="fold")
    for one in found:
        what = Text(one.summary) if one.status == "ok" else Text(one.status, style="red")
        table.add_row(Text(one.name), what, Text(f"{one.distribution} {one.version}"))
    screen = console()
    screen.print(table)
    screen.print(f"Next: {then}", style="dim", markup=False)

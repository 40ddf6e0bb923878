"""The table of installed plugins, shared by ``plugins`` and ``data``."""

from __future__ import annotations

from mmeval.plugin.listing import Listed, installed


def print_listing(*kinds: str, as_json: bool, then: str, timed: bool = False) -> None:
    """Print what is installed of these kinds, as a table or as JSON, and what to type next."""
    found = [*installed(*kinds), *(_tables() if "dataset" in kinds and not timed else [])]
    times = _timed(found) if timed else []
    from mmeval.console import cell, console, print_json

    if as_json:
        print_json([vars(one) | ({"import": times[row]} if timed else {}) for row, one in enumerate(found)])
        return
    from rich.table import Table

    table = Table(box=None, header_style="bold")
    columns = ["name", *(["kind"] if len(kinds) > 1 else []), "what it is", "from", *(["import"] if timed else [])]
    for column in columns:
        table.add_column(column, overflow="fold")
    for row, one in enumerate(found):
        what = cell(one.summary) if one.status == "ok" else cell(one.status, "red")
        cells = [cell(one.name), *([cell(one.kind)] if len(kinds) > 1 else []), what]
        table.add_row(
            *cells,
            cell(f"{one.distribution} {one.version}".strip() or one.module),
            *([cell(times[row])] if timed else []),
        )
    screen = console()
    screen.print(table)
    screen.print(f"Next: {then}", style="dim", markup=False)


def _tables() -> list[Listed]:
    from mmeval.home import table_file, table_names, table_summary

    return [Listed(name, "dataset", table_summary(name), "", "", str(table_file(name)), "ok") for name in table_names()]


def _timed(found: list[Listed]) -> list[str]:
    from mmeval.console import progress
    from mmeval.plugin.timings import timings

    times = []
    with progress("Importing each plugin", len(found), "plugins") as advance:
        for time in timings(found):
            times.append(time)
            advance()
    return times

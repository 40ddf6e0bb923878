"""The table of installed plugins, for ``mmeval plugins`` and ``mmeval data``."""

from __future__ import annotations

from mmeval.plugin.listing import Listed, installed


def print_listing(*kinds: str, as_json: bool, next_step: str, timed: bool = False) -> None:
    """Print the installed plugins of some kinds as a table or as JSON.

    Args:
        kinds: ``model``, ``dataset``, ``metric`` or ``command``.
        as_json: print JSON instead of a table.
        next_step: commands to suggest below the table.
        timed: add the import time of each plugin.
    """
    plugins = [*installed(*kinds), *(_tables() if "dataset" in kinds and not timed else [])]
    times = _import_times(plugins) if timed else []
    from mmeval.console import cell, console, print_json

    if as_json:
        print_json([vars(plugin) | ({"import": times[row]} if timed else {}) for row, plugin in enumerate(plugins)])
        return
    from rich.table import Table

    table = Table(box=None, header_style="bold")
    columns = ["name", *(["kind"] if len(kinds) > 1 else []), "summary", "package", *(["import"] if timed else [])]
    for column in columns:
        table.add_column(column, overflow="fold")
    for row, plugin in enumerate(plugins):
        table.add_row(
            cell(plugin.name),
            *([cell(plugin.kind)] if len(kinds) > 1 else []),
            cell(plugin.summary) if plugin.status == "ok" else cell(plugin.status, "red"),
            cell(f"{plugin.distribution} {plugin.version}".strip() or plugin.module),
            *([cell(times[row])] if timed else []),
        )
    screen = console()
    screen.print(table)
    screen.print(f"Next: {next_step}", style="dim", markup=False)


def _tables() -> list[Listed]:
    """Return the user's saved tables, listed as data sets."""
    from mmeval.home import table_file, table_names, table_summary

    return [Listed(name, "dataset", table_summary(name), "", "", str(table_file(name)), "ok") for name in table_names()]


def _import_times(plugins: list[Listed]) -> list[str]:
    from mmeval.console import progress
    from mmeval.plugin.timings import timings

    times = []
    with progress("Importing each plugin", len(plugins), "plugins") as advance:
        for time in timings(plugins):
            times.append(time)
            advance()
    return times

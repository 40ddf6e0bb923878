"""``mmeval plugins check``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from mmeval.escaping import visible

if TYPE_CHECKING:
    from mmeval.testing import Check, Result


def check(
    ctx: typer.Context,
    name: Annotated[str | None, typer.Argument(help="A plugin's name, or ./file.py.")] = None,
    preset: Annotated[str | None, typer.Option(help="One of its presets.")] = None,
    changes: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change an option; may be repeated.")
    ] = None,
    only: Annotated[list[str] | None, typer.Option(metavar="CHECK", help="Run this check; may be repeated.")] = None,
    explain: Annotated[bool, typer.Option("--list", help="List the checks, and why there is each.")] = False,
    json: Annotated[bool, typer.Option("--json", help="As JSON, for programs.")] = False,
) -> None:
    """Hold a model plugin against the contract; the exit status is 1 if it breaks a rule."""
    from mmeval.errors import UserError
    from mmeval.testing import CHECKS

    if explain:
        _print_checks(list(CHECKS.values()))
        return
    if name is None:
        raise UserError("Which plugin? `mmeval plugins` lists them; `mmeval plugins check --list` lists the checks.")
    results = _examined(name, preset, changes or [], only or [])
    if json:
        _print_json(results)
    else:
        _print_results(name, results)
    failed = [one for one in results if one.verdict in ("failed", "not reached")]
    if ctx.find_root().params.get("traceback"):
        import sys
        import traceback

        for one in failed:
            if one.error:
                sys.stderr.write(visible("".join(traceback.format_exception(one.error))))
    raise typer.Exit(1 if failed else 0)


def _examined(name: str, preset: str | None, changes: list[str], only: list[str]) -> list[Result]:
    from mmeval.console import progress, quiet
    from mmeval.testing import CHECKS
    from mmeval.testing.examine import Examination

    results = []
    with progress(f"Checking {name}", len(only or CHECKS), "checks") as advance, quiet():
        for result in Examination(name, preset, changes).all(only):
            results.append(result)
            advance(1, last=result.check.name)
    return results


def _print_checks(checks: list[Check]) -> None:
    from rich.table import Table

    from mmeval.console import cell, console

    table = Table(box=None, header_style="bold", padding=(0, 2, 1, 0))
    for column in ("check", "the rule", "without it"):
        table.add_column(column, overflow="fold", no_wrap=column == "check")
    for one in checks:
        table.add_row(cell(one.name, "bold"), cell(one.reason), cell(one.breaks))
    console().print(table)


def _print_json(results: list[Result]) -> None:
    from mmeval.console import print_json

    rows = []
    for one in results:
        row = {"check": one.check.name, "verdict": one.verdict.value, "message": one.message}
        rows.append({**row, "seconds": round(one.seconds, 3)})
    print_json(rows)


def _print_results(name: str, results: list[Result]) -> None:
    from rich.table import Table

    from mmeval.console import cell, console

    marks = {"passed": ("✓", "green"), "failed": ("✗", "bold red"), "not reached": ("·", "red")}
    table = Table(title=cell(f"{name} and the contract"), title_justify="left", box=None, show_header=False)
    table.add_column()
    table.add_column(no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    table.add_column(overflow="fold")
    for one in results:
        mark, style = marks.get(one.verdict, ("–", "dim"))
        said = cell(one.message or one.check.reason, "" if one.verdict == "failed" else "dim")
        if one.verdict == "failed":
            said.append(f"\nelse {one.check.breaks}", "dim")
        table.add_row(cell(mark, style), cell(one.check.name), cell(f"{one.seconds:.1f} s", "dim"), said)
    screen = console()
    screen.print(table)
    verdicts = [one.verdict.value for one in results]
    counts = {verdict: verdicts.count(verdict) for verdict in ("passed", "failed", "not reached")}
    words = [f"{counts['passed']} of {len(results)} passed"]
    words += [f"{counts[verdict]} {verdict}" for verdict in ("failed", "not reached") if counts[verdict]]
    rest = len(results) - sum(counts.values())
    words += [f"{rest} not applicable"] if rest else []
    bad = counts["failed"] + counts["not reached"]
    screen.print(cell(", ".join(words), "red" if bad else "green"))

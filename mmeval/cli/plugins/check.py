"""The command ``mmeval plugins check``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from mmeval.cli.options import AsJson, Changes
from mmeval.escaping import visible

if TYPE_CHECKING:
    from mmeval.testing import Check, Result


def check(
    ctx: typer.Context,
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="A model plugin's name, or ./file.py.")] = None,
    preset: Annotated[str | None, typer.Option(help="Preset of the model.", show_default="the model's default")] = None,
    changes: Changes = None,
    only: Annotated[list[str] | None, typer.Option(metavar="CHECK", help="Run only this check; repeatable.")] = None,
    explain: Annotated[bool, typer.Option("--list", help="List the checks and the reason for each.")] = False,
    json: AsJson = False,
) -> None:
    """Check a model plugin against the rules that every model must follow.

    The exit status is 1 if a check fails.
    """
    from mmeval.errors import UserError
    from mmeval.testing import CHECKS

    if explain:
        _print_checks(list(CHECKS.values()))
        return
    if name is None:
        raise UserError("Which plugin? `mmeval plugins` lists them; `mmeval plugins check --list` lists the checks.")
    results = _run_checks(name, preset, changes or [], only or [])
    if json:
        _print_json(results)
    else:
        _print_results(name, results)
    failed = [result for result in results if result.verdict in ("failed", "not reached")]
    if ctx.find_root().params.get("traceback"):
        import sys
        import traceback

        for result in failed:
            if result.error:
                sys.stderr.write(visible("".join(traceback.format_exception(result.error))))
    raise typer.Exit(1 if failed else 0)


def _run_checks(name: str, preset: str | None, changes: list[str], only: list[str]) -> list[Result]:
    from mmeval.console import progress, quiet
    from mmeval.testing import CHECKS
    from mmeval.testing.runner import CheckRunner

    results = []
    with progress(f"Checking {name}", len(only or CHECKS), "checks") as advance, quiet():
        for result in CheckRunner(name, preset, changes).run(only):
            results.append(result)
            advance(1, last=result.check.name)
    return results


def _print_checks(checks: list[Check]) -> None:
    from rich.table import Table

    from mmeval.console import cell, console

    table = Table(box=None, header_style="bold", padding=(0, 2, 1, 0))
    for column in ("check", "rule", "if broken"):
        table.add_column(column, overflow="fold", no_wrap=column == "check")
    for check in checks:
        table.add_row(cell(check.name, "bold"), cell(check.rule), cell(check.consequence))
    console().print(table)


def _print_json(results: list[Result]) -> None:
    from mmeval.console import print_json

    rows = []
    for result in results:
        row = {"check": result.check.name, "verdict": result.verdict.value, "message": result.message}
        rows.append({**row, "seconds": round(result.seconds, 3)})
    print_json(rows)


def _print_results(name: str, results: list[Result]) -> None:
    from rich.table import Table

    from mmeval.console import cell, console

    marks = {"passed": ("✓", "green"), "failed": ("✗", "bold red"), "not reached": ("·", "red")}
    table = Table(title=cell(f"Checks of {name}"), title_justify="left", box=None, show_header=False)
    table.add_column()
    table.add_column(no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    table.add_column(overflow="fold")
    for result in results:
        mark, style = marks.get(result.verdict, ("–", "dim"))
        message = cell(result.message or result.check.rule, "" if result.verdict == "failed" else "dim")
        if result.verdict == "failed":
            message.append(f"\nIf it stays so: {result.check.consequence}.", "dim")
        table.add_row(cell(mark, style), cell(result.check.name), cell(f"{result.seconds:.1f} s", "dim"), message)
    screen = console()
    screen.print(table)
    verdicts = [result.verdict.value for result in results]
    counts = {verdict: verdicts.count(verdict) for verdict in ("passed", "failed", "not reached")}
    words = [f"{counts['passed']} of {len(results)} passed"]
    words += [f"{counts[verdict]} {verdict}" for verdict in ("failed", "not reached") if counts[verdict]]
    not_applicable = len(results) - sum(counts.values())
    words += [f"{not_applicable} not applicable"] if not_applicable else []
    broken = counts["failed"] + counts["not reached"]
    screen.print(cell(", ".join(words), "red" if broken else "green"))

"""The command ``mmeval bench``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mmeval.cli.options import Device, Limit, Seeds, takes_dataset
from mmeval.data.request import DatasetRequest


@takes_dataset()
def bench(
    dataset: DatasetRequest,
    plugins: Annotated[str, typer.Option(help="Models: all, or names separated by commas.")] = "all",
    preset: Annotated[
        str | None, typer.Option(help="Preset of every model.", show_default="each model's default")
    ] = None,
    seeds: Seeds = 1,
    baselines: Annotated[bool, typer.Option(help="Also train each model on images alone and on texts alone.")] = True,
    device: Device = "auto",
    limit: Limit = None,
    output: Annotated[
        Path | None,
        typer.Option(help="Folder of the run folders; finished runs in it are kept.", show_default="runs/bench-NAME"),
    ] = None,
) -> None:
    """Run several models on one data set and compare them in one table and on a page.

    Repeat the command to resume an unfinished benchmark. A later call with other models and the same --output adds them
    to the table.

    The exit status is 0 if every run finished, 1 if some failed, 2 if none finished.
    """
    import shlex
    import sys

    from mmeval.console import cell, console
    from mmeval.plugin.manager import Manager
    from mmeval.runs.request import Request
    from mmeval.studies.bench.entries import entries_of, parse_plugins
    from mmeval.studies.bench.run import default_output, run_benchmark
    from mmeval.studies.bench.table import terminal

    folder = output or default_output(dataset)
    base = Request(dataset=dataset, preset=preset, device=device, seeds=seeds, limit=limit)
    entries = entries_of(parse_plugins(plugins), base, folder, Manager(), baselines=baselines)
    benchmark = run_benchmark(entries, folder, shlex.join(["mmeval", *sys.argv[1:]]))
    screen = console()
    if benchmark.rows:
        screen.print(terminal(benchmark.rows))
        for line in benchmark.notes:
            screen.print(cell(line), soft_wrap=True)
    for name, reason in benchmark.failures.items():
        screen.print(cell(f"not done: {name}: {reason}", "red"), soft_wrap=True)
    screen.print(cell(f"Page:   {benchmark.page_path}"), soft_wrap=True)
    screen.print(cell(f"Table:  {benchmark.report_path}"), soft_wrap=True)
    screen.print(cell(f"Scores: {benchmark.scores_file}"), soft_wrap=True)
    if benchmark.failures:
        names = ", ".join(benchmark.failures)
        summary = f"{len(benchmark.failures)} of {len(entries)} runs failed: {names}."
        console(stderr=True).print(cell(summary, "red"), soft_wrap=True)
        raise typer.Exit(1)

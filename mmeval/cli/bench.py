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
    baselines: Annotated[
        bool, typer.Option(help="Also train each model on images alone and on texts alone, with one seed.")
    ] = True,
    device: Device = "auto",
    limit: Limit = None,
    output: Annotated[
        Path | None,
        typer.Option(help="Folder of the run folders; finished runs in it are kept.", show_default="runs/bench-NAME"),
    ] = None,
) -> None:
    """Run several models on one data set and compare them in one table.

    Repeat the command to resume an unfinished benchmark.

    The exit status is 0 if every run finished, 1 if some failed, 2 if none finished.
    """
    import shlex
    import sys

    from mmeval.console import cell, console
    from mmeval.plugin.manager import Manager
    from mmeval.runs.request import Request
    from mmeval.studies.bench.entries import entries_of, plugins_of
    from mmeval.studies.bench.run import run_benchmark
    from mmeval.studies.bench.table import terminal

    folder = output or Path("runs") / f"bench-{Path(dataset.name).stem.replace(':', '-')}"
    base = Request(dataset=dataset, preset=preset, device=device, seeds=seeds, limit=limit)
    entries = entries_of(plugins_of(plugins), base, folder, Manager(), baselines=baselines)
    rows, failures = run_benchmark(entries, folder, shlex.join(["mmeval", *sys.argv[1:]]))
    screen = console()
    if rows:
        screen.print(terminal(rows))
    for name, reason in failures.items():
        screen.print(cell(f"not done: {name}: {reason}", "red"), soft_wrap=True)
    screen.print(cell(f"Page:   {folder / 'README.md'}"), soft_wrap=True)
    screen.print(cell(f"Scores: {folder / 'scores.parquet'}"), soft_wrap=True)
    if failures:
        summary = f"{len(failures)} of {len(entries)} runs failed: {', '.join(failures)}."
        console(stderr=True).print(cell(summary, "red"), soft_wrap=True)
        raise typer.Exit(1)

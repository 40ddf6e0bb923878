"""``mmeval bench``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mmeval.cli.options import takes_dataset
from mmeval.data.request import DatasetRequest


@takes_dataset()
def bench(
    dataset: DatasetRequest,
    plugins: Annotated[str, typer.Option(help="Models: all, or names with commas between them.")] = "all",
    preset: Annotated[str | None, typer.Option(help="Preset, the same of each plugin.", show_default="its own")] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Number of training seeds; scores are means over them.")] = 1,
    baselines: Annotated[
        bool, typer.Option(help="Also train each, with one seed, on the images alone and on the texts alone.")
    ] = True,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    limit: Annotated[int | None, typer.Option(min=1, help="Take N examples of each split: a trial.")] = None,
    output: Annotated[
        Path | None,
        typer.Option(help="Folder of the run folders; what is done in it stays.", show_default="runs/bench-DATASET"),
    ] = None,
) -> None:
    """Run many models on one data set and set them side by side. The same command again goes on where it stopped.

    The exit status is 0 if every run is done, 1 if some failed (the table has the others, standard error names the
    failed ones), 2 if none could be done.
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
    for name, why in benchmark.failures.items():
        screen.print(cell(f"not done: {name}: {why}", "red"), soft_wrap=True)
    screen.print(cell(f"Page:   {benchmark.report_path}"), soft_wrap=True)
    screen.print(cell(f"Scores: {benchmark.scores_file}"), soft_wrap=True)
    if benchmark.failures:
        names = ", ".join(benchmark.failures)
        failed = f"{len(benchmark.failures)} of {len(entries)} runs failed: {names}."
        console(stderr=True).print(cell(failed, "red"), soft_wrap=True)
        raise typer.Exit(1)

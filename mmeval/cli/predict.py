"""The command ``mmeval predict``."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from mmeval.cli.options import Device

ROWS, RESULTS, WORK = "Rows", "Results", "Models and work"
"""Titles of the boxes in which help shows the options."""

Columns = Annotated[
    str,
    typer.Option(
        metavar="ROLE=COLUMN,...",
        help="Columns by role: image=, text=TITLE+BODY, language=, id=; image= alone for none.",
        show_default="those of the run",
        rich_help_panel=ROWS,
    ),
]
Language = Annotated[
    str,
    typer.Option(
        help="Language of rows without a value in a language column.",
        show_default="that of the run",
        rich_help_panel=ROWS,
    ),
]
Images = Annotated[
    Path | None,
    typer.Option(
        help="Folder that image paths are relative to.", show_default="the table's folder", rich_help_panel=ROWS
    ),
]
Encoding = Annotated[
    str,
    typer.Option(help="Encoding of a text table, such as cp1250.", show_default="UTF-8", rich_help_panel=ROWS),
]
Seed = Annotated[int | None, typer.Option(help="Training seed.", show_default="the first", rich_help_panel=WORK)]
BatchSize = Annotated[
    int | None,
    typer.Option(min=1, help="Rows per forward pass.", show_default="at most 256", rich_help_panel=WORK),
]
ShardOption = Annotated[
    str,
    typer.Option(
        "--shard",
        metavar="I/N",
        help="Only the I-th of N equal parts of the rows.",
        show_default=False,
        rich_help_panel=WORK,
    ),
]
EngineName = Annotated[
    str,
    typer.Option(
        "--engine",
        help="process (this one) or ray (workers of a Ray cluster, for tables in Parquet).",
        rich_help_panel=WORK,
    ),
]
Workers = Annotated[
    int | None,
    typer.Option(min=1, metavar="N", help="Ray's workers.", show_default="one per CPU or GPU", rich_help_panel=WORK),
]
PluginFile = Annotated[
    Path | None,
    typer.Option(
        "--plugin",
        metavar="FILE",
        help="The Python file of the model, if the run used one.",
        show_default=False,
        rich_help_panel=WORK,
    ),
]


def predict(
    names: Annotated[
        list[str],
        typer.Argument(metavar="RUN... TABLE", help="Run folders (or owner/name on the Hub), then the table."),
    ],
    output: Annotated[Path, typer.Option(help="File to write: .csv, .jsonl or .parquet.", show_default=False)],
    columns: Columns = "",
    language: Language = "",
    images: Images = None,
    encoding: Encoding = "",
    top_k: Annotated[
        int, typer.Option(help="Number of the most probable classes to list.", rich_help_panel=RESULTS)
    ] = 5,
    min_confidence: Annotated[
        float, typer.Option(help="Abstain below this probability.", rich_help_panel=RESULTS)
    ] = 0.0,
    uncalibrated: Annotated[
        bool,
        typer.Option("--uncalibrated", help="Write the model's own probabilities.", rich_help_panel=RESULTS),
    ] = False,
    score: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Score with the labels in the table, into a new run folder.",
            show_default=False,
            rich_help_panel=RESULTS,
        ),
    ] = None,
    ensemble: Annotated[
        bool, typer.Option("--ensemble", help="Average all seeds of all runs.", rich_help_panel=WORK)
    ] = False,
    seed: Seed = None,
    device: Device = "auto",
    batch_size: BatchSize = None,
    shard: ShardOption = "1/1",
    engine: EngineName = "process",
    workers: Workers = None,
    plugin: PluginFile = None,
) -> None:
    """Classify the rows of a table with the model of a run.

    Needs no labels. Writes a row for each row of the table: id, language, and for each task the class, its calibrated
    probability, and the most probable classes. Repeat an interrupted command to continue it.
    """
    from mmeval.cli.run import show_result
    from mmeval.console import cell, console
    from mmeval.errors import UserError
    from mmeval.inference.classifier import result_options
    from mmeval.inference.job import require_output
    from mmeval.inference.load import load
    from mmeval.inference.predict import Shard, predict_file
    from mmeval.inference.ray import RayEngine
    from mmeval.inference.rows import RowOptions
    from mmeval.inference.score import Scoring
    from mmeval.runs.folder import RunFolder

    if len(names) < 2:
        raise UserError(f"mmeval predict {names[0]}: name the run, and then the table to classify.")
    require_output(output)
    part = Shard.parse(shard)
    cluster = RayEngine.parse(engine, workers, plugin)
    results = result_options(top_k, min_confidence)
    options = RowOptions(columns=columns, language=language, images=images, encoding=encoding)
    classifier = load(names[:-1], seed=seed, ensemble=ensemble, device=device, plugin=plugin)
    scoring = None
    if score is not None:
        words = ["mmeval", "predict", *names, "--output", str(output), "--score", str(score)]
        calibrated = not uncalibrated and classifier.calibrated
        scoring = Scoring(RunFolder(score), classifier, shlex.join(words), calibrated)
    tally = predict_file(
        classifier,
        Path(names[-1]),
        output,
        rows=options,
        results=results,
        calibrated=not uncalibrated,
        batch_size=batch_size,
        shard=part,
        scoring=scoring,
        engine=cluster,
    )
    if scoring:
        show_result(scoring.folder)
    abstained = f", {tally.abstained:,} abstained" if min_confidence else ""
    line = f"Predictions: {output} ({tally.rows:,} rows, {tally.rejected:,} rejected{abstained})"
    console().print(cell(line), soft_wrap=True)

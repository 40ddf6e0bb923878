"""The commands ``mmeval score`` and ``mmeval report``: scores of a finished run or of another tool's predictions."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mmeval.cli.options import Hierarchy, Metrics

if TYPE_CHECKING:
    from mmeval.runs.folder import RunFolder

FILE = "Options for a file of predictions"
"""Title of the box in which help shows the options that only a file has."""


def score(
    run: Annotated[
        Path, typer.Argument(metavar="RUN|FILE", help="Run folder, or a file of predictions that another tool made.")
    ],
    metrics: Metrics = None,
    hierarchy: Hierarchy = None,
    plugin: Annotated[
        str | None, typer.Option(metavar="FILE", help="The model as ./file.py, if the file registers a metric.")
    ] = None,
    dataset: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|FILE",
            help="For a FILE: the data set's name (default: the file's name). For a RUN: the data set as ./file.py, if "
            "the file registers a metric.",
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(help="Run folder to write.", show_default="a new folder in runs", rich_help_panel=FILE),
    ] = None,
    validation: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Predictions of the validation split, for thresholds and calibration.",
            show_default=False,
            rich_help_panel=FILE,
        ),
    ] = None,
    name: Annotated[
        str, typer.Option(help="The model's name.", show_default="the file's name", rich_help_panel=FILE)
    ] = "",
    columns: Annotated[
        str,
        typer.Option(
            metavar="ROLE=COLUMN,...",
            help="Columns whose names differ: id=, language=, true=, predicted=, probabilities=, p:CLASS=, "
            "p:*=PREFIX*, cluster=, task=, seed=, slice:NAME=. In JSON Lines, a.b.0 is a value in objects and lists.",
            show_default="the roles' own names",
            rich_help_panel=FILE,
        ),
    ] = "",
    classes: Annotated[
        str,
        typer.Option(
            metavar="A,B,...|FILE",
            help="Classes in the order of the lists of probabilities; a file has one per line, or is JSON.",
            show_default=False,
            rich_help_panel=FILE,
        ),
    ] = "",
    language: Annotated[
        str, typer.Option(help="Language of every row, such as de.", show_default=False, rich_help_panel=FILE)
    ] = "",
    task: Annotated[
        str,
        typer.Option(
            help="Name of the task of a file without the column task.", show_default="label", rich_help_panel=FILE
        ),
    ] = "",
    inputs: Annotated[
        str | None,
        typer.Option(
            help="Inputs of the model: image+text, image or text.", show_default="unknown", rich_help_panel=FILE
        ),
    ] = None,
    like: Annotated[
        Path | None,
        typer.Option(
            metavar="RUN",
            help="A run over the same examples: ids, languages and labels must agree, or are taken from it where the "
            "file has none.",
            show_default=False,
            rich_help_panel=FILE,
        ),
    ] = None,
    encoding: Annotated[
        str,
        typer.Option(
            help="Encoding of a text file, such as cp1250 or utf-16.", show_default="UTF-8", rich_help_panel=FILE
        ),
    ] = "",
) -> None:
    """Score a run again from its predictions, or score a file of predictions that another tool made.

    RUN is a folder: its files are checked against the digests in run.json, scores and report are computed again. Python
    files that the run folder names are not executed unless you name them.

    FILE is Parquet, CSV, TSV or JSON Lines with the columns id, language and true, and predicted, or p:CLASS for each
    class, or probabilities with lists; also cluster, task, seed and slice:NAME. The result is a run folder.
    """
    from mmeval.cli.run import show_result
    from mmeval.errors import UserError
    from mmeval.runs.folder import RunFolder
    from mmeval.runs.scoring import ScoringPlugins, score_again

    of_a_file = {
        "--output": output,
        "--validation": validation,
        "--name": name,
        "--columns": columns,
        "--classes": classes,
        "--language": language,
        "--task": task,
        "--inputs": inputs,
        "--like": like,
        "--encoding": encoding,
    }
    given = [option for option, value in of_a_file.items() if value]
    if run.is_dir() or not (run.exists() or given or _looks_like_a_table(run)):
        if given:
            raise UserError(f"{', '.join(given)}: {run} is a folder; these options are for a file of predictions.")
        folder = RunFolder(run)
        score_again(folder, ScoringPlugins(tuple(metrics or ()), plugin, dataset), tuple(hierarchy or ()))
        show_result(folder)
        return
    if plugin:
        raise UserError(f"--plugin {plugin}: {run} is a file of predictions; add a metric with --metric {plugin}.")
    from mmeval.data.external.classes import parse_classes
    from mmeval.data.external.columns import parse_columns
    from mmeval.runs.external import ExternalRequest, score_predictions
    from mmeval.runs.request import parse_inputs

    request = ExternalRequest(
        predictions=run,
        output=output,
        validation=validation,
        name=name,
        dataset=dataset or "",
        columns=parse_columns(columns),
        classes=parse_classes(classes) if classes else (),
        language=language,
        task=task,
        like=like,
        encoding=encoding,
        metrics=tuple(metrics or ()),
        hierarchies=tuple(hierarchy or ()),
        typed_classes=classes,
        **({"inputs": parse_inputs(inputs)} if inputs else {}),
    )
    show_result(score_predictions(request))


def _looks_like_a_table(path: Path) -> bool:
    from mmeval.data.reading.files import table_suffix

    return bool(table_suffix(path))


def report(
    runs: Annotated[
        list[Path], typer.Argument(metavar="RUN", help="Run folder; several for a table of models by languages.")
    ],
    kind: Annotated[
        str | None,
        typer.Option(
            "--format",
            metavar="md|html|csv|json|latex",
            help="Print the report in this format; the run folder stays as it is.",
            show_default="the ending of --output",
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write it to a file.", show_default="standard output"),
    ] = None,
    tasks: Annotated[
        list[str] | None,
        typer.Option("--task", metavar="NAME", help="Only this task; repeatable.", show_default="all tasks"),
    ] = None,
    metrics: Annotated[
        list[str] | None,
        typer.Option(
            "--metric",
            metavar="NAME",
            help="Only this metric: top1, macro_f1, ...; repeatable for one run.",
            show_default="those of the report; top1 for several runs",
        ),
    ] = None,
) -> None:
    """Rebuild the report of a run from its scores, or print it in another format.

    The files of the run folder are first checked against the digests in run.json. With --format or --output, the folder
    is only read. Several runs become a table of models by languages, in which only scores that are significantly the
    best are bold.
    """
    from mmeval.cli.run import show_result
    from mmeval.errors import UserError
    from mmeval.runs.folder import RunFolder

    folders = [RunFolder(run) for run in runs]
    if kind is not None or output is not None:
        _write_formatted(folders, kind, output, tasks or [], metrics or [])
        return
    if tasks or metrics:
        raise UserError(f"{'--task' if tasks else '--metric'}: add --format md, csv, json or latex.")
    if len(folders) > 1:
        raise UserError("Several runs: add --format md, csv, json or latex for a table of them.")
    from mmeval.runs.scoring import report_again

    report_again(folders[0])
    show_result(folders[0])


def _write_formatted(
    folders: list[RunFolder], kind: str | None, output: Path | None, tasks: list[str], metrics: list[str]
) -> None:
    import sys

    from mmeval.console import cell, console
    from mmeval.errors import UserError
    from mmeval.files import write_text
    from mmeval.runs.formatted import format_of, formatted

    for folder in folders if output is not None else ():
        if output in (folder.record_file, *(folder.path / name for name in folder.record.files)):
            raise UserError(f"--output {output} is a file of the run itself; write the report to another file.")
    text = formatted(folders, format_of(kind, output), tasks=tasks, metrics=metrics)
    if output is None:
        sys.stdout.write(text)
        return
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        write_text(output, text)
    except OSError as error:
        raise UserError(f"--output {output} can't be written: {error.strerror}.") from None
    console().print(cell(f"Report: {output}"), soft_wrap=True)

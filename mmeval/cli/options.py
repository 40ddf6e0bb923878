"""Options that several commands share, above all those of a data set."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer

from mmeval.data.request import Dataset, DatasetRequest

HELP = "Data set: a name (see `mmeval data`), NAME:VARIANT, table:PATH, FILE.toml or ./file.py."
ARGUMENT = Annotated[str, typer.Argument(metavar="NAME", help=HELP)]
OPTION = Annotated[str, typer.Option("--dataset", metavar="NAME", help=HELP)]
DATASETS, TABLES = "Data set options", "Table options (with table:PATH)"
"""Titles of the boxes in which help shows the options."""

AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Changes = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change an option of the model; repeatable.")
]
Device = Annotated[str, typer.Option(help="Device: auto, cpu, cuda or cuda:N.")]
Limit = Annotated[int | None, typer.Option(min=1, metavar="N", help="Use only N examples of each split, for a trial.")]
Metrics = Annotated[
    list[str] | None,
    typer.Option("--metric", metavar="NAME", help="Add a plugin's metric: its name or ./file.py; repeatable."),
]
Hierarchy = Annotated[
    list[str] | None,
    typer.Option(
        "--hierarchy",
        metavar="[TASK=]FILE",
        help="Taxonomy of the classes, a line for each A > B > C, for hierarchical metrics; repeatable.",
    ),
]
Seeds = Annotated[int, typer.Option(min=1, help="Number of training seeds; scores are averaged.")]


def _options(
    source: Annotated[
        Path | None,
        typer.Option(
            help="The archive or folder that the data set is read from.", show_default=False, rich_help_panel=DATASETS
        ),
    ] = None,
    allow_mismatch: Annotated[
        bool,
        typer.Option("--allow-mismatch", help="Accept data that differs from the data card.", rich_help_panel=DATASETS),
    ] = False,
    columns: Annotated[
        str,
        typer.Option(
            metavar="ROLE=COLUMN,...",
            help="Columns by role: image=, text=TITLE+BODY, language=, label=, id=, split=, group=, slice=, metadata=; "
            "label_separator=| for several classes in a cell.",
            show_default="recognised by name",
            rich_help_panel=TABLES,
        ),
    ] = "",
    language: Annotated[
        str, typer.Option(help="Language of every row, such as de.", show_default=False, rich_help_panel=TABLES)
    ] = "",
    images: Annotated[
        Path | None,
        typer.Option(
            help="Folder that image paths are relative to.", show_default="the table's folder", rich_help_panel=TABLES
        ),
    ] = None,
    encoding: Annotated[
        str,
        typer.Option(
            help="Encoding of a text table, such as cp1250 or utf-16.", show_default="UTF-8", rich_help_panel=TABLES
        ),
    ] = "",
) -> dict[str, Any]:
    """Declare the shared options; their names are the fields of :class:`DatasetRequest`."""
    return dict(locals())


def takes_dataset(name: Any = ARGUMENT, default: Any = inspect.Parameter.empty) -> Callable[..., Any]:  # noqa: ANN401
    """Return a decorator that adds the data-set options to a command.

    The command has a parameter ``dataset: DatasetRequest``. On the command line it becomes the data set's name, and
    the options of :func:`_options` follow the command's own; the decorator builds the request from them.

    Args:
        name: annotation of the data set's name, ``ARGUMENT`` or ``OPTION``.
        default: the name that is used if the user gives none; without a default the name is required.
    """

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        shared = inspect.signature(_options).parameters

        @functools.wraps(command)
        def wrapper(**values: Any) -> None:  # noqa: ANN401 - whatever options the command declares
            options = {option: values.pop(option) for option in shared}
            command(**values | {"dataset": DatasetRequest(values["dataset"], **options)})

        own = dict(inspect.signature(command).parameters)
        own["dataset"] = own["dataset"].replace(default=default)
        parameters = sorted(
            [*own.values(), *shared.values()], key=lambda parameter: parameter.default is not parameter.empty
        )
        keyword = inspect.Parameter.KEYWORD_ONLY
        hints = get_type_hints(command, include_extras=True) | get_type_hints(_options, include_extras=True)
        hints |= {"dataset": name, "return": None}
        wrapper.__annotations__ = hints
        wrapper.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
            [parameter.replace(kind=keyword, annotation=hints[parameter.name]) for parameter in parameters]
        )
        return wrapper

    return decorate


def open_dataset(request: DatasetRequest, *, download: bool = False) -> Dataset:
    """Open the data set that a request names.

    Raises:
        UserError: no data set has this name, or it can't be prepared.
    """
    from mmeval.data.open import resolve

    return resolve.open_dataset(request, download=download)

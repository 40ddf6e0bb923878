"""Options that several commands share, above all those that say which data set to read."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer

from mmeval.data.request import Dataset, DatasetRequest

HELP = "A name (`mmeval data`), NAME:VARIANT, table:PATH, FILE.toml or ./file.py."
ARGUMENT = Annotated[str, typer.Argument(metavar="NAME", help=HELP)]
OPTION = Annotated[str, typer.Option("--dataset", help=f"Data set: {HELP[0].lower()}{HELP[1:]}")]

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]


def _options(
    source: Annotated[
        Path | None, typer.Option(help="The archive or folder that the data set is read from.", show_default=False)
    ] = None,
    allow_mismatch: Annotated[
        bool,
        typer.Option("--allow-mismatch", help="Accept data in the published format that differs from its data card."),
    ] = False,
    columns: Annotated[
        str,
        typer.Option(
            metavar="ROLE=COLUMN,...",
            help="Of a table: image=, text=ONE+OTHER, language=, label=, id=, split=, group=, slice=, metadata=.",
            show_default="told by their names",
        ),
    ] = "",
    language: Annotated[
        str, typer.Option(help="Of a table: the language of every row, such as de.", show_default=False)
    ] = "",
    images: Annotated[
        Path | None,
        typer.Option(help="Of a table: the folder that image paths start from.", show_default="the table's folder"),
    ] = None,
    encoding: Annotated[
        str, typer.Option(help="Of a text table: its encoding, such as cp1250 or utf-16.", show_default="UTF-8")
    ] = "",
) -> dict[str, Any]:
    """Declare the options; their names are the fields of :class:`DatasetRequest`."""
    return dict(locals())


def takes_dataset(name: Any = ARGUMENT, default: Any = inspect.Parameter.empty) -> Callable[..., Any]:  # noqa: ANN401
    """Decorate a command whose parameter ``dataset`` is a :class:`DatasetRequest`.

    On the command line that parameter is the data set's name, and the options of :func:`_options` follow the command's
    own.

    Args:
        name: the annotation of the name: ``ARGUMENT`` or ``OPTION``.
        default: the name if the user gives none; without a default the name is required.
    """

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        shared = inspect.signature(_options).parameters

        @functools.wraps(command)
        def wrapper(**values: Any) -> None:  # noqa: ANN401 - whatever options the command declares
            options = {option: values.pop(option) for option in shared}
            command(**values | {"dataset": DatasetRequest(values["dataset"], **options)})

        own = dict(inspect.signature(command).parameters)
        own["dataset"] = own["dataset"].replace(default=default)
        parameters = sorted([*own.values(), *shared.values()], key=lambda one: one.default is not one.empty)
        keyword = inspect.Parameter.KEYWORD_ONLY
        hints = get_type_hints(command, include_extras=True) | get_type_hints(_options, include_extras=True)
        hints |= {"dataset": name, "return": None}
        wrapper.__annotations__ = hints
        signature = inspect.Signature([one.replace(kind=keyword, annotation=hints[one.name]) for one in parameters])
        wrapper.__signature__ = signature  # type: ignore[attr-defined]
        return wrapper

    return decorate


def open_dataset(request: DatasetRequest, *, download: bool = False) -> Dataset:
    """Open the data set that the options ask for.

    Raises:
        UserError: no data set has that name, or it can't be prepared.
    """
    from mmeval.data.open import resolve

    return resolve.open_dataset(request, download=download)

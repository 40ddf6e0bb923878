"""Resolve the name that a user types after ``--dataset``, and open the data set behind it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from mmeval.api.spec import DatasetSpec
from mmeval.data.card import read_card
from mmeval.data.open.archive import open_archive
from mmeval.data.prepare.prepare import prepare
from mmeval.data.request import Dataset, DatasetRequest
from mmeval.data.table.resolve import open_table
from mmeval.errors import UserError
from mmeval.plugin.manager import Manager


def open_data(request: DatasetRequest, manager: Manager, *, download: bool = False) -> Dataset:
    """Open a data set, and prepare it first if this machine has no Store of it.

    Args:
        request: the name of the data set, and its options.
        manager: the plugin manager.
        download: whether to download missing files, if the licence allows it.

    Raises:
        UserError: no data set has that name, or it can't be prepared.
    """
    if request.is_table:
        return open_table(request, manager)
    for option, value in request.table_options.items():
        raise UserError(f"{option} {value}: only tables have this option; write --dataset table:PATH.")
    spec = resolve_spec(request.name, manager)
    if spec.archive is None:
        if request.source:
            raise UserError(
                f"--source {request.source}: {spec.name} is generated from installed packages; leave --source out."
            )
        if request.allow_mismatch:
            raise UserError(
                f"--allow-mismatch: {spec.name} is generated from installed packages; leave the option out."
            )
        store = prepare(spec)
    else:
        store = open_archive(spec, request, download=download)
    if spec.card is None:
        return Dataset(spec, store, "unknown")
    card = read_card(spec.card)
    return Dataset(spec, store, card.licence, card.citation)


def open_dataset(
    dataset: str | Path | DatasetRequest,
    *,
    source: str | Path | None = None,
    download: bool = False,
    allow_mismatch: bool = False,
    columns: str | Mapping[str, str | Sequence[str]] = "",
    language: str = "",
    images: str | Path | None = None,
    encoding: str = "",
) -> Dataset:
    """Open a data set by name, and prepare it first if that has not been done on this machine.

    Args:
        dataset: a data set's name, ``table:PATH``, or the path of a TOML or Python file.
        source: the archive or folder that the data set is read from.
        download: download missing files if the licence allows it.
        allow_mismatch: accept data that differs from its data card.
        columns: tables only: the role of each column, as for ``mmeval.run``.
        language: tables only: the language of every row.
        images: tables only: the folder that image paths start from.
        encoding: tables only: the text encoding; by default UTF-8.

    Raises:
        UserError: no data set has that name, or it can't be prepared.
    """
    request = DatasetRequest.of(
        dataset,
        source=source,
        allow_mismatch=allow_mismatch,
        columns=columns,
        language=language,
        images=images,
        encoding=encoding,
    )
    return open_data(request, Manager(), download=download)


def resolve_spec(name: str, manager: Manager) -> DatasetSpec:
    """Return the spec of a plugin's data set, with the variant that its name asks for (``food101:title-masked``).

    Raises:
        UserError: there is no such data set or variant.
    """
    if not name.endswith(".py") and Path(name).exists() and ("/" in name or name not in manager.names(DatasetSpec)):
        raise UserError(f"{name}: a file or folder of your own is written table:{name}.")
    base, colon, variant = (name, "", "") if name.endswith(".py") else name.partition(":")
    spec = manager.dataset(base)
    if not colon or variant == spec.default_variant:
        return spec
    if variant not in spec.variants:
        named = [*([spec.default_variant] if spec.default_variant else []), *spec.variants]
        has = f"its variants are {', '.join(named)}" if named else "it has no variants"
        raise UserError(f'{base} has no variant "{variant}"; {has}.')
    return spec.model_copy(update={"variant": variant})

"""Tables by what a user types: ``table:PATH``, ``table:hub:OWNER/NAME``, ``shop.toml``, ``shop``."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmeval.api.source import Source
from mmeval.api.spec import DatasetSpec
from mmeval.console import note
from mmeval.data.prepare.prepare import prepare
from mmeval.data.request import TABLE, TOML, Dataset, DatasetRequest
from mmeval.data.table.options import HUB, Columns, TableOptions, name_of, parse_columns, read_options, write_options
from mmeval.data.table.source import TableSource
from mmeval.errors import DataError, UserError
from mmeval.home import table_file

if TYPE_CHECKING:
    from mmeval.plugin.manager import Manager


def open_table(request: DatasetRequest, manager: Manager) -> Dataset:
    """Prepare a table, or open what was prepared of it.

    Raises:
        UserError: it is not there, or its columns can't be told.
    """
    options, source = _opened(request, manager)
    source.announce()
    spec = table_spec(options, source)
    store = prepare(spec, source)
    if request.name.endswith(TOML):
        _name_it(_written(request.name))
    return Dataset(spec, store, options.licence)


def save_table(request: DatasetRequest, path: Path, manager: Manager) -> str:
    """Write all that is known of a table to ``path``, so that the name of that file is enough; returns it.

    Raises:
        UserError: not a table, not a toml file, or an option that doesn't fit.
    """
    if not request.is_table:
        raise UserError(f"--save {path}: {request.name} has a name already; only a table can be saved.")
    if path.suffix != TOML:
        raise UserError(f"--save {path}: the file's name must end in .toml.")
    options, source = _opened(request, manager)
    options = options.model_copy(update={"columns": source.columns, "name": name_of(path.stem)})
    _refuse_taken(options.called, str(path), manager)
    write_options(path, options)
    note(f"Wrote {path}: change there what isn't right.")
    return str(path)


def _opened(request: DatasetRequest, manager: Manager) -> tuple[TableOptions, TableSource]:
    options = table_options(request, manager)
    if not options.is_hub:
        return options, TableSource(options, Path(options.source))
    from mmeval.data.table.repository import fetch

    found = fetch(options)
    if options.licence == TableOptions.model_fields["licence"].default:
        options = options.model_copy(update={"licence": found.licence})
    return options, TableSource(options, found.path, found.commit, found.root)


def _name_it(options: TableOptions) -> None:
    """Keep a toml file's content under its name, which is enough from now on."""
    file = table_file(options.called)
    try:
        before = read_options(file)
    except DataError:  # none yet, or one of another version of mmeval
        before = options
    if before.source != options.source:
        note(f"{options.called} is the name of {options.source} now; it was that of {before.source}.")
    write_options(file, options)


def table_options(request: DatasetRequest, manager: Manager) -> TableOptions:
    """What is known of a table: its ``dataset.toml``, and what was typed on top of it.

    Raises:
        UserError: it is called as a plugin is, or an option doesn't fit.
    """
    if request.source:
        raise UserError(f"--source {request.source}: a table is its own source; leave --source out.")
    if request.allow_mismatch:
        raise UserError("--allow-mismatch: a table has no release; leave the option out.")
    options = _written(request.name)
    typed = parse_columns(request.columns)
    merged = options.columns.model_dump() | {r: v for r, v in typed.model_dump().items() if v is not None}
    changes: dict[str, Any] = {"columns": Columns.model_validate(merged)}
    changes |= {"language": request.language} if request.language else {}
    changes |= {"images": str(request.images)} if request.images else {}
    changes |= {"encoding": request.encoding} if request.encoding else {}
    options = options.model_copy(update=changes)
    _refuse_taken(options.called, request.name, manager)
    return options


def _refuse_taken(called: str, typed: str, manager: Manager) -> None:
    if called in manager.names(DatasetSpec):
        raise UserError(
            f'{typed}: a data set of mmeval is called "{called}" already; save the table as my-{called}.toml.'
        )


def _written(name: str) -> TableOptions:
    """The options that ``name`` leads to, before anything else is typed."""
    if not name.startswith(TABLE):
        return read_options(Path(name) if name.endswith(TOML) else table_file(name))
    place = name.removeprefix(TABLE)
    if not place:
        raise UserError("--dataset table: lacks its path; write table:PATH or table:hub:OWNER/NAME.")
    path = Path(place).expanduser()
    if place.endswith(TOML):
        return read_options(path)
    if (path / "dataset.toml").is_file():
        return read_options(path / "dataset.toml")
    return TableOptions(source=place if place.startswith(HUB) else str(path))


def table_spec(options: TableOptions, source: Source) -> DatasetSpec:
    """A table as a data set like any other."""
    # The name alone: cards and reports are published, and a path shows whose machine they were made on.
    named = options.source if options.is_hub else Path(options.source).resolve().name
    summary = options.summary or f"the table {named}"
    return DatasetSpec(name=options.called, summary=summary, card=None, source=partial(_itself, source))


def _itself(source: Source) -> Source:
    return source

"""Tables named on the command line: ``table:PATH``, ``table:hub:OWNER/NAME``, ``shop.toml``, ``shop``."""

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
    """Open a table, and prepare it first if necessary.

    Raises:
        UserError: the table is missing, or the roles of its columns are unclear.
    """
    options, source = _open(request, manager)
    source.announce()
    spec = table_spec(options, source)
    store = prepare(spec, source)
    if request.name.endswith(TOML):
        _save_under_name(_read_named_options(request.name))
    return Dataset(spec, store, options.licence, options.citation)


def save_table(request: DatasetRequest, path: Path, manager: Manager) -> str:
    """Write all options of a table to a toml file, so that its name suffices later; return the file's name.

    Raises:
        UserError: the request is not a table, ``path`` is not a toml file, or an option does not fit.
    """
    if not request.is_table:
        raise UserError(f"--save {path}: {request.name} has a name already; only a table can be saved.")
    if path.suffix != TOML:
        raise UserError(f"--save {path}: the file's name must end in .toml.")
    options, source = _open(request, manager)
    options = options.model_copy(update={"columns": source.columns, "name": name_of(path.stem)})
    _refuse_taken(options.full_name, str(path), manager)
    write_options(path, options)
    note(f"Wrote {path}: correct it there if something is wrong.")
    return str(path)


def _open(request: DatasetRequest, manager: Manager) -> tuple[TableOptions, TableSource]:
    options = table_options(request, manager)
    if not options.is_hub:
        return options, TableSource(options, Path(options.source))
    from mmeval.data.table.repository import download_table

    table = download_table(options)
    if options.licence == TableOptions.model_fields["licence"].default:
        options = options.model_copy(update={"licence": table.licence})
    return options, TableSource(options, table.path, table.commit, table.root)


def _save_under_name(options: TableOptions) -> None:
    """Save the options of a toml file under its name, so that the name suffices later."""
    file = table_file(options.full_name)
    try:
        before = read_options(file)
    except DataError:  # missing, or written by another version of mmeval
        before = options
    if before.source != options.source:
        note(f"{options.full_name} now names {options.source}; before, it named {before.source}.")
    write_options(file, options)


def table_options(request: DatasetRequest, manager: Manager) -> TableOptions:
    """Return the options of a table: those of its ``dataset.toml``, overridden by those of the request.

    Raises:
        UserError: a plugin has the same name, or an option does not fit.
    """
    if request.source:
        raise UserError(f"--source {request.source}: a table is its own source; leave --source out.")
    if request.allow_mismatch:
        raise UserError("--allow-mismatch: a table has no release; leave the option out.")
    options = _read_named_options(request.name)
    typed = parse_columns(request.columns)
    merged = options.columns.model_dump() | {r: v for r, v in typed.model_dump().items() if v is not None}
    changes: dict[str, Any] = {"columns": Columns.model_validate(merged)}
    changes |= {"language": request.language} if request.language else {}
    changes |= {"images": str(request.images)} if request.images else {}
    changes |= {"encoding": request.encoding} if request.encoding else {}
    options = options.model_copy(update=changes)
    _refuse_taken(options.full_name, request.name, manager)
    return options


def _refuse_taken(name: str, typed: str, manager: Manager) -> None:
    if name in manager.names(DatasetSpec):
        raise UserError(
            f'{typed}: a data set of mmeval already has the name "{name}"; save the table as my-{name}.toml.'
        )


def _read_named_options(name: str) -> TableOptions:
    """Return the options that the name alone gives, without those of the command line."""
    if not name.startswith(TABLE):
        return read_options(Path(name) if name.endswith(TOML) else table_file(name))
    source = name.removeprefix(TABLE)
    if not source:
        raise UserError("--dataset table: lacks its path; write table:PATH or table:hub:OWNER/NAME.")
    path = Path(source).expanduser()
    if source.endswith(TOML):
        return read_options(path)
    if (path / "dataset.toml").is_file():
        return read_options(path / "dataset.toml")
    return TableOptions(source=source if source.startswith(HUB) else str(path))


def table_spec(options: TableOptions, source: Source) -> DatasetSpec:
    """Return the spec of a table's data set."""
    # The file name alone: cards and reports are published, and a path would show private folders.
    file_name = options.source if options.is_hub else Path(options.source).resolve().name
    summary = options.summary or f"the table {file_name}"
    return DatasetSpec(name=options.full_name, summary=summary, card=None, source=partial(_identity, source))


def _identity(source: Source) -> Source:
    return source

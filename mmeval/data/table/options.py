"""Options of a table as a data set: from the command line, or from a ``dataset.toml``."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError, field_validator

from mmeval.api.config import Config
from mmeval.data.request import SEPARATOR, SEPARATOR_NAMES, separator_name
from mmeval.errors import DataError, UserError
from mmeval.files import write_text

HUB = "hub:"
SEVERAL = ("text", "label", "slice", "metadata")
"""The roles that may have several columns."""


class Columns(Config):
    """Columns by role. None if not given, so that they are inferred from the names; empty if there are none."""

    image: str | None = None
    """The image: a path, an address whose file is on disk, or the bytes themselves."""
    text: tuple[str, ...] | None = None
    """Texts, joined by a blank."""
    language: str | None = None
    """ISO 639 code, with or without a country; names and country codes are corrected."""
    label: tuple[str, ...] | None = None
    """Class names; each column is a task. A column of lists is a multi-label task."""
    id: str | None = None
    """The id of a product; rows of one product may share it."""
    split: str | None = None
    """train, validation or test."""
    group: str | None = None
    """A value that rows share if they must be in the same split."""
    slice: tuple[str, ...] | None = None
    """Columns by which scores are also given."""
    metadata: tuple[str, ...] | None = None
    """Columns that are stored for people to look at."""
    label_separator: str | None = None
    """What separates the class names in a label cell (`|`). A label column with a cell that holds it is a multi-label
    task."""

    @field_validator(*SEVERAL, mode="before")
    @classmethod
    def _one_or_several(cls, value: object) -> object:
        return (value,) if isinstance(value, str) and value else () if value == "" else value

    def named(self) -> dict[str, tuple[str, ...]]:
        """Return the columns of each role that has any."""
        by_role = {role: getattr(self, role) for role in ROLES}
        return {
            role: columns if isinstance(columns, tuple) else (columns,) for role, columns in by_role.items() if columns
        }

    def __str__(self) -> str:
        """Return the columns in the form of ``--columns``."""
        parts = [f"{role}={'+'.join(columns)}" for role, columns in self.named().items()]
        if self.label_separator:
            parts.append(f"{SEPARATOR}={separator_name(self.label_separator)}")
        return ",".join(parts)


ROLES = tuple(field for field in Columns.model_fields if field != SEPARATOR)
"""The roles of columns."""


class TableOptions(Config):
    """Options of a table as a data set: the fields of a ``dataset.toml``."""

    source: str = Field(min_length=1)
    """A file, a folder of them, or ``hub:owner/name`` (also ``hub:owner/name/FOLDER``, or a file in it).

    A relative path starts at the ``dataset.toml``.
    """
    name: str = Field(default="", pattern=r"^([A-Za-z0-9][A-Za-z0-9._-]*)?$")
    """The name after ``--dataset``; empty to derive it from the source."""
    summary: str = ""
    """A line about the data set."""
    licence: str = "unknown"
    """Licence of the data."""
    citation: str = ""
    """How to cite the data: BibTeX or a sentence."""
    language: str = ""
    """The language of rows without a value in the language column."""
    encoding: str = ""
    """The encoding of a CSV, TSV or JSON Lines file, by its Python name (``cp1250``); empty for UTF-8."""
    images: str = ""
    """The folder that image paths start from; empty for the table's folder."""
    revision: str = ""
    """Commit, tag or branch of a Hub data set."""
    columns: Columns = Columns()
    """The columns by role."""

    @property
    def is_hub(self) -> bool:
        """Whether the table is a data set on the Hub."""
        return self.source.startswith(HUB)

    @property
    def full_name(self) -> str:
        """The name of the data set, derived from the file or folder if none is given."""
        stem = self.source.removeprefix(HUB) if self.is_hub else Path(self.source).resolve().name.split(".")[0]
        return self.name or name_of(stem)


def name_of(stem: str) -> str:
    """Return a valid name for a table, derived from the name of its file."""
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", stem).strip("-._") or "table"
    return f"{name}-table" if name.endswith((".py", ".toml")) else name


def parse_columns(text: str) -> Columns:
    """Parse the value of ``--columns``: ``image=photo,text=title+description,label=category``.

    ``label_separator=|`` is no column but the separator of class names; a comma is written ``comma``.

    Raises:
        UserError: the text has another form, or names an unknown role.
    """
    by_role: dict[str, Any] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        role, equals, names = part.partition("=")
        role = role.strip()
        if not equals or role not in Columns.model_fields:
            raise UserError(f'--columns: "{part}" should be ROLE=COLUMN, with a ROLE of {", ".join(ROLES)}.')
        if role in by_role:
            raise UserError(f"--columns names {role} twice; write {role}=ONE+OTHER to use both.")
        if role == SEPARATOR:
            by_role[role] = SEPARATOR_NAMES.get(names.strip(), names.strip())
            continue
        columns = tuple(filter(None, (name.strip() for name in names.split("+"))))
        if len(columns) > 1 and role not in SEVERAL:
            raise UserError(f"--columns: {role} is one column, not {len(columns)}.")
        by_role[role] = columns if role in SEVERAL else "".join(columns)
    return Columns(**by_role)


def read_options(path: Path) -> TableOptions:
    """Read a ``dataset.toml``; relative paths are resolved against its folder.

    Raises:
        DataError: the file is missing, is not TOML, or has an unknown or invalid field.
    """
    try:
        options = TableOptions(**tomllib.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise DataError(f"There is no file {path}.") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise DataError(f"{path} can't be read as TOML: {error}.") from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        fields = ", ".join(Columns.model_fields if where.startswith("columns.") else TableOptions.model_fields)
        unknown = first["type"] == "extra_forbidden"
        raise DataError(
            f"{path}: {where}: {f'there is no such field; the fields are {fields}' if unknown else first['msg']}."
        ) from None
    base = path.parent.resolve()
    source = options.source if options.is_hub else str(base / Path(options.source).expanduser())
    images = str(base / Path(options.images).expanduser()) if options.images else ""
    name = options.name or name_of(path.stem if path.stem != "dataset" else base.name)
    return options.model_copy(update={"source": source, "images": images, "name": name})


def write_options(path: Path, options: TableOptions) -> None:
    """Write a ``dataset.toml`` that :func:`read_options` can read."""
    values = options.model_dump(mode="json", exclude={"columns"})
    if not options.is_hub:
        values["source"] = _relative_to(path, options.source)
    if options.images:
        values["images"] = _relative_to(path, options.images)
    lines = ["# A data set of mmeval: `mmeval data show FILE`, `mmeval run --dataset FILE`."]
    lines += [f"{name} = {_toml(value)}" for name, value in values.items() if value]
    lines += ["", "[columns]"]
    for role, value in options.columns.model_dump(mode="json").items():
        lines += [f"{role} = {_toml(value)}"] if value is not None else []
    write_text(path, "\n".join(lines) + "\n")


def _relative_to(file: Path, target: str) -> str:
    """Return a path relative to the folder of ``file`` if it is inside, so that both can be moved; else absolute."""
    base, resolved = file.parent.resolve(), Path(target).resolve()
    return str(resolved.relative_to(base)) if resolved.is_relative_to(base) else str(resolved)


def _toml(value: Any) -> str:  # noqa: ANN401 - a text or a list of texts
    # A JSON string is also a basic string of TOML, except for DEL.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")

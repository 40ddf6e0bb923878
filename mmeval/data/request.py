"""The request for a data set, and an open data set."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from mmeval.home import table_names

if TYPE_CHECKING:
    from mmeval.api.spec import DatasetSpec
    from mmeval.data.store import Store

TABLE, TOML = "table:", ".toml"


@dataclass(frozen=True)
class DatasetRequest:
    """The data set that a user asks for: its name, and the options that say where and how to read it."""

    name: str
    """``emoji14``, ``food101:title-masked``, ``table:shop.csv``, ``shop.toml``, ``./file.py``."""
    _: KW_ONLY
    source: Path | None = None
    """The archive or folder that the data set is read from."""
    allow_mismatch: bool = False
    """Accept data that differs from its data card, and name it ``NAME-mismatched``."""
    columns: str = ""
    """Tables only: the role of each column, as typed after ``--columns``."""
    language: str = ""
    """Tables only: the language of every row."""
    images: Path | None = None
    """Tables only: the folder that image paths start from."""
    encoding: str = ""
    """Tables only: the text encoding; empty for UTF-8."""

    @property
    def is_table(self) -> bool:
        """Whether it is a table of the user's own rather than a data set of a plugin."""
        return self.name.startswith(TABLE) or self.name.endswith(TOML) or self.name in table_names()

    @property
    def table_options(self) -> dict[str, str | Path]:
        """The options that only tables have, by name, where they are set."""
        options: dict[str, str | Path | None] = {
            "--columns": self.columns,
            "--language": self.language,
            "--images": self.images,
            "--encoding": self.encoding,
        }
        return {option: value for option, value in options.items() if value}

    def arguments(self) -> list[str]:
        """Return the command-line arguments that ask for the same data set."""
        words = ["--dataset", self.name]
        words += ["--source", str(self.source)] if self.source else []
        words += ["--allow-mismatch"] if self.allow_mismatch else []
        return words + [str(word) for option in self.table_options.items() for word in option]


class Dataset(NamedTuple):
    """A data set that is prepared and open for reading."""

    spec: DatasetSpec
    """What its plugin declares."""
    store: Store
    """The prepared data."""
    licence: str
    """The licence of the data."""

"""A data set as a user asks for it."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from mmeval.api.spec import DatasetSpec
from mmeval.errors import UserError
from mmeval.home import table_names

if TYPE_CHECKING:
    from mmeval.data.store import Store
    from mmeval.plugin.manager import Manager

TABLE, TOML = "table:", ".toml"


@dataclass(frozen=True)
class Asked:
    """A data set as a user asks for it."""

    name: str
    """``emoji14``, ``food101:title-masked``, ``table:shop.csv``, ``shop.toml``, ``./file.py``."""
    source: Path | None = None
    """The file or folder that it is read from."""
    released: bool = True
    """False: take what is not the release."""
    columns: str = ""
    """Of a table: which is what."""
    language: str = ""
    """Of a table: that of every row."""
    images: Path | None = None
    """Of a table: the folder of its pictures."""
    encoding: str = ""
    """Of a table: that of its text; empty: UTF-8."""

    @property
    def is_table(self) -> bool:
        """Whether it is a table of somebody's own."""
        return self.name.startswith(TABLE) or self.name.endswith(TOML) or self.name in table_names()

    def words(self) -> list[str]:
        """The command-line options that ask for the same."""
        words = ["--dataset", self.name]
        words += ["--source", str(self.source)] if self.source else []
        words += [] if self.released else ["--not-the-release"]
        words += ["--columns", self.columns] if self.columns else []
        words += ["--language", self.language] if self.language else []
        words += ["--images", str(self.images)] if self.images else []
        return words + (["--encoding", self.encoding] if self.encoding else [])


class Opened(NamedTuple):
    """A data set, ready to be read."""

    spec: DatasetSpec
    store: Store
    licence: str


def spec_of(name: str, manager: Manager) -> DatasetSpec:
    """The plugin's spec behind a name such as ``food101:title-masked``, with the variant that was asked for.

    Raises:
        UserError: no such data set or variant.
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
    return dataclasses.replace(spec, variant=variant)

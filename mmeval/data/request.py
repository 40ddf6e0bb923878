"""The request for a data set, and an open data set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mmeval.errors import UserError
from mmeval.home import table_names

if TYPE_CHECKING:
    import datasets

    from mmeval.api.spec import DatasetSpec
    from mmeval.api.task import Task
    from mmeval.data.store import Store

TABLE, TOML = "table:", ".toml"
SEPARATOR = "label_separator"
"""The key beside the roles of columns that sets the separator of class names in label cells."""
SEPARATOR_NAMES = {"comma": ",", "space": " ", "tab": "\t", "newline": "\n"}
"""Names of the separators that ``--columns`` can't contain as they are."""


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

    @classmethod
    def of(
        cls,
        dataset: str | Path | DatasetRequest,
        *,
        source: str | Path | None = None,
        allow_mismatch: bool = False,
        columns: str | Mapping[str, str | Sequence[str]] = "",
        language: str = "",
        images: str | Path | None = None,
        encoding: str = "",
    ) -> DatasetRequest:
        """Make a request from what a Python user passes: text or paths, and columns as a mapping of roles.

        Raises:
            UserError: options are given beside a whole request.
        """
        options = {
            "source": Path(source) if source else None,
            "allow_mismatch": allow_mismatch,
            "columns": columns if isinstance(columns, str) else _columns(columns),
            "language": language,
            "images": Path(images) if images else None,
            "encoding": encoding,
        }
        if not isinstance(dataset, DatasetRequest):
            return cls(str(dataset), **options)  # type: ignore[arg-type]
        if given := [name for name, value in options.items() if value]:
            raise UserError(f"{', '.join(given)}: a DatasetRequest has these options itself; give them there.")
        return dataset

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


def _columns(roles: Mapping[str, str | Sequence[str]]) -> str:
    """Write the roles of columns as ``--columns`` takes them: ``text=title+description,label=category``."""
    words = {role: columns if isinstance(columns, str) else "+".join(columns) for role, columns in roles.items()}
    if SEPARATOR in words:
        words[SEPARATOR] = separator_name(words[SEPARATOR])
    return ",".join(f"{role}={word}" for role, word in words.items())


def separator_name(separator: str) -> str:
    """Return a separator as ``--columns`` takes it: ``|``, but ``comma`` for a comma."""
    return next((name for name, written in SEPARATOR_NAMES.items() if written == separator), separator)


@dataclass(frozen=True)
class Dataset:
    """A data set that is prepared and open for reading."""

    spec: DatasetSpec
    """The declaration by its plugin."""
    store: Store
    """The prepared data."""
    licence: str
    """The licence of the data."""
    citation: str = ""
    """How to cite the data, as BibTeX or a sentence; empty if unknown."""

    @property
    def name(self) -> str:
        """Name of the data set, with its variant: ``food101:title-masked``."""
        return self.store.name

    @property
    def tasks(self) -> tuple[Task, ...]:
        """The classification tasks, each with its classes in index order."""
        return self.store.tasks

    @property
    def languages(self) -> tuple[str, ...]:
        """ISO 639-1 codes of the languages, sorted."""
        return self.store.languages

    @property
    def split_sizes(self) -> dict[str, int]:
        """Number of examples per split."""
        return self.store.split_sizes

    def __repr__(self) -> str:
        """``Dataset('emoji14', 26684 examples, 14 languages)``."""
        examples = sum(self.split_sizes.values())
        return f"Dataset({self.name!r}, {examples} examples, {len(self.languages)} languages)"

    def to_datasets(self) -> datasets.DatasetDict:
        """Return the data set as a ``datasets.DatasetDict``, one ``datasets.Dataset`` per split.

        It memory-maps the Store's own files, and reads and decodes an image when a row is used: nothing is copied.
        ``push_to_hub`` writes the images into the rows; ``save_to_disk`` and ``to_parquet`` write their addresses,
        which only a machine that has the Store can read.

        Its columns are ``id``, ``text``, ``language``, ``cluster``, ``image`` (``datasets.Image``), one
        ``datasets.ClassLabel`` per task under the task's name (-1 where an example has no label; a list of them, None
        without a label, for a multi-label task), and ``slice:*``, ``metadata:*`` and ``attribute:*``.
        """
        from mmeval.data.hugging_face import as_dataset_dict

        return as_dataset_dict(self.store)

"""What ``store.json`` and ``pictures.json`` hold, and whether the files that they list are as they were written."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from mmeval.data.store_digests import changed
from mmeval.errors import DataError
from mmeval.integrity import SEAL, DamageError, read_sealed

SCHEMA_VERSION: Literal[3] = 3
OLDER_SCHEMAS = (1, 2)
"""Written without a seal."""
INFO, EXAMPLES, IMAGES, REJECTED = "store.json", "examples", "images", "rejected.parquet"
IMAGES_INFO = "pictures.json"
"""Beside the images: their number, digests, and which were rejected."""

Digest = Annotated[str, StringConstraints(pattern="^[0-9a-f]{64}$")]
Count = Annotated[int, Field(ge=0)]


class _Facts(BaseModel):
    # More fields may be there: what they hold is sealed, and whoever reads them knows them.
    model_config = ConfigDict(frozen=True, strict=True, use_attribute_docstrings=True)


class _Task(_Facts):
    name: str
    classes: list[str]


class StoreFacts(_Facts):
    """The content of ``store.json``."""

    schema_: Literal[3] = Field(alias="schema")
    """Version of this format."""
    name: str
    """The data set, with its variant."""
    fingerprint: Digest
    """SHA-256 over images, rows and tasks."""
    released: bool
    """Whether the data was held to its card."""
    identity: dict[str, str]
    """What the source says of itself."""
    tasks: list[_Task]
    """Each with its classes in index order."""
    languages: list[str]
    """ISO 639 codes that occur, sorted."""
    splits: dict[str, Count]
    """Examples by split."""
    images: Count
    """Number of different images."""
    rejected: Count
    """Rows and images that were rejected."""
    repaired: Count
    """Images that were mended."""
    cut: Count
    """Texts that were cut because they are too long."""
    unknown: dict[str, dict[str, Count]]
    """Rows by task and label that is no class of it."""
    left_out: dict[str, dict[str, Count]]
    """Rows by task and label whose class the variant leaves out."""
    attributes: dict[str, list[str]]
    """Values of the inputs beside image and text."""
    pictures: str
    """The folder of images, from the Store's."""
    pictures_digest: Digest
    """The ``digest`` of its ``pictures.json``."""
    files: dict[str, Digest]
    """SHA-256 of the other files of the Store's folder, by name."""
    spanning: dict[str, Count] = {}
    """Clusters that have examples in several splits."""
    differences: list[str] = []
    """In what the data is not as its card says."""


class ImageFacts(_Facts):
    """The content of ``pictures.json``."""

    count: Count
    """Number of images."""
    digest: Digest
    """SHA-256 over all images in their order."""
    shards: dict[str, Digest]
    """SHA-256 of each file, by its name."""
    rejected: dict[str, str]
    """Reason by key."""
    repaired: dict[str, str]
    """What was mended, by key."""


F = TypeVar("F", bound=_Facts)


def read_facts(path: Path, kind: type[F], mend: str) -> dict[str, Any]:
    """The content of ``store.json`` or ``pictures.json``, held against its seal and its format.

    Raises:
        DataError: it is damaged; ``mend`` says what to do.
        FileNotFoundError: it is not there.
    """
    try:
        facts = read_sealed(path)
        kind.model_validate(facts)
    except FileNotFoundError:
        raise
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise DataError(f"{path} is damaged ({where}: {first['msg']}); {mend}.") from None
    except (DamageError, OSError) as error:
        said = error.strerror if isinstance(error, OSError) else error
        raise DataError(f"{path} is damaged ({said}); {mend}.") from None
    return facts


def schema_of(folder: Path) -> object:
    """The version of the format of the Store in ``folder``; None where nothing says it.

    Raises:
        FileNotFoundError: there is none.
    """
    try:
        return read_sealed(folder / INFO).get("schema")
    except DamageError:
        return _schema_of_older(folder)
    except FileNotFoundError:
        raise
    except OSError:
        return None


def _schema_of_older(folder: Path) -> object:
    """Of a Store without a seal, as versions 1 and 2 wrote it."""
    try:
        facts = json.loads((folder / INFO).read_bytes())
    except (ValueError, RecursionError, OSError):
        return None
    if not isinstance(facts, dict) or SEAL in facts:
        return None
    schema = facts.get("schema")
    return schema if schema in OLDER_SCHEMAS else None


def again(*folders: Path) -> str:
    """What mends damage, for the end of a sentence."""
    return f"type `rm -r {shlex.join(map(str, folders))}` and run again: what is removed is prepared anew"


def require_whole(folder: Path, expected: Mapping[str, str], there: set[str], what: str, mend: str) -> None:
    """Hold the files of a folder against their digests, as :func:`mmeval.data.store_digests.changed` does.

    Args:
        folder: where the files are.
        expected: SHA-256 by name.
        there: names of the files that would be read.
        what: is being checked, for the progress bar.
        mend: what to do, for the end of the message.

    Raises:
        DataError: a file lacks, doesn't belong, or is not as it was written.
    """
    for name in sorted(expected.keys() ^ there):
        why = "it is not there" if name in expected else f"it does not belong to what was prepared in {folder}"
        raise DataError(f"{folder / name} is damaged ({why}); {mend}.")
    for name in changed(folder, expected, what):
        raise DataError(f"{folder / name} is damaged (its content is not what was written); {mend}.")

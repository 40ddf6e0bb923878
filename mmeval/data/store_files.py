"""The formats of ``store.json`` and ``pictures.json``, and the check of the files that they list."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from mmeval.data.checksums import changed_files
from mmeval.errors import DataError
from mmeval.integrity import SEAL, DamageError, read_sealed

SCHEMA_VERSION: Literal[3] = 3
OLDER_SCHEMAS = (1, 2)
"""Earlier versions, which had no seal."""
INFO, EXAMPLES, IMAGES, REJECTED = "store.json", "examples", "images", "rejected.parquet"
IMAGES_INFO = "pictures.json"
"""The file beside the images with their number, their digests and the rejected images."""

Digest = Annotated[str, StringConstraints(pattern="^[0-9a-f]{64}$")]
Count = Annotated[int, Field(ge=0)]


class _Facts(BaseModel):
    # Unknown fields are allowed: the seal protects them, and newer code may read them.
    model_config = ConfigDict(frozen=True, strict=True, use_attribute_docstrings=True)


class _Task(_Facts):
    name: str
    classes: list[str]
    multilabel: bool = False


class StoreFacts(_Facts):
    """The content of ``store.json``."""

    schema_: Literal[3] = Field(alias="schema")
    """The version of this format."""
    name: str
    """The name of the data set, with its variant."""
    fingerprint: Digest
    """SHA-256 over images, rows and tasks."""
    released: bool
    """Whether the data agrees with its card; False if accepted with ``--allow-mismatch``."""
    identity: dict[str, str]
    """The source's ``identity``."""
    tasks: list[_Task]
    """The tasks, each with its classes in index order."""
    languages: list[str]
    """ISO 639 codes that occur, sorted."""
    splits: dict[str, Count]
    """Examples by split."""
    images: Count
    """Number of different images."""
    rejected: Count
    """Rows and images that were rejected."""
    repaired: Count
    """Number of damaged images that were repaired."""
    cut: Count
    """Number of texts that were cut because they are too long."""
    unknown: dict[str, dict[str, Count]]
    """Rows by task and label that is not a class of the task."""
    left_out: dict[str, dict[str, Count]]
    """Rows by task and label whose class the variant leaves out."""
    attributes: dict[str, list[str]]
    """Values of each attribute, an input beside image and text."""
    pictures: str
    """The folder of images, relative to the Store's folder."""
    pictures_digest: Digest
    """The ``digest`` in ``pictures.json`` of that folder."""
    files: dict[str, Digest]
    """SHA-256 of the other files of the Store's folder, by name."""
    spanning: dict[str, Count] = {}
    """Number of clusters with examples in several splits, by the splits: ``test+train``."""
    differences: list[str] = []
    """Differences between the data and its card."""


class ImageFacts(_Facts):
    """The content of ``pictures.json``."""

    count: Count
    """Number of images."""
    digest: Digest
    """SHA-256 over all images in their order."""
    shards: dict[str, Digest]
    """SHA-256 of each file, by its name."""
    rejected: dict[str, str]
    """Reason for rejecting an image, by key."""
    repaired: dict[str, str]
    """Description of a repaired defect, by key."""


F = TypeVar("F", bound=_Facts)


def read_facts(path: Path, kind: type[F], remedy: str) -> dict[str, Any]:
    """Read ``store.json`` or ``pictures.json``, and check its seal and its format.

    Raises:
        DataError: the file is damaged; ``remedy`` ends the message.
        FileNotFoundError: there is no such file.
    """
    try:
        facts = read_sealed(path)
        kind.model_validate(facts)
    except FileNotFoundError:
        raise
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise DataError(f"{path} is damaged ({where}: {first['msg']}); {remedy}.") from None
    except (DamageError, OSError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise DataError(f"{path} is damaged ({reason}); {remedy}.") from None
    return facts


def schema_of(folder: Path) -> object:
    """Return the schema version of the Store in ``folder``; None if ``store.json`` is damaged.

    Raises:
        FileNotFoundError: the folder holds no Store.
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
    """Return the schema version of a Store without a seal, as versions 1 and 2 wrote it."""
    try:
        facts = json.loads((folder / INFO).read_bytes())
    except (ValueError, RecursionError, OSError):
        return None
    if not isinstance(facts, dict) or SEAL in facts:
        return None
    schema = facts.get("schema")
    return schema if schema in OLDER_SCHEMAS else None


def how_to_rebuild(*folders: Path) -> str:
    """Return the remedy for damaged folders, as the end of a sentence."""
    return f"type `rm -r {shlex.join(map(str, folders))}` and run again: the data is then prepared anew"


def require_intact(folder: Path, expected: Mapping[str, str], existing: set[str], label: str, remedy: str) -> None:
    """Compare the files of a folder with their digests, as :func:`mmeval.data.checksums.changed_files` does.

    Args:
        folder: the folder of the files.
        expected: SHA-256 by file name.
        existing: names of the files that would be read.
        label: the name of the files on the progress bar.
        remedy: the end of the error message.

    Raises:
        DataError: a file is missing, does not belong there, or has changed.
    """
    for name in sorted(expected.keys() ^ existing):
        reason = "it is missing" if name in expected else f"it does not belong to the data prepared in {folder}"
        raise DataError(f"{folder / name} is damaged ({reason}); {remedy}.")
    for name in changed_files(folder, expected, label):
        raise DataError(f"{folder / name} is damaged (its content has changed since it was written); {remedy}.")

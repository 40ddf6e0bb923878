"""Detection of changed files: JSON with a digest of its own content, and file digests computed once per process."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from mmeval.files import file_digest

SEAL = "seal"
"""The field of a sealed JSON object that holds the SHA-256 of all its other fields."""
SETTLED_NS = 2_000_000_000
"""Nanoseconds after a change in which the file system's clock might not show another change."""


class DamageError(ValueError):
    """A file was changed after it was written; the message is a few words."""


class Stamp(NamedTuple):
    """A file's identity, size and times from the file system; every write changes at least ``changed``."""

    device: int
    inode: int
    size: int
    modified: int
    """Time of the last change of the content, in ns."""
    changed: int
    """Time of the last change of content or inode, in ns; programs can't set it."""

    @classmethod
    def of(cls, path: Path) -> Stamp:
        """Return the current stamp of a file."""
        stat = path.stat()
        return cls(stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)

    @property
    def settled(self) -> bool:
        """Return whether the last change is so old that a later one gets another timestamp."""
        return time.time_ns() - max(self.modified, self.changed) > SETTLED_NS


_digests: dict[Stamp, str] = {}


def content_digest(path: Path, advance: Callable[[int], None] = lambda _: None) -> str:
    """Return the SHA-256 of a file's content; a process reads a file again only if its stamp has changed.

    Args:
        path: the file.
        advance: called with the number of bytes done, for a progress bar.

    Raises:
        OSError: the file can't be read.
    """
    stamp = Stamp.of(path)
    if (known := _digests.get(stamp)) is not None:
        advance(stamp.size)
        return known
    digest = file_digest(path, advance=advance)
    if stamp.settled:
        _digests[stamp] = digest
    return digest


def sealed(facts: Mapping[str, Any]) -> str:
    """Return a JSON object with its seal as text, in ASCII: UTF-8 can't encode the lone surrogates of JSON."""
    return json.dumps(with_seal(facts), indent=1)


def read_sealed(path: Path) -> dict[str, Any]:
    """Read a JSON object that :func:`sealed` has written; return it without its seal.

    Raises:
        DamageError: the content was changed.
        OSError: the file can't be read.
    """
    try:
        facts = json.loads(path.read_bytes().decode("utf-8"))
    except UnicodeDecodeError:
        raise DamageError("it is not UTF-8") from None
    except (ValueError, RecursionError):
        raise DamageError("it is not JSON") from None
    if not isinstance(facts, dict):
        raise DamageError("it is not a JSON object")
    if SEAL not in facts:
        raise DamageError(f"it lacks the field {SEAL}")
    if not seal_holds(facts):
        raise DamageError(f"its content does not match its {SEAL}")
    return _unsealed(facts)


def with_seal(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return the object with its seal, which replaces an existing seal."""
    return {**facts, SEAL: _digest(_unsealed(facts))}


def seal_holds(facts: Mapping[str, Any]) -> bool:
    """Return whether an object matches its seal; indentation and the order of fields don't matter."""
    return bool(facts.get(SEAL) == _digest(_unsealed(facts)))


def _unsealed(facts: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in facts.items() if name != SEAL}


def _digest(facts: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode("ascii")).hexdigest()

"""Files that vouch for their content: sealed JSON, and digests that a process takes once."""

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
"""A file that changed this short a time ago could change again within one tick of its file system's clock."""


class DamageError(ValueError):
    """A file is not as it was written; the message is a few words."""


class Stamp(NamedTuple):
    """What a file system says of a file; a write that goes through it changes at least ``changed``."""

    device: int
    inode: int
    size: int
    modified: int
    """Last change of the content, in ns."""
    changed: int
    """Last change of content or inode, in ns; nobody can set it back."""

    @classmethod
    def of(cls, path: Path) -> Stamp:
        """The stamp of a file as it is now."""
        found = path.stat()
        return cls(found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)

    @property
    def settled(self) -> bool:
        """Whether the last change is old enough that another one would show."""
        return time.time_ns() - max(self.modified, self.changed) > SETTLED_NS


_digests: dict[Stamp, str] = {}


def content_digest(path: Path, advance: Callable[[int], None] = lambda _: None) -> str:
    """SHA-256 of a file's content; a process does not read a file twice whose stamp is the same.

    ``advance`` is told the bytes that are done. Raises ``OSError`` if the file can't be read.
    """
    stamp = Stamp.of(path)
    if (known := _digests.get(stamp)) is not None:
        advance(stamp.size)
        return known
    found = file_digest(path, advance=advance)
    if stamp.settled:
        _digests[stamp] = found
    return found


def sealed(facts: Mapping[str, Any]) -> str:
    """A JSON object as text (ASCII: JSON may hold lone surrogates, UTF-8 can't), with a digest of its content."""
    return json.dumps(with_seal(facts), indent=1)


def read_sealed(path: Path) -> dict[str, Any]:
    """The object that :func:`sealed` wrote to ``path``, without its seal.

    Raises:
        DamageError: it is not what was written.
        OSError: it can't be read.
    """
    try:
        facts = json.loads(path.read_bytes().decode("utf-8"))
    except UnicodeDecodeError:
        raise DamageError("it is not UTF-8") from None
    except (ValueError, RecursionError):
        raise DamageError("it is not JSON") from None
    if not isinstance(facts, dict):
        raise DamageError("it holds no JSON object")
    if SEAL not in facts:
        raise DamageError(f"it lacks the field {SEAL}")
    if not seal_holds(facts):
        raise DamageError(f"its content is not that of its {SEAL}")
    return _unsealed(facts)


def with_seal(facts: Mapping[str, Any]) -> dict[str, Any]:
    """The object with its seal, which takes the place of one that it had."""
    return {**facts, SEAL: _digest(_unsealed(facts))}


def seal_holds(facts: Mapping[str, Any]) -> bool:
    """Whether an object that was read is what was sealed; its indentation and the order of its fields don't matter."""
    return bool(facts.get(SEAL) == _digest(_unsealed(facts)))


def _unsealed(facts: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in facts.items() if name != SEAL}


def _digest(facts: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode("ascii")).hexdigest()

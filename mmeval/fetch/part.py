"""What has come of a file so far, on disk."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.filesize import decimal

from mmeval.errors import DataError
from mmeval.files import disk_full, write_text


@dataclass(frozen=True)
class Origin:
    """Where content comes from, and what tells it from other content at the same address."""

    url: str = ""
    etag: str = ""
    """As the server gives it, quotes and all; empty where it gives none."""
    total: int | None = None
    """Bytes of the whole content, where the server says."""


class Part:
    """``NAME.part``, the first bytes of a file, and ``NAME.part.json``, its origin; they outlive a killed process."""

    def __init__(self, target: Path) -> None:
        self.path = target.with_name(f"{target.name}.part")
        self._wrong = target.with_name(f"{target.name}.wrong")
        self._record = target.with_name(f"{target.name}.part.json")

    @property
    def size(self) -> int:
        """Bytes that have come."""
        return self.path.stat().st_size if self.path.exists() else 0

    @property
    def origin(self) -> Origin:
        """Where they came from; an empty origin where nobody knows."""
        try:
            return Origin(**json.loads(self._record.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return Origin()

    def continues_as(self, origin: Origin, *, trusted: bool) -> bool:
        """Whether content of ``origin`` may be appended; ``trusted`` where a digest will judge the whole."""
        was = self.origin
        if None not in (was.total, origin.total) and was.total != origin.total:
            return False
        if was.url == origin.url and (was.etag or origin.etag):
            return was.etag == origin.etag and (trusted or not was.etag.startswith("W/"))
        return trusted

    @contextlib.contextmanager
    def append(self, origin: Origin) -> Iterator[Callable[[bytes], None]]:
        """Yield a function that appends bytes of ``origin``.

        Raises:
            DataError: they can't be written; what came before is kept.
        """
        with self._writable():
            file = self.path.open("ab", buffering=0)
        with file:
            with self._writable():
                write_text(self._record, json.dumps(asdict(origin)) + "\n")

            def write(block: bytes) -> None:
                left = memoryview(block)
                with self._writable():
                    while left:
                        left = left[file.write(left) :]

            yield write

    def clear(self) -> None:
        """Forget what has come."""
        self.path.unlink(missing_ok=True)
        self._record.unlink(missing_ok=True)

    def set_aside(self) -> Path:
        """Keep what has come as ``NAME.wrong``, in the place of an earlier one; returns that path."""
        self.path.replace(self._wrong)
        self._record.unlink(missing_ok=True)
        return self._wrong

    def finish(self, target: Path) -> None:
        """Give the file its name, once it is on the disk for good."""
        with self.path.open("rb+") as file:
            os.fsync(file.fileno())
        self.path.replace(target)
        self._record.unlink(missing_ok=True)

    @contextlib.contextmanager
    def _writable(self) -> Iterator[None]:
        # Errors of the network are OSErrors as well, so those of the disk are told apart where they arise.
        try:
            yield
        except OSError as error:
            raise unwritable(self.path, error, self.size) from error


def unwritable(path: Path, error: OSError, kept: int = 0) -> DataError:
    """What is said where a file can't be written, of which ``kept`` bytes are there."""
    if disk_full(error):
        return DataError(
            f"The disk is full: {path} could not be written further; make room and call again, "
            f"it goes on after the {decimal(kept)} that are there."
        )
    return DataError(f"{path} can't be written: {error.strerror}; choose another folder or change its permissions.")

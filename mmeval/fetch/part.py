"""The partial file of a download."""

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
class RemoteVersion:
    """An address and the validators (ETag, size) of its content."""

    url: str = ""
    etag: str = ""
    """The server's ETag, with its quotes; empty if there is none."""
    total: int | None = None
    """Size of the whole content in bytes; None if the server does not tell."""


class Part:
    """A partial download: ``NAME.part``, the first bytes of a file, and ``NAME.part.json``, their remote version.

    Both survive a killed process.
    """

    def __init__(self, target: Path) -> None:
        self.path = target.with_name(f"{target.name}.part")
        self._wrong = target.with_name(f"{target.name}.wrong")
        self._record = target.with_name(f"{target.name}.part.json")

    @property
    def size(self) -> int:
        """Number of bytes received so far."""
        return self.path.stat().st_size if self.path.exists() else 0

    @property
    def version(self) -> RemoteVersion:
        """The remote version that the bytes came from; an empty one if unknown."""
        try:
            return RemoteVersion(**json.loads(self._record.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return RemoteVersion()

    def can_continue(self, version: RemoteVersion, *, trusted: bool) -> bool:
        """Return whether bytes of ``version`` may be appended; ``trusted`` if a digest will check the whole file."""
        before = self.version
        if None not in (before.total, version.total) and before.total != version.total:
            return False
        if before.url == version.url and (before.etag or version.etag):
            return before.etag == version.etag and (trusted or not before.etag.startswith("W/"))
        return trusted

    @contextlib.contextmanager
    def append(self, version: RemoteVersion) -> Iterator[Callable[[bytes], None]]:
        """Yield a function that appends bytes of ``version``.

        Raises:
            DataError: the bytes can't be written; earlier ones are kept.
        """
        with self._writable():
            file = self.path.open("ab", buffering=0)
        with file:
            with self._writable():
                write_text(self._record, json.dumps(asdict(version)) + "\n")

            def write(block: bytes) -> None:
                left = memoryview(block)
                with self._writable():
                    while left:
                        left = left[file.write(left) :]

            yield write

    def clear(self) -> None:
        """Delete the partial file."""
        self.path.unlink(missing_ok=True)
        self._record.unlink(missing_ok=True)

    def reject(self) -> Path:
        """Rename the partial file to ``NAME.wrong``, replacing an earlier one, and return that path."""
        self.path.replace(self._wrong)
        self._record.unlink(missing_ok=True)
        return self._wrong

    def finish(self, target: Path) -> None:
        """Flush the file to disk and give it its final name."""
        with self.path.open("rb+") as file:
            os.fsync(file.fileno())
        self.path.replace(target)
        self._record.unlink(missing_ok=True)

    @contextlib.contextmanager
    def _writable(self) -> Iterator[None]:
        # Network errors are OSErrors too, so disk errors are converted where they arise.
        try:
            yield
        except OSError as error:
            raise unwritable(self.path, error, self.size) from error


def unwritable(path: Path, error: OSError, kept: int = 0) -> DataError:
    """Return the error for a file that can't be written; ``kept`` is the number of bytes already received."""
    if disk_full(error):
        return DataError(
            f"The disk is full: {path} could not be written further; make room and call again, "
            f"the download continues after the {decimal(kept)} received so far."
        )
    return DataError(f"{path} can't be written: {error.strerror}; choose another folder or change its permissions.")

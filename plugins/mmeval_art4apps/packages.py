"""The two packages of art4apps in a folder: as ``.deb`` files, or unpacked."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from mmeval import DataError, digest
from mmeval.data.reading import read_image
from mmeval_art4apps.deb import LARGEST_FILE, MOST_BYTES, MOST_FILES, read_deb
from mmeval_art4apps.names import GET

MOST_FOLDERS = 1000
"""Sub-folders that are searched for an unpacked package."""


@dataclass(frozen=True)
class Package:
    """A Debian package that art4apps is read from."""

    name: str
    root: str
    """The folder or file that shows that the package is unpacked in a folder."""
    wanted: re.Pattern[str]
    """Pattern of the paths of the files that are read."""


PYSIOGAME = Package(
    name="pysiogame",
    root="usr/share/games/pysiogame",
    wanted=re.compile(
        r"usr/share/games/pysiogame/"
        r"(i18n/custom/(a4a_words|a4a_py/[A-Za-z_@]+)\.py|res/images/art4apps/[^/]+/[^/]+\.jpg)"
    ),
)
GCOMPRIS = Package(
    name="gcompris-qt-data",
    root="usr/share/gcompris-qt/rcc/lang.rcc",
    wanted=re.compile(r"usr/share/gcompris-qt/rcc/lang\.rcc"),
)


@dataclass(frozen=True)
class PackageFiles:
    """A package's files, on disk or in a ``.deb``."""

    package: Package
    path: Path
    """The ``.deb`` file, or the folder that the package was unpacked in."""

    @property
    def is_deb(self) -> bool:
        """Whether the files are in a ``.deb``."""
        return self.path.is_file()

    @property
    def state(self) -> str:
        """Names, sizes and modification times of the ``.deb`` or of the files, as one digest."""
        paths = [("", self.path)] if self.is_deb else list(self._on_disk())
        stats = [(name or path.name, path.stat()) for name, path in paths]
        return digest(*(f"{name} {stat.st_size} {stat.st_mtime_ns}" for name, stat in stats))

    @cached_property
    def content(self) -> dict[str, bytes]:
        """The content of each wanted file by its path in the package, such as ``usr/share/.../lang.rcc``.

        Raises:
            DataError: a file is damaged or too large.
        """
        if self.is_deb:
            files = read_deb(self.path, self.package.wanted)
        else:
            files, total = {}, 0
            for name, path in self._on_disk():
                try:
                    files[name] = read_image(path, LARGEST_FILE)
                except (DataError, FileNotFoundError):
                    raise DataError(f"{path} can't be read, or has more than {LARGEST_FILE:,} bytes.") from None
                total += len(files[name])
                if len(files) > MOST_FILES or total > MOST_BYTES:
                    raise DataError(f"{self.path} has more words and images than the package {self.package.name}.")
        return dict(sorted(files.items()))

    def where(self, name: str) -> str:
        """Return the place of a file of the package, for messages."""
        return f"{self.path.name}: {name}" if self.is_deb else str(self.path / name)

    def _on_disk(self) -> Iterator[tuple[str, Path]]:
        """Yield path in the package and path on disk of each wanted file, sorted; links are ignored."""
        root = self.path / self.package.root
        if root.is_file():
            yield self.package.root, root
            return
        for folder, folders, names in os.walk(root):
            folders.sort()
            for name in sorted(names):
                path = Path(folder, name)
                relative = path.relative_to(self.path).as_posix()
                if self.package.wanted.fullmatch(relative) and not path.is_symlink():
                    yield relative, path


def find_packages(folder: Path) -> tuple[PackageFiles, PackageFiles]:
    """Return the files of pysiogame and of gcompris-qt-data in a folder.

    Each may be a ``.deb`` file in the folder, be unpacked in the folder, or be unpacked in one of its sub-folders.

    Raises:
        DataError: the folder is missing, lacks a package, or has one of them twice.
    """
    if folder.is_file():
        raise DataError(f"{folder} is a file; give the folder that holds both packages. {GET}")
    if not folder.is_dir():
        raise DataError(f"There is no folder {folder}. {GET}")
    pysiogame, gcompris = _find(folder, PYSIOGAME), _find(folder, GCOMPRIS)
    missing = [
        f"{package.name} (its .deb file, or the folder usr that it unpacks to)"
        for package, files in ((PYSIOGAME, pysiogame), (GCOMPRIS, gcompris))
        if files is None
    ]
    if pysiogame is None or gcompris is None:
        raise DataError(f"{folder} lacks {' and '.join(missing)}. {GET}")
    return pysiogame, gcompris


def _find(folder: Path, package: Package) -> PackageFiles | None:
    """Return the files of a package; None if the folder lacks it."""
    found = sorted(path for path in folder.glob(f"{package.name}*.deb") if path.is_file())
    if not found and (folder / package.root).exists():
        found = [folder]
    if not found:
        folders = sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
        found = [path for path in folders[:MOST_FOLDERS] if (path / package.root).exists()]
    if len(found) > 1:
        names = " and ".join(path.name for path in found)
        raise DataError(f"{folder} holds {package.name} {len(found)} times ({names}); leave only one of them there.")
    return PackageFiles(package, found[0]) if found else None

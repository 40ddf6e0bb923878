"""The unpacked files of Amazon Berkeley Objects."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator
from functools import partial
from pathlib import Path, PurePosixPath

from mmeval import DataError, digest
from mmeval.data.reading import Row, open_file, read_delimited, read_image

LISTINGS = tuple(f"listings/metadata/listings_{number:x}.json.gz" for number in range(16))
IMAGES_TABLE = "images/metadata/images.csv.gz"
IMAGE_FOLDERS = ("images/small", "images/original")
"""Folders of images, the first that exists is used: at most 256 pixels, or the original size."""
GET = (
    "Get abo-listings.tar and abo-images-small.tar from https://amazon-berkeley-objects.s3.amazonaws.com/index.html, "
    "unpack both in one folder (`tar -xf abo-listings.tar -C FOLDER; tar -xf abo-images-small.tar -C FOLDER`), so that "
    "it holds the folders listings and images, then type `mmeval data prepare abo --source FOLDER`."
)


class AboFiles:
    """Listings, table of images and images in a folder."""

    def __init__(self, folder: Path) -> None:
        """Check which files the folder has.

        Args:
            folder: where the archives were unpacked.

        Raises:
            DataError: a file or folder is missing.
        """
        if not folder.is_dir():
            raise DataError(f"There is no folder {folder}. {GET}")
        listings = [name for name in LISTINGS if (folder / name).is_file()]
        absent = [name for name in LISTINGS if name not in listings]
        missing = [*([] if listings else absent), *([] if (folder / IMAGES_TABLE).is_file() else [IMAGES_TABLE])]
        images_folder = next((name for name in IMAGE_FOLDERS if (folder / name).is_dir()), None)
        if images_folder is None:
            missing.append(f"the folder {IMAGE_FOLDERS[0]}")
            images_folder = IMAGE_FOLDERS[0]
        if missing:
            raise DataError(f"{folder} lacks {_first(missing)}. {GET}")
        self.lacks = f"{folder} lacks {_first(absent)}" if absent else ""
        """Which listings of the release are missing, as a message; empty if none."""
        self.listings = [folder / name for name in listings]
        self.images_table = folder / IMAGES_TABLE
        self.images_folder = folder / images_folder

    @property
    def identity(self) -> dict[str, str]:
        """Sizes and modification times of the tables, and for each folder of images its time and number of files."""
        stats = [path.stat() for path in (*self.listings, self.images_table)]
        tables = [f"{stat.st_size} {stat.st_mtime_ns}" for stat in stats]
        tables += [path.name for path in self.listings] if self.lacks else []
        with os.scandir(self.images_folder) as entries:
            folders = sorted((entry.name, entry.path, entry.stat().st_mtime_ns) for entry in entries if entry.is_dir())
        counts = [f"{name} {changed} {len(os.listdir(path))}" for name, path, changed in folders]  # noqa: PTH208 - names alone
        return {"tables": digest(*tables), "pictures": digest(self.images_folder.name, *counts)}

    def readers(self, wanted: Collection[str]) -> Iterator[tuple[str, Callable[[], bytes]]]:
        """Yield the key of each wanted image, in the order of ``wanted``, and a function that reads it."""
        paths: dict[str, str] = {}
        columns = ("image_id", "path")
        with open_file(self.images_table) as stream:
            for row in read_delimited(stream, self.images_table.name, required=columns):
                if not isinstance(row, Row) or (key := row.cells["image_id"]) not in wanted:
                    continue
                if paths.setdefault(key, row.cells["path"]) != row.cells["path"]:
                    raise DataError(
                        f"{self.images_table.name}, row {row.number}: {key} has another path already; fetch it again."
                    )
        for key in wanted:
            yield key, partial(self._read, paths.get(key))

    def _read(self, path: str | None) -> bytes:
        if path is None:
            raise DataError(f"{self.images_table.name} has no row of it")
        parts = PurePosixPath(path)
        if parts.is_absolute() or ".." in parts.parts or "\\" in path or ":" in path:
            raise DataError(f'its path "{path}" leaves the folder of images')
        return read_image(self.images_folder / parts)


def _first(names: list[str]) -> str:
    return names[0] + (f" and {len(names) - 1} more" if len(names) > 1 else "")

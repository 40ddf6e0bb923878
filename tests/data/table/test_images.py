"""Images in cells: paths, addresses whose files are on disk, bytes, or none."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest

from mmeval.data.table.images import ImageFinder, ImageReference
from mmeval.errors import DataError

DATA = b"\xff\xd8 an image"
SHA = f"sha256:{hashlib.sha256(DATA).hexdigest()}"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Images below ``root``, and one beside it that a Hub table must not reach."""
    root = tmp_path / "root"
    for name in ("a.jpg", "photos/b.jpg", "cdn.example/p/c d.jpg", "p/e.jpg", "train/a.jpg", "../secret.jpg"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(DATA)
    return root


def find(folder: Path, cell: Any, of_table: str = "", **options: bool) -> ImageReference | None:
    return ImageFinder(folder, **options).find(cell, str(folder / of_table))


def refusal(folder: Path, cell: Any, **options: bool) -> str:
    with pytest.raises(DataError) as error:
        find(folder, cell, **options)
    return str(error.value)


@pytest.mark.parametrize(
    ("cell", "key"),
    [
        ("photos/b.jpg", "photos/b.jpg"),
        (" ./photos/../photos/b.jpg ", "photos/b.jpg"),
        ("photos\\b.jpg", "photos/b.jpg"),
        (["photos/b.jpg", "a.jpg"], "photos/b.jpg"),
        ({"path": "a.jpg", "bytes": None}, "a.jpg"),
        ({"path": "anything.jpg", "bytes": DATA}, SHA),
        ([{"path": None, "bytes": DATA}], SHA),
        (DATA, SHA),
        ("https://cdn.example/p/c%20d.jpg?width=200", "cdn.example/p/c d.jpg"),
        ("http://elsewhere.example/p/e.jpg", "p/e.jpg"),
        ("s3://bucket/some/where/a.jpg", "a.jpg"),
    ],
)
def test_an_image_is_found_and_has_one_key(cell: object, key: str, folder: Path) -> None:
    """Two keys for one image could put it into two splits."""
    image = find(folder, cell)
    assert image is not None
    assert (image.key, image.read()) == (key, DATA)


@pytest.mark.parametrize("cell", [None, "", "  ", b"", [], [None], float("nan"), {"bytes": None, "path": None}])
def test_empty_cells_have_no_image(cell: object, folder: Path) -> None:
    assert find(folder, cell) is None


def test_relative_paths_start_at_the_table_and_then_at_the_folder(folder: Path) -> None:
    """As an ImageFolder's metadata.csv and tables in data/ need."""
    assert find(folder, "a.jpg", "train") == find(folder, "train/a.jpg")
    assert find(folder, "photos/b.jpg", "train") == find(folder, "photos/b.jpg")
    assert find(folder, "a.jpg", "train", beside=False) == find(folder, "a.jpg")
    absolute = find(folder, str(folder.parent / "secret.jpg"))
    assert absolute is not None
    assert absolute.key == str(folder.parent / "secret.jpg")


@pytest.mark.parametrize(
    ("cell", "reason"),
    [
        ("no.jpg", "the image's file no.jpg is missing"),
        ("photos", "the image's file photos is missing"),
        ("x" * 5000, f"the image's file {'x' * 5000} is missing"),
        ("a\0.jpg", "the image's file a\0.jpg is missing"),
        (7, "the image is a int, neither a path nor bytes"),
        ({"url": "a.jpg"}, "the image is an object with url, not bytes and path"),
        (
            "https://cdn.example/q/no.jpg",
            "the image https://cdn.example/q/no.jpg is not on disk (as no.jpg in the folder of images)",
        ),
        ("ftp://a/b.jpg", "the image's address ftp://a/b.jpg has an unknown scheme"),
        ("https://a/", "the image's address https://a/ names no file"),
        ("https://[a/b.jpg", "the image's address https://[a/b.jpg can't be read"),
        ("https://a/%2e%2e/secret.jpg", "the image's address https://a/%2e%2e/secret.jpg names no file"),
        ("https://../secret.jpg", "the image's address https://../secret.jpg names no file"),
    ],
)
def test_an_image_that_cannot_be_found_is_rejected_with_the_reason(cell: object, reason: str, folder: Path) -> None:
    assert refusal(folder, cell) == reason


@pytest.mark.parametrize("cell", ["../secret.jpg", "/etc/passwd", "photos\\..\\..\\secret.jpg", "a/../../secret.jpg"])
def test_a_table_of_a_stranger_reads_no_files_outside_its_folder(cell: str, folder: Path) -> None:
    """A Hub data set could otherwise put private files of its users into reports."""
    assert refusal(folder, cell, inside=True) == f"the image's path {cell} leaves the folder of the table"
    with pytest.raises(DataError, match=r"~/a\.jpg is missing"):
        find(folder, "~/a.jpg", inside=True)


def test_a_second_search_notices_changes(folder: Path) -> None:
    """A changed image must be prepared anew."""
    finder = ImageFinder(folder)
    for cell in ("a.jpg", "photos/b.jpg"):
        finder.find(cell, str(folder))
    again = ImageFinder(folder)
    again.search(finder.names())
    assert list(again.stamps(times=True)) == list(finder.stamps(times=True))
    (folder / "a.jpg").unlink()
    again.search(finder.names())
    assert next(again.stamps(times=True)) == "a.jpg"

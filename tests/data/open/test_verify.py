"""`verify`: whether prepared data is whole, and as its card says."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mmeval import DatasetSpec
from mmeval.data.open.verify import Finding, Verdict, verify
from mmeval.data.prepare.prepare import prepare
from mmeval.data.request import Dataset
from mmeval.data.store import Store
from mmeval.data.store_files import IMAGES_INFO, INFO, REJECTED
from mmeval.integrity import read_sealed, sealed

GOOD, WARNING, BAD = Verdict.GOOD, Verdict.WARNING, Verdict.BAD


@pytest.fixture
def opened(colours: Callable[..., DatasetSpec], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Dataset:
    """The small data set in a cache of its own, to be damaged."""
    monkeypatch.setenv("MMEVAL_HOME", str(tmp_path / "home"))
    spec = colours()
    return Dataset(spec, prepare(spec), "cc0-1.0")


def change(data: Dataset, **facts: Any) -> Dataset:
    """The same Store with other facts about it."""
    path = data.store.folder / INFO
    path.write_text(sealed(read_sealed(path) | facts), encoding="utf-8")
    return data._replace(store=Store(data.store.folder))


def claim(data: Dataset, old: str, new: str) -> None:
    """Let the card say something else."""
    card = data.spec.card
    assert card is not None
    text = card.read_text(encoding="utf-8")
    assert old in text
    card.write_text(text.replace(old, new), encoding="utf-8")


def test_good_data_is_good(opened: Dataset) -> None:
    assert verify(opened) == [
        Finding(GOOD, "whole: 3 files are as they were written"),
        Finding(GOOD, f"fingerprint {opened.store.fingerprint}, computed again from rows and images"),
        Finding(GOOD, "as its card says (colours.md): languages, tasks, splits, images"),
    ]


@pytest.mark.parametrize("table", ["examples", "images"])
@pytest.mark.parametrize("place", [0.0, 0.01, 0.5, 0.99])
def test_one_byte_is_enough(table: str, place: float, opened: Dataset) -> None:
    """A failing disk, a copy that broke off: an image or a label of somebody's results would be another."""
    (shard,) = opened.store.shards(table)
    data = bytearray(shard.read_bytes())
    data[int(place * len(data))] ^= 1
    shard.write_bytes(data)
    pair = f"{opened.store.folder} and {opened.store.images_folder}"
    again = opened._replace(store=Store(opened.store.folder))
    assert verify(again) == [Finding(BAD, f"damaged: {shard}; remove {pair} and prepare it again")]


@pytest.mark.parametrize("name", ["images-00000.arrow", "examples-00000.arrow", IMAGES_INFO])
@pytest.mark.parametrize("how", ["gone", "cut", "empty"])
def test_a_file_that_is_lost_is_named(name: str, how: str, opened: Dataset) -> None:
    path = (opened.store.folder if name.startswith("examples") else opened.store.images_folder) / name
    if how == "gone":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[: 0 if how == "empty" else -5])
    (found,) = verify(opened._replace(store=Store(opened.store.folder)))
    assert found.verdict is BAD
    assert found.text.startswith(f"damaged: {path}; remove ")


@pytest.mark.parametrize(
    ("facts", "says"),
    [
        ({"fingerprint": "0" * 64}, "fingerprint {}, which is {}"),
        ({"splits": {"train": 72, "test": 60}}, "splits "),
        ({"languages": ["de", "en"]}, "languages ['de', 'en'], which is ['de', 'en', 'ja']"),
        ({"tasks": [{"name": "colour", "classes": ["red"]}]}, "fingerprint "),
    ],
)
def test_what_store_json_says_is_held_against_the_data(facts: dict[str, Any], says: str, opened: Dataset) -> None:
    """D3: a false fingerprint passed, though runs are compared by it. Whoever edits the file can seal it, too."""
    data = change(opened, **facts)
    (found,) = verify(data)
    says = says.format("0" * 64, opened.store.fingerprint)
    assert found.verdict is BAD
    assert found.text.startswith(f"false: {data.store.folder / INFO} says {says}")
    assert found.text.endswith(f"; remove {data.store.folder} and prepare it again")


def test_a_file_that_does_not_belong_is_named(opened: Dataset) -> None:
    """It would be read as a part of the data."""
    (shard,) = opened.store.shards("images")
    added = shard.with_name("images-00001.arrow")
    shutil.copy(shard, added)
    (found,) = verify(opened)
    assert (found.verdict, found.text.split(";")[0]) == (BAD, f"damaged: {added}")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("test: 42", "test: 41", "examples in test: the card says 41, the data has 42"),
        ("red, green", "green, red", "classes of colour are in another order than the card's"),
        ("[de, en, ja]", "[de, en]", "languages: the card says ['de', 'en'], the data has ['de', 'en', 'ja']"),
        ("images: 44", 'images: 44\n  fingerprint: "0"', "fingerprint: the card says 0, the data has {}"),
    ],
)
def test_each_difference_from_the_card_is_bad_if_verified_and_else_warns(
    old: str, new: str, said: str, opened: Dataset
) -> None:
    claim(opened, old, new)
    text = said.format(opened.store.fingerprint)
    assert verify(opened)[2:] == [Finding(BAD, text)]
    claim(opened, "  images: 44", "  unverified: [splits, tasks, languages, fingerprint]\n  images: 44")
    assert verify(opened)[2:] == [
        Finding(WARNING, f"{text} (unverified there)"),
        Finding(GOOD, "as its card says (colours.md): images"),
        Finding(
            WARNING,
            "unverified in its card (colours.md), so not vouched for: languages, tasks, splits"
            + (", fingerprint" if "fingerprint" in new else ""),
        ),
    ]


def test_of_data_that_is_allow_mismatch_differences_warn(opened: Dataset) -> None:
    claim(opened, "images: 44", "images: 45")
    other = prepare(opened.spec, released=False)
    text = "images: the card says 45, the data has 44 (taken as not the release)"
    assert verify(opened._replace(store=other))[2] == Finding(WARNING, text)


def test_without_a_card_it_says_how_to_get_one(opened: Dataset) -> None:
    bare = opened._replace(spec=opened.spec.model_copy(update={"card": None}))
    assert verify(bare)[2] == Finding(WARNING, "it has no data card to be held against; `mmeval data card` writes one")


def test_what_was_rejected_and_what_stands_in_two_splits_is_said(opened: Dataset) -> None:
    data = change(opened, rejected=1200, spanning={"test+train": 12345})
    claim(data, "images: 44", "images: 44\n  rejected: 1200")
    assert verify(data)[-2:] == [
        Finding(WARNING, f"1,200 rows were rejected: {data.store.folder / REJECTED}"),
        Finding(WARNING, "12,345 clusters (rows that belong together) have examples in test and train"),
    ]

"""`verify`: intact files, correct facts, and agreement with the data card."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mmeval import DatasetSpec
from mmeval.data.open.verify import Status, Verification, verify
from mmeval.data.prepare.prepare import prepare
from mmeval.data.request import Dataset
from mmeval.data.store import Store
from mmeval.data.store_files import IMAGES_INFO, INFO, REJECTED
from mmeval.integrity import read_sealed, sealed

GOOD, WARNING, BAD = Status.GOOD, Status.WARNING, Status.BAD


@pytest.fixture
def opened(colours: Callable[..., DatasetSpec], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Dataset:
    """The small data set in a separate home, to be damaged."""
    monkeypatch.setenv("MMEVAL_HOME", str(tmp_path / "home"))
    spec = colours()
    return Dataset(spec, prepare(spec), "cc0-1.0")


def change(data: Dataset, **facts: Any) -> Dataset:
    """Change facts in the Store's store.json."""
    path = data.store.folder / INFO
    path.write_text(sealed(read_sealed(path) | facts), encoding="utf-8")
    return replace(data, store=Store(data.store.folder))


def change_card(data: Dataset, old: str, new: str) -> None:
    """Change the text of the card."""
    card = data.spec.card
    assert card is not None
    text = card.read_text(encoding="utf-8")
    assert old in text
    card.write_text(text.replace(old, new), encoding="utf-8")


def test_intact_data_passes(opened: Dataset) -> None:
    assert verify(opened) == [
        Verification(GOOD, "intact: the content of 3 files is unchanged"),
        Verification(GOOD, f"fingerprint {opened.store.fingerprint}, recomputed from rows and images"),
        Verification(GOOD, "agrees with its card (colours.md): languages, tasks, splits, images"),
    ]


@pytest.mark.parametrize("table", ["examples", "images"])
@pytest.mark.parametrize("place", [0.0, 0.01, 0.5, 0.99])
def test_a_changed_byte_is_found(table: str, place: float, opened: Dataset) -> None:
    """As after a disk error or an incomplete copy."""
    (shard,) = opened.store.shards(table)
    data = bytearray(shard.read_bytes())
    data[int(place * len(data))] ^= 1
    shard.write_bytes(data)
    pair = f"{opened.store.folder} and {opened.store.images_folder}"
    again = replace(opened, store=Store(opened.store.folder))
    assert verify(again) == [Verification(BAD, f"damaged: {shard}; remove {pair} and prepare the data again")]


@pytest.mark.parametrize("name", ["images-00000.arrow", "examples-00000.arrow", IMAGES_INFO])
@pytest.mark.parametrize("how", ["gone", "cut", "empty"])
def test_missing_and_truncated_files_are_found(name: str, how: str, opened: Dataset) -> None:
    path = (opened.store.folder if name.startswith("examples") else opened.store.images_folder) / name
    if how == "gone":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[: 0 if how == "empty" else -5])
    (result,) = verify(replace(opened, store=Store(opened.store.folder)))
    assert result.status is BAD
    assert result.text.startswith(f"damaged: {path}; remove ")


@pytest.mark.parametrize(
    ("facts", "says"),
    [
        ({"fingerprint": "0" * 64}, "fingerprint {} instead of {}"),
        ({"splits": {"train": 72, "test": 60}}, "splits "),
        ({"languages": ["de", "en"]}, "languages ['de', 'en'] instead of ['de', 'en', 'ja']"),
        ({"tasks": [{"name": "colour", "classes": ["red"]}]}, "fingerprint "),
    ],
)
def test_wrong_facts_in_store_json_are_found(facts: dict[str, Any], says: str, opened: Dataset) -> None:
    """Runs are compared by the fingerprint, and a user who edits the file can also renew its seal."""
    data = change(opened, **facts)
    (result,) = verify(data)
    says = says.format("0" * 64, opened.store.fingerprint)
    assert result.status is BAD
    assert result.text.startswith(f"wrong: {data.store.folder / INFO} states {says}")
    assert result.text.endswith(f"; remove {data.store.folder} and prepare the data again")


def test_an_additional_shard_is_found(opened: Dataset) -> None:
    """It would be read as part of the data."""
    (shard,) = opened.store.shards("images")
    added = shard.with_name("images-00001.arrow")
    shutil.copy(shard, added)
    (result,) = verify(opened)
    assert (result.status, result.text.split(";")[0]) == (BAD, f"damaged: {added}")


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        ("test: 42", "test: 41", "examples in test: the card says 41, the data has 42"),
        ("red, green", "green, red", "classes of colour are in another order than the card's"),
        ("[de, en, ja]", "[de, en]", "languages: the card says ['de', 'en'], the data has ['de', 'en', 'ja']"),
        ("images: 44", 'images: 44\n  fingerprint: "0"', "fingerprint: the card says 0, the data has {}"),
    ],
)
def test_differences_from_the_card_are_bad_if_verified_and_warnings_if_not(
    old: str, new: str, line: str, opened: Dataset
) -> None:
    change_card(opened, old, new)
    text = line.format(opened.store.fingerprint)
    assert verify(opened)[2:] == [Verification(BAD, text)]
    change_card(opened, "  images: 44", "  unverified: [splits, tasks, languages, fingerprint]\n  images: 44")
    assert verify(opened)[2:] == [
        Verification(WARNING, f"{text} (unverified in the card)"),
        Verification(GOOD, "agrees with its card (colours.md): images"),
        Verification(
            WARNING,
            "unverified in its card (colours.md), so not confirmed: languages, tasks, splits"
            + (", fingerprint" if "fingerprint" in new else ""),
        ),
    ]


def test_accepted_mismatches_are_warnings(opened: Dataset) -> None:
    change_card(opened, "images: 44", "images: 45")
    other = prepare(opened.spec, released=False)
    text = "images: the card says 45, the data has 44 (accepted with --allow-mismatch)"
    assert verify(replace(opened, store=other))[2] == Verification(WARNING, text)


def test_a_missing_card_is_a_warning_with_advice(opened: Dataset) -> None:
    bare = replace(opened, spec=opened.spec.model_copy(update={"card": None}))
    assert verify(bare)[2] == Verification(
        WARNING, "there is no data card to compare with; `mmeval data card` writes one"
    )


def test_rejected_rows_and_clusters_in_two_splits_are_warnings(opened: Dataset) -> None:
    data = change(opened, rejected=1200, spanning={"test+train": 12345})
    change_card(data, "images: 44", "images: 44\n  rejected: 1200")
    assert verify(data)[-2:] == [
        Verification(WARNING, f"1,200 rows were rejected: {data.store.folder / REJECTED}"),
        Verification(WARNING, "12,345 clusters (rows that belong together) have examples in test and train"),
    ]

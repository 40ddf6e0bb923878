"""The Store: refused when it isn't one, and readable by others' tools."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mmeval import DatasetSpec, Task
from mmeval.data.images import decode
from mmeval.data.store import EXAMPLES, IMAGES, INFO, SCHEMA_VERSION, Store
from mmeval.errors import DataError


def complaint(folder: Path) -> str:
    with pytest.raises(DataError) as caught:
        Store(folder).examples  # noqa: B018 - the table is opened when first asked for
    return str(caught.value)


@pytest.mark.parametrize("info", [None, "", "{"])
def test_a_folder_without_data_is_refused(tmp_path: Path, info: str | None) -> None:
    if info is not None:
        (tmp_path / INFO).write_text(info)
    assert complaint(tmp_path) == f"{tmp_path} holds no prepared data set; remove the folder and run again."
    missing = tmp_path / "missing"
    assert complaint(missing) == f"{missing} holds no prepared data set; remove the folder and run again."


def test_a_store_of_another_version_is_refused(tmp_path: Path) -> None:
    """Else columns that have changed their meaning are scored."""
    (tmp_path / INFO).write_text(json.dumps({"schema": SCHEMA_VERSION + 1}))
    said = f"{tmp_path} was prepared by another version of mmeval; remove the folder and run again."
    assert complaint(tmp_path) == said


def test_a_store_that_lost_its_shards_is_refused(tmp_path: Path) -> None:
    (tmp_path / INFO).write_text(json.dumps({"schema": SCHEMA_VERSION, "pictures": "."}))
    assert complaint(tmp_path) == f"{tmp_path} lacks its examples shards; remove the folder and run again."


def test_a_store_that_lost_its_pictures_is_refused(tmp_path: Path) -> None:
    """They stand in a folder of their own, which somebody may have taken for rubbish."""
    (tmp_path / INFO).write_text(json.dumps({"schema": SCHEMA_VERSION, "pictures": "../gone"}))
    gone = tmp_path.parent / "gone"
    assert complaint(tmp_path) == f"{tmp_path} lacks its pictures ({gone}); remove both and prepare it again."


def test_a_store_gives_back_what_the_source_gave(store: Store, colours: Callable[..., DatasetSpec]) -> None:
    """Rows, labels, slices and pictures; each picture once, though three texts share it."""
    source = colours().source()
    pictures = dict(source.images())
    assert store.name == "colours"
    assert store.tasks == (Task("colour", ("red", "green", "blue")), Task("shade", ("dark", "light")))
    assert store.languages == ("de", "en", "ja")
    assert store.split_sizes == {"train": 72, "validation": 18, "test": 42}
    assert (store.image_count, len(store.images), store.slices) == (44, 44, ("number",))
    for row, example in zip(store.examples.to_pylist(), source.examples(), strict=True):
        assert {name: row[name] for name in ("id", "text", "language", "split", "cluster")} == {
            name: getattr(example, name) for name in ("id", "text", "language", "split", "cluster")
        }
        for task in store.tasks:
            label = example.labels.get(task.name)
            assert row[f"label:{task.name}"] == (-1 if label is None else task.classes.index(label))
        assert row["slice:number"] == example.slices["number"]
        if example.image is None:
            assert row["image"] == -1
        else:
            assert store.image(row["image"]) == pictures[example.image]


def test_pictures_are_named_by_their_content(store: Store) -> None:
    digests = store.images["digest"].to_pylist()
    assert digests == [hashlib.sha256(store.image(row)).hexdigest() for row in range(store.image_count)]


def test_datasets_opens_the_shards_as_they_are(store: Store) -> None:
    """What is prepared here can be looked at, filtered and published with Hugging Face's own library."""
    import datasets

    (shard,) = store.shards(EXAMPLES)
    examples = datasets.Dataset.from_file(str(shard))
    assert examples.column_names == store.examples.column_names
    assert examples[:] == store.examples.to_pydict()
    assert len(examples.filter(lambda row: row["language"] == "ja", keep_in_memory=True)) == 44
    (shard,) = store.shards(IMAGES)
    pictures = datasets.Dataset.from_file(str(shard))
    assert len(pictures) == 44
    assert np.array_equal(decode(pictures[3]["bytes"]), decode(store.image(3)))

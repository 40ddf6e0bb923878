"""A Store as a ``datasets.DatasetDict``."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import ClassVar

import datasets
import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from mmeval import DatasetSpec, Example, Task
from mmeval.data.hugging_face import PROTOCOL, StoreFileSystem, as_dataset_dict
from mmeval.data.images import decode
from mmeval.data.prepare.prepare import prepare
from mmeval.data.request import Dataset, DatasetRequest
from mmeval.data.store import Store
from mmeval.errors import UserError


@pytest.fixture
def fresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder of this test's own."""
    monkeypatch.setenv("MMEVAL_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def store(colours: Callable[..., DatasetSpec], fresh: Path) -> Store:
    return prepare(colours())


@pytest.fixture
def splits(store: Store) -> datasets.DatasetDict:
    return as_dataset_dict(store)


def test_every_split_holds_the_rows_of_the_store_in_order(store: Store, splits: datasets.DatasetDict) -> None:
    assert {name: len(split) for name, split in splits.items()} == store.split_sizes
    table = store.examples.to_pydict()
    for name, split in splits.items():
        rows = [row for row, of in enumerate(table["split"]) if of == name]
        for column in ("id", "text", "language", "cluster"):
            assert split[column][:] == [table[column][row] for row in rows]


def test_labels_are_class_labels_under_the_task_name(store: Store, splits: datasets.DatasetDict) -> None:
    for task in store.tasks:
        feature = splits["train"].features[task.name]
        assert isinstance(feature, datasets.ClassLabel)
        assert feature.names == list(task.classes)
    labels = {row["id"]: row[store.tasks[0].name] for row in splits["train"].remove_columns("image")}
    examples = zip(
        store.examples["id"].to_pylist(), store.examples[f"label:{store.tasks[0].name}"].to_pylist(), strict=True
    )
    assert labels.items() <= dict(examples).items()


def test_images_are_decoded_when_a_row_is_read(store: Store, splits: datasets.DatasetDict) -> None:
    assert splits["train"].features["image"] == datasets.Image()
    table = {row["id"]: row["image"] for row in store.examples.select(["id", "image"]).to_pylist()}
    for row in splits["train"].select(range(5)):
        expected = store.image(table[row["id"]]) if table[row["id"]] >= 0 else None
        if expected is None:
            assert row["image"] is None
        else:
            assert np.array_equal(np.asarray(row["image"].convert("RGB")), np.asarray(decode(expected)))


def test_nothing_is_copied(store: Store, splits: datasets.DatasetDict) -> None:
    """The Store's own file is memory-mapped, and a row holds the address of its image instead of its bytes."""
    files = {str(shard) for shard in store.shards("examples")}
    assert {file["filename"] for split in splits.values() for file in split.cache_files} == files
    images = splits["train"].data["image"].combine_chunks()
    assert set(images.field("bytes").to_pylist()) == {None}
    assert [path.name for path in store.folder.glob("cache-*")] == []


# datasets forks; Python 3.12 and later warn of that in a process with threads.
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_processes_and_formats_read_the_images(splits: datasets.DatasetDict) -> None:
    few = splits["train"].select(range(8)).filter(lambda row: row["image"] is not None, keep_in_memory=True)
    wide = few.filter(lambda row: row["image"].width > 0, num_proc=2, keep_in_memory=True)
    assert len(wide) == len(few) > 0
    assert few.with_format("numpy")[0]["image"].ndim == 3


class NoImages:
    """A source whose task has the name of a column, with a label missing and no image."""

    identity: ClassVar = {"no": "images"}
    tasks = (Task("text", ("a", "b")), Task("image", ("c", "d")))
    size = 0

    def images(self) -> Iterator[tuple[str, bytes]]:
        yield from ()

    def examples(self) -> Iterator[Example]:
        for number, split in enumerate(("train", "validation", "test")):
            labels = {"text": "ab"[number % 2]} | ({"image": "c"} if number else {})
            yield Example(str(number), f"t{number}", "en", split, labels)


def test_missing_images_and_labels_are_none_and_minus_one(fresh: Path) -> None:
    """A task that has the name of another column keeps its prefix."""
    splits = as_dataset_dict(prepare(DatasetSpec(name="plain", summary="-", card=None, source=NoImages)))
    row = splits["train"][0]
    assert (row["image"], row["text"], row["label:text"], row["label:image"]) == (None, "t0", 0, -1)


def test_an_address_that_names_no_image_is_not_found() -> None:
    with pytest.raises(FileNotFoundError):
        StoreFileSystem().cat_file(f"{PROTOCOL}://somewhere/no-number")
    with pytest.raises(OSError, match="can only be read"):
        StoreFileSystem().open(f"{PROTOCOL}://somewhere/1", "wb")


def test_images_can_be_embedded_for_publishing(store: Store, splits: datasets.DatasetDict) -> None:
    """As ``push_to_hub`` does before it uploads."""
    from datasets.table import embed_table_storage

    few = splits["train"].select(range(4)).with_format("arrow")
    table: pa.Table = embed_table_storage(few[:])
    encoded = [cell["bytes"] for cell in table["image"].to_pylist() if cell]
    assert encoded
    assert all(Image.open(io.BytesIO(data)).size for data in encoded)


def test_a_request_is_made_of_text_paths_and_mappings() -> None:
    request = DatasetRequest.of(Path("a.toml"), source="x", images="y", columns={"text": ["t", "u"], "label": "l"})
    assert request == DatasetRequest("a.toml", source=Path("x"), images=Path("y"), columns="text=t+u,label=l")
    assert DatasetRequest.of(request) is request
    with pytest.raises(UserError, match=r"^language: a DatasetRequest has these options itself; give them there\.$"):
        DatasetRequest.of(request, language="de")


def test_a_dataset_describes_itself(colours: Callable[..., DatasetSpec], store: Store) -> None:
    dataset = Dataset(colours(), store, "cc0-1.0")
    assert repr(dataset).startswith("Dataset('colours', ")
    assert (dataset.name, dataset.tasks, dataset.languages) == (store.name, store.tasks, store.languages)
    assert dataset.to_datasets().keys() == store.split_sizes.keys()

"""The Store: damaged ones are refused, and other tools can read it."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mmeval import DatasetSpec, Task, integrity
from mmeval.data import checksums
from mmeval.data.images import decode
from mmeval.data.prepare.prepare import prepare
from mmeval.data.store import Store
from mmeval.data.store_files import EXAMPLES, IMAGES, IMAGES_INFO, INFO, REJECTED, SCHEMA_VERSION, StoreFacts
from mmeval.errors import DataError
from mmeval.files import file_digest
from mmeval.integrity import read_sealed, sealed


@pytest.fixture
def own(colours: Callable[..., DatasetSpec], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """The small data set in a separate home, to be damaged."""
    monkeypatch.setenv("MMEVAL_HOME", str(tmp_path / "home"))
    return prepare(colours())


def complaint(folder: Path) -> str:
    with pytest.raises(DataError) as caught:
        Store(folder).examples  # noqa: B018 - the property opens the table
    return str(caught.value)


def test_a_folder_without_data_is_refused(tmp_path: Path) -> None:
    assert complaint(tmp_path) == f"{tmp_path} holds no prepared data set; remove the folder and run again."
    missing = tmp_path / "missing"
    assert complaint(missing) == f"{missing} holds no prepared data set; remove the folder and run again."


def test_a_store_of_another_version_is_refused(tmp_path: Path) -> None:
    """Its columns may have another meaning."""
    message = f"{tmp_path} was prepared by another version of mmeval; remove the folder and run again."
    (tmp_path / INFO).write_text(sealed({"schema": SCHEMA_VERSION + 1}))
    assert complaint(tmp_path) == message
    (tmp_path / INFO).write_text(json.dumps({"schema": 2, "name": "written before there were seals"}))
    assert complaint(tmp_path) == message


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "it is not JSON"),
        (b"{", "it is not JSON"),
        (b"[" * 100_000, "it is not JSON"),
        (b"\xff\xfe{", "it is not UTF-8"),
        (b"[]", "it is not a JSON object"),
        (b"{}", "it lacks the field seal"),
        (b'{"schema": 3}', "it lacks the field seal"),
        (b'{"schema": 3, "seal": 7}', "its content does not match its seal"),
    ],
)
def test_an_invalid_store_json_raises_data_error(content: bytes, reason: str, own: Store) -> None:
    """`{}` and invalid UTF-8 were tracebacks."""
    path = own.folder / INFO
    path.write_bytes(content)
    mend = f"type `rm -r {own.folder}` and run again: the data is then prepared anew"
    assert complaint(own.folder) == f"{path} is damaged ({reason}); {mend}."


@pytest.mark.parametrize("field", sorted(set(StoreFacts.model_json_schema()["properties"])))
@pytest.mark.parametrize("value", [None, 7, -1, "text", [], {}, [[]], {"a": None}, True])
def test_a_field_of_another_type_raises_data_error(field: str, value: object, own: Store) -> None:
    """Also with a valid seal."""
    facts = read_sealed(own.folder / INFO)
    (own.folder / INFO).write_text(sealed(facts | {field: value}))
    message = refusal(own.folder)
    assert str(own.folder) in message if message else type(value) is type(facts[field])


@pytest.mark.parametrize("content", [b"[]", b"{}", b"", b"\xff", b'{"count": "7"}'])
def test_an_invalid_pictures_json_raises_data_error(content: bytes, own: Store) -> None:
    """`[]` was a traceback."""
    path = own.images_folder / IMAGES_INFO
    path.write_bytes(content)
    with pytest.raises(DataError) as caught:
        Store(own.folder).images  # noqa: B018 - the property opens the table
    mend = f"type `rm -r {own.folder} {own.images_folder}` and run again: the data is then prepared anew"
    assert str(caught.value).startswith(f"{path} is damaged (")
    assert str(caught.value).endswith(f"); {mend}.")


def test_a_store_without_its_shards_is_refused(own: Store) -> None:
    (shard,) = own.shards(EXAMPLES)
    shard.unlink()
    assert complaint(own.folder).startswith(f"{shard} is damaged (it is missing); type `rm -r ")


def test_a_store_without_its_images_is_refused(own: Store) -> None:
    """Their folder is separate, so a user may have deleted it."""
    shutil.rmtree(own.images_folder)
    message = f"{own.folder} lacks its images ({own.images_folder}); remove both and prepare the data again."
    assert complaint(own.folder) == message


def test_images_of_other_data_are_refused(own: Store) -> None:
    """Intact, but the wrong ones."""
    facts = read_sealed(own.images_folder / IMAGES_INFO)
    (own.images_folder / IMAGES_INFO).write_text(sealed(facts | {"digest": "0" * 64}))
    with pytest.raises(DataError, match="holds the images of other data than"):
        Store(own.folder).images  # noqa: B018 - the property opens the table


def everything(folder: Path) -> object:
    """Return all content of a Store."""
    store = Store(folder)
    return (
        *(store.name, store.fingerprint, store.tasks, store.languages, store.split_sizes, store.image_count),
        *(store.rejected_count, store.cut_count, store.unknown_labels, store.released, store.attributes),
        *({**store.info, "pictures": str(store.images_folder)}, store.examples.to_pydict(), store.images.to_pydict()),
    )


def refusal(folder: Path, expected: object = None) -> str:
    """Return the message of a refused Store; empty if it opens, and then its content must be as expected."""
    try:
        contents = everything(folder)
    except DataError as error:
        return str(error)
    assert expected is None or contents == expected
    return ""


@settings(max_examples=600, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
@pytest.mark.parametrize("name", [INFO, IMAGES_INFO, REJECTED, "examples-00000.arrow", "images-00000.arrow"])
def test_a_flipped_bit_is_refused_or_changes_nothing(name: str, place: float, bit: int, own: Store) -> None:
    """Damage must neither change a number silently nor raise another error."""
    path = (own.images_folder if name in (IMAGES_INFO, "images-00000.arrow") else own.folder) / name
    whole = path.read_bytes()
    before = everything(own.folder)
    damaged = bytearray(whole)
    damaged[int(place * len(whole))] ^= 1 << bit
    path.write_bytes(damaged)
    message = refusal(own.folder, before)
    path.write_bytes(whole)
    assert (str(path) in message and "`rm -r " in message) if message else name in (INFO, IMAGES_INFO)


def test_a_process_reads_a_file_once_unless_it_changes(
    own: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = []
    monkeypatch.setattr(integrity, "file_digest", lambda path, **_: read.append(path) or file_digest(path))
    shard = tmp_path / "file"
    shard.write_bytes(b"a")
    assert {integrity.content_digest(shard) for _ in range(3)} == {file_digest(shard)}
    assert len(read) == 3, "it changed just now, and could change again within a tick of the clock"
    monkeypatch.setattr(integrity, "SETTLED_NS", -1)
    integrity.content_digest(shard)
    integrity.content_digest(shard)
    assert len(read) == 4
    shard.write_bytes(b"bc")
    assert integrity.content_digest(shard) == file_digest(shard)
    assert len(read) == 5


def test_large_shards_are_read_again_only_if_their_stamps_change(
    own: Store, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A report that shows four images must not read 10 GB."""
    monkeypatch.setattr(integrity, "SETTLED_NS", -1)
    monkeypatch.setattr(checksums, "LARGE", 1)
    integrity._digests.clear()
    read = []
    monkeypatch.setattr(integrity, "file_digest", lambda path, **_: read.append(path.name) or file_digest(path))
    for _ in range(2):
        Store(own.folder).images  # noqa: B018 - the property opens the table
        integrity._digests.clear()  # as another process begins
    assert read == ["images-00000.arrow"]
    assert "Checking the images of colours: " in capsys.readouterr().err
    (shard,) = own.shards(IMAGES)
    data = bytearray(shard.read_bytes())
    data[len(data) // 2] ^= 1
    old = shard.stat()
    shard.write_bytes(data)
    os.utime(shard, ns=(old.st_atime_ns, old.st_mtime_ns))
    with pytest.raises(DataError, match="its content has changed since it was written"):
        Store(own.folder).images  # noqa: B018 - the property opens the table


def test_a_store_holds_the_content_of_the_source(store: Store, colours: Callable[..., DatasetSpec]) -> None:
    """Rows, labels, slices and images; an image that three texts share is stored once."""
    source = colours().source()
    images = dict(source.images())
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
            assert store.image(row["image"]) == images[example.image]


def test_the_digest_of_an_image_is_the_hash_of_its_content(store: Store) -> None:
    digests = store.images["digest"].to_pylist()
    assert digests == [hashlib.sha256(store.image(row)).hexdigest() for row in range(store.image_count)]


def test_datasets_can_open_the_shards(store: Store) -> None:
    import datasets

    (shard,) = store.shards(EXAMPLES)
    examples = datasets.Dataset.from_file(str(shard))
    assert examples.column_names == store.examples.column_names
    assert examples[:] == store.examples.to_pydict()
    assert len(examples.filter(lambda row: row["language"] == "ja", keep_in_memory=True)) == 44
    (shard,) = store.shards(IMAGES)
    images = datasets.Dataset.from_file(str(shard))
    assert len(images) == 44
    assert np.array_equal(decode(images[3]["bytes"]), decode(store.image(3)))

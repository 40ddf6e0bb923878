"""Fashion-Gen: each trap of its two HDF5 files, and each file that a user may take for one."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from mmeval import DatasetSpec
from mmeval.data.card import read_card
from mmeval.data.images import decode
from mmeval.data.prepare.prepare import prepare
from mmeval.data.store import Store
from mmeval.datasets import fashiongen as module
from mmeval.datasets.fashiongen.files import FashionGenFile
from mmeval.datasets.fashiongen.source import FILES, _split
from mmeval.errors import DataError
from tests.archives import fashiongen
from tests.archives.fashiongen import TRAIN, VALIDATION


def the_spec() -> DatasetSpec:
    found: list[DatasetSpec] = []
    module.register_datasets(found.append)
    return found[0]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Written once: no test that takes it changes it."""
    return fashiongen.write(tmp_path_factory.mktemp("fashiongen"))


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A folder that a test may corrupt."""
    return fashiongen.write(tmp_path / "small", products=8, validation_products=6)


def prepared(folder: Path, variant: str = "") -> Store:
    spec = the_spec().model_copy(update={"variant": variant})
    return prepare(spec, spec.archive.open(folder, variant), released=False)


def rows(store: Store) -> list[dict[str, Any]]:
    return store.examples.to_pylist()


def complaint(folder: Path) -> str:
    with pytest.raises(DataError) as caught:
        list(module.FashionGenSource(folder, "").examples())
    return str(caught.value)


def changed(folder: Path, key: str, data: Any, name: str = TRAIN, **how: Any) -> None:
    with h5py.File(folder / name, "a") as file:
        del file[key]
        if data is not None:
            file.create_dataset(key, data=data, **how)


def column(folder: Path, key: str, name: str = TRAIN) -> NDArray[Any]:
    with h5py.File(folder / name) as file:
        return file[key][()]


def test_the_validation_file_is_the_test_split(files: Path) -> None:
    """All published results test on it; a model must not be chosen on it."""
    store = prepared(files)
    assert (store.split_sizes, store.image_count, store.rejected_count) == (
        {"train": 208, "validation": 15, "test": 46},
        269,
        0,
    )
    assert all((row["split"] == "test") == row["id"].startswith("validation/") for row in rows(store))


def test_all_views_of_a_product_stand_in_one_split(files: Path) -> None:
    """Their texts are the same."""
    found = [row for row in rows(prepared(files)) if row["split"] != "test"]
    splits: dict[str, set[str]] = {}
    for row in found:
        splits.setdefault(row["metadata:productID"], set()).add(row["split"])
    assert len(splits) == 90
    assert all(len(one) == 1 for one in splits.values())
    assert {row["cluster"] for row in found} == {f"product {number}" for number in splits}


@given(st.lists(st.integers(0, 2**31), unique=True, min_size=2))
def test_the_split_hangs_on_the_product_alone(products: list[int]) -> None:
    """Another order, or a file that lacks a row, must not move a product."""
    there = [_split("train", str(number)) for number in products]
    back = [_split("train", str(number)) for number in products[::-1]]
    assert there == back[::-1]
    assert set(there) <= {"train", "validation"}


def test_one_product_in_twenty_is_held_out() -> None:
    splits = [_split("train", str(number)) for number in range(20000)]
    assert 0.045 < splits.count("validation") / 20000 < 0.055


def test_products_in_both_files_are_told_apart(files: Path) -> None:
    """Whether test products were trained on is not known of the real files."""
    store = prepared(files)
    assert store.info["spanning"] == {"test+train": 2}
    test = [row for row in rows(store) if row["split"] == "test"]
    seen = {row["metadata:productID"] for row in test if row["slice:product_seen_in_train"] == "yes"}
    assert seen == {"1000", "1001"}
    assert {row["slice:pose"] for row in test} == {f"id_gridfs_{view}" for view in range(1, 5)}
    single = [row for row in rows(store) if row["metadata:productID"] == "1004"]
    assert [row["slice:product_seen_in_train"] for row in single] == ["no"]


@pytest.mark.parametrize("vlen", [False, True])
def test_texts_keep_their_letters(tmp_path: Path, vlen: bool) -> None:
    """Read as UTF-8 without errors, as most code does, "appliqué" loses its é."""
    folder = fashiongen.write(tmp_path / "files", products=8, validation_products=4, vlen=vlen)
    first = next(iter(rows(prepared(folder))))
    assert first["text"].startswith("Slim tops in ")
    assert "Appliqué no. 1000" in first["text"]
    shown = {
        name: first[f"metadata:{name}"] for name in ("brand", "composition", "pose", "msrpUSD", "productID", "season")
    }
    assert shown == {
        "brand": "Maison Étienne 0",
        "composition": "100% cotton.",
        "pose": "id_gridfs_1",
        "msrpUSD": "1095.5",
        "productID": "1000",
        "season": "SS2014",
    }
    texts = {row["metadata:productID"]: row["text"] for row in rows(prepared(folder))}
    assert texts["1007"] == ""


@settings(max_examples=25, deadline=None)  # each writes a file
@given(
    text=st.text(
        st.characters(min_codepoint=33, max_codepoint=255, exclude_categories=["Cc", "Zs"]), min_size=1, max_size=30
    )
)
def test_every_latin1_text_comes_back(tmp_path_factory: pytest.TempPathFactory, files: Path, text: str) -> None:
    """The published files have no other encoding."""
    path = tmp_path_factory.mktemp("one") / "one.h5"
    with h5py.File(path, "w") as file, h5py.File(files / TRAIN) as known:
        for key in known:
            if key != "input_image":
                file[key] = known[key][:1]
        file["input_image"] = np.zeros((1, 256, 256, 3), np.uint8)
        del file["input_brand"]
        file["input_brand"] = np.array([[text.encode("latin-1")]], "S400")
    assert list(FashionGenFile(path).columns(("input_brand",))) == [(text,)]


def test_images_come_as_they_are(files: Path) -> None:
    """Each with its row, from several threads, without a change of size."""
    source = module.FashionGenSource(files, "")
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(lambda given: (given[0], given[1]()), source.images()))
    expected = np.concatenate([column(files, "input_image"), column(files, "input_image", VALIDATION)])
    assert [key for key, _ in made] == [row["id"] for row in rows(prepared(files))]
    assert source.size == len(made) == len(expected)
    assert all(np.array_equal(pixels, one) for (_, pixels), one in zip(made, expected, strict=True))
    store = prepared(files)
    assert decode(store.image(20)).shape == (256, 256, 3)
    assert np.abs(decode(store.image(20)).astype(int) - expected[20]).mean() < 3


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[int, int, int]]]:
    """Thread, first row and last row of each reading of images."""
    made: list[tuple[int, int, int]] = []
    read = FashionGenFile.pixels

    def counted(self: FashionGenFile, start: int, stop: int) -> NDArray[np.uint8]:
        made.append((threading.get_ident(), start, stop))
        return read(self, start, stop)

    monkeypatch.setattr(FashionGenFile, "pixels", counted)
    return iter([made])


def test_images_are_read_once_and_only_when_asked_for(files: Path, reads: Iterator[list[Any]]) -> None:
    """A preparation that goes on must not read 13 GB again; a chunk must not be unpacked once per image."""
    made = next(reads)
    given = list(FashionGenFile(files / TRAIN).images())
    assert made == []
    for _, read in given[:64]:
        read()
    assert [span[1:] for span in made] == [(0, 64)]
    first = given[0][1]
    assert first.func.__self__._pixels is None  # a block that was taken whole is let go
    first()
    assert [span[1:] for span in made] == [(0, 64), (0, 64)]


@pytest.mark.parametrize(("chunk", "block"), [(1, 64), (8, 64), (48, 48), (100, 100)])
def test_blocks_are_whole_chunks(tmp_path: Path, chunk: int, block: int, reads: Iterator[list[Any]]) -> None:
    made = next(reads)
    folder = fashiongen.write(tmp_path / "files", products=44, validation_products=4, chunk=chunk)
    for _, read in FashionGenFile(folder / TRAIN).images():
        read()
    assert made[0][1:] == (0, block)


def test_a_damaged_chunk_costs_its_own_images_alone(small: Path) -> None:
    """The others of its block are whole."""
    with h5py.File(small / TRAIN) as file:
        chunk = file["input_image"].id.get_chunk_info(1)
        rows_of_it = range(chunk.chunk_offset[0], chunk.chunk_offset[0] + file["input_image"].chunks[0])
    with (small / TRAIN).open("r+b") as raw:
        raw.seek(chunk.byte_offset)
        raw.write(b"\0" * chunk.size)
    store = prepared(small)
    import pyarrow.parquet as pq

    found = pq.read_table(store.folder / "rejected.parquet").to_pylist()
    assert [one["id"] for one in found] == [f"train/{row}" for row in rows_of_it if row < 20]
    assert found[0]["where"] == f"{TRAIN}, row {rows_of_it[0]}"
    assert found[0]["reason"].startswith(f"train/{rows_of_it[0]}: {TRAIN} is damaged there (")


def test_labels_that_are_no_class_are_reported(files: Path) -> None:
    """Other code takes them for class 0."""
    store = prepared(files)
    assert store.unknown_labels == {"subcategory": {fashiongen.UNKNOWN: 2}}
    without = [row for row in rows(store) if row["label:subcategory"] == -1]
    assert len(without) == 2
    assert all(row["label:category"] >= 0 for row in without)


def test_labels_are_cleaned_as_the_card_says(files: Path) -> None:
    """They have tabs within and spaces behind."""
    store = prepared(files)
    names = {task.name: task.classes for task in store.tasks}
    assert {names["category"][row["label:category"]] for row in rows(store)} == {one[0] for one in fashiongen.LABELS}
    assert (len(names["category"]), len(names["subcategory"])) == (48, 121)
    assert names["gender"] == ("Men", "Women")
    assert names["season"] == ("FW2015", "FW2017", "SS2014", "SS2016")
    assert names["department"] == ("ACCESSORIES", "BAGS", "CLOTHING", "SHOES")


@pytest.mark.parametrize(
    ("variant", "without"),
    [("", set()), ("category45", {"MONKSTRAPS"}), ("category41", {"MONKSTRAPS", "GLOVES"})],
)
def test_a_set_of_labels_has_a_name_of_its_own(files: Path, variant: str, without: set[str]) -> None:
    """Macro-F1 over 41 classes must not stand beside one over 48."""
    store, full = prepared(files, variant), prepared(files)
    classes, all_classes = store.tasks[0].classes, full.tasks[0].classes
    assert len(classes) == int(variant.removeprefix("category") or 48)
    assert store.unknown_labels == full.unknown_labels
    for row, other in zip(rows(store), rows(full), strict=True):
        name = all_classes[other["label:category"]]
        assert row["label:category"] == (-1 if name in without else classes.index(name))
        assert row["label:subcategory"] == other["label:subcategory"]


def test_subcategories_can_be_taken_as_found(files: Path) -> None:
    """Kaleido-BERT counts one more than the known 121."""
    store = prepared(files, "subcategory-as-found")
    assert store.tasks[1].classes == tuple(sorted([*(one[1] for one in fashiongen.LABELS), fashiongen.UNKNOWN]))
    assert store.unknown_labels == {}
    assert store.tasks[0] == prepared(files).tasks[0]


def test_the_card_counts_every_category() -> None:
    """The counts and the sets of labels in the card fit each other."""
    full, forty_five, forty_one = (read_card(module.CARD, name) for name in ("", "category45", "category41"))
    train, test = (full.per_class["category"][split] for split in ("train+validation", "test"))
    assert set(train) == set(full.tasks["category"])
    assert sum(train.values()) == full.splits["train+validation"]
    assert set(full.tasks["category"]) - set(forty_five.tasks["category"]) == {
        name for name, n in test.items() if n == 0
    }
    assert set(full.tasks["category"]) - set(forty_one.tasks["category"]) == {
        name for name, n in test.items() if n < 10
    }


def test_a_label_in_no_form_of_the_data_is_told_from_an_empty_one(small: Path) -> None:
    """Empty cells are reported too, never taken for a class."""
    names = column(small, "input_category")
    names[0, 0], names[1, 0] = b"HOVERBOARDS", b""
    changed(small, "input_category", names)
    assert prepared(small).unknown_labels["category"] == {"": 1, "HOVERBOARDS": 1}


def test_a_folder_without_both_files_says_which(small: Path, tmp_path: Path) -> None:
    assert complaint(tmp_path / "none") == f"There is no folder {tmp_path / 'none'}."
    path = small / TRAIN
    assert complaint(path) == f"{path} is a file; give the folder that has {TRAIN} and {VALIDATION}."
    (small / VALIDATION).unlink()
    assert complaint(small) == f"{small} lacks {VALIDATION}; put both files of Fashion-Gen there."


def test_a_download_that_broke_off_says_so(small: Path) -> None:
    path = small / TRAIN
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size // 2)
    assert complaint(small) == f"{path} is cut short, as a download that broke off is; get it again."
    path.write_bytes(b"<html>Quota exceeded</html>")
    assert complaint(small) == f"{path} is no HDF5 file; get it again."


def test_missing_data_sets_are_named(small: Path) -> None:
    changed(small, "input_brand", None)
    changed(small, "input_pose", None)
    has = sorted(set(h5py.File(small / TRAIN)))
    assert complaint(small) == f"{TRAIN} lacks input_brand and input_pose; it has {', '.join(has)}."


@pytest.mark.parametrize(
    ("key", "data", "said"),
    [
        ("input_image", np.zeros((20, 64, 64, 3), np.uint8), "uint8 [rows, 256, 256, 3], it is uint8 [20, 64, 64, 3]"),
        ("input_image", np.zeros((1, 256, 256, 3), "f4"), "uint8 [rows, 256, 256, 3], it is float32 [1, 256, 256, 3]"),
        ("input_brand", np.zeros((20, 1), "i4"), "texts [rows, 1], it is int32 [20, 1]"),
        ("input_brand", np.zeros((20, 2), "S4"), "texts [rows, 1], it is |S4 [20, 2]"),
        ("input_productID", np.zeros((20, 1), "f4"), "integers [rows, 1], it is float32 [20, 1]"),
        ("input_msrpUSD", np.zeros((20, 1), "S4"), "numbers [rows, 1], it is |S4 [20, 1]"),
    ],
)
def test_data_sets_of_another_kind_are_named(small: Path, key: str, data: NDArray[Any], said: str) -> None:
    changed(small, key, data)
    assert complaint(small) == f"{TRAIN}: {key} must be {said}."


def test_data_sets_of_another_length_are_named(small: Path) -> None:
    """Else each label would stand beside another image."""
    changed(small, "input_category", column(small, "input_category")[:-1])
    assert complaint(small) == f"{TRAIN}: input_category has 19 rows, input_image has 20; get the file again."


@pytest.mark.parametrize("kind", ["i2", "i4", "u8"])
def test_integers_and_texts_of_any_width_are_read(small: Path, kind: str) -> None:
    """The published widths are not known; and a column may come with one dimension, as index_2 does."""
    before = rows(prepared(small))
    changed(small, "input_productID", column(small, "input_productID").astype(kind)[:, 0])
    changed(small, "input_name", column(small, "input_name").astype("S999"), chunks=(3, 1), compression="gzip")
    assert rows(prepared(small)) == before


def test_texts_that_are_not_what_the_file_says(small: Path) -> None:
    values = np.array([[b"appliqu\xe9"]] * 20, "O")
    changed(small, "input_brand", values, dtype=h5py.string_dtype("utf-8"))
    assert complaint(small) == f"{TRAIN} says that its input_brand is UTF-8, which it is not; get it again."


def test_a_damaged_text_names_its_place(small: Path) -> None:
    with h5py.File(small / TRAIN) as file:
        chunk = file["input_brand"].id.get_chunk_info(0)
    with (small / TRAIN).open("r+b") as raw:
        raw.seek(chunk.byte_offset)
        raw.write(b"\0" * chunk.size)
    said = complaint(small)
    assert said.startswith(f"{TRAIN} can't be read after row 0 (input_brand: ")
    assert said.endswith("); it is damaged: get it again.")


def test_variants_share_the_images_and_other_files_do_not(small: Path) -> None:
    """293,018 images need not be prepared four times; those of another download must be."""
    plain = dict(module.FashionGenSource(small, "").identity)
    assert plain == module.FashionGenSource(small, "category41").identity
    changed(small, "input_brand", column(small, "input_name"))
    assert plain != module.FashionGenSource(small, "").identity


def test_the_published_numbers_are_held_to(files: Path) -> None:
    """A part of the data set is refused; what nobody has seen in the real files only warns."""
    spec = the_spec()
    with pytest.raises(DataError) as caught:
        prepare(spec, spec.archive.open(files, ""))
    assert str(caught.value) == (
        "fashiongen is not as its data card says (fashiongen.md): examples in test: the card says 32528, the data has "
        "46; examples in train+validation: the card says 260490, the data has 223; images: the card says 293018, the "
        "data has 269. --allow-mismatch takes it nevertheless, and says so wherever it is scored."
    )


@pytest.mark.parametrize("kind", ["external", "external of an image", "soft out", "soft", "storage", "virtual"])
def test_data_in_other_files_is_refused(kind: str, small: Path, tmp_path: Path) -> None:
    """D8: a "Fashion-Gen" file delivered the text of a file on the machine that read it."""
    secret = tmp_path / "secret.txt"
    secret.write_bytes(b"a private key" * 1000)
    other = tmp_path / "other.h5"
    count = len(column(small, "input_productID"))
    with h5py.File(other, "w") as file:
        file["x"] = np.array([[b"secret"]] * count)
    key = "input_image" if kind == "external of an image" else "input_name"
    with h5py.File(small / TRAIN, "a") as file:
        del file[key]
        if kind.startswith("external"):
            file[key] = h5py.ExternalLink(str(other), "/x")
        elif kind == "soft out":
            file["elsewhere"] = h5py.ExternalLink(str(other), "/")
            file[key] = h5py.SoftLink("/elsewhere/x")
        elif kind == "soft":
            file[key] = h5py.SoftLink("/input_brand")
        elif kind == "storage":
            file.create_dataset(key, (count, 1), "S13", external=[(str(secret), 0, 13 * count)])
        else:
            layout = h5py.VirtualLayout((count, 1), "S6")
            layout[:] = h5py.VirtualSource(str(other), "x", (count, 1))
            file.create_virtual_dataset(key, layout)
    said = complaint(small)
    if kind in ("storage", "virtual"):
        assert said == f"{TRAIN}: {key} keeps its data in other files, which are not read; get the file again."
    else:
        assert said == f"{TRAIN}: {key} is a link to data elsewhere, which is not read; get the file again."


@pytest.mark.parametrize(
    ("key", "shape", "dtype", "chunks", "said"),
    [
        ("input_name", None, "S1000000000", None, "declares texts of 1,000,000,000 bytes, more than 65,536"),
        ("input_name", None, "S60000", (90_000, 1), "declares chunks of 5,400,000,000 bytes, more than 536,870,912"),
        ("input_image", None, "u1", (8192, 256, 256, 3), "declares chunks of 1,610,612,736 bytes, more than"),
    ],
)
def test_declared_sizes_are_bounded_before_anything_is_read(
    key: str, shape: None, dtype: str, chunks: tuple[int, ...] | None, said: str, small: Path
) -> None:
    """D8: a text declared 1 GB wide took 4.8 GB. Not a byte of it need be in the file."""
    with h5py.File(small / TRAIN, "a") as file:
        shape = file[key].shape
        del file[key]
        most = (None, *shape[1:]) if chunks else None
        file.create_dataset(key, shape, dtype, chunks=chunks, maxshape=most)
    assert complaint(small).startswith(f"{TRAIN}: {key} {said}")


def test_more_rows_than_any_file_has_are_refused(small: Path) -> None:
    """Of chunks that were never written each reads as zeros: rows without end, in a file of kilobytes."""
    rows = 10**9
    with h5py.File(small / TRAIN, "a") as file:
        for key in list(file):
            shape, kind = file[key].shape, file[key].dtype
            del file[key]
            shape = (rows, *shape[1:])
            file.create_dataset(key, shape, kind, chunks=(1, *shape[1:]), maxshape=(None, *shape[1:]))
    assert complaint(small) == f"{TRAIN} declares 1,000,000,000 rows, more than 4,000,000; get it again."


def test_wide_texts_are_read_in_fewer_rows_at_once(small: Path, files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that memory is bounded whatever the width; the rows stay the same."""
    plain = list(module.FashionGenSource(small, "").examples())
    monkeypatch.setattr("mmeval.datasets.fashiongen.files.BYTES", 1200)
    assert list(module.FashionGenSource(small, "").examples()) == plain


def test_prices_keep_all_their_digits(files: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(files, tmp_path / "copy")
    with h5py.File(folder / FILES["train"], "r+") as file:
        prices = file["input_msrpUSD"][:]
        prices[:3, 0] = (19.99, 1234567.5, 120.0)
        file["input_msrpUSD"][:] = prices
    texts = [one.metadata["msrpUSD"] for one in module.FashionGenSource(folder, "").examples()]
    assert texts[:3] == ["19.99", "1234567.5", "120"]


def test_preparing_a_smaller_set_of_labels_says_which_rows_lose_theirs(
    files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MMEVAL_HOME", str(tmp_path))
    store = prepared(files, "category45")
    (lost,) = store.left_out_labels["category"].values()
    assert list(store.left_out_labels) == ["category"]
    assert lost == sum(row["label:category"] == -1 for row in rows(store))
    assert (
        f"Without a label of category, because fashiongen:category45 leaves its class out: {lost} rows, "
        f'"MONKSTRAPS" ({lost} rows)\n'
    ) in capsys.readouterr().err
    assert prepared(files).left_out_labels == {}

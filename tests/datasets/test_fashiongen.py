"""The data set fashiongen: its HDF5 files, their defects, and files that are not Fashion-Gen."""

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
from mmeval.datasets.fashiongen import register_datasets
from mmeval.datasets.fashiongen.files import FashionGenFile
from mmeval.datasets.fashiongen.source import CARD, FILES, FashionGenSource, split_of
from mmeval.errors import DataError
from tests.archives import fashiongen
from tests.archives.fashiongen import TRAIN, VALIDATION


def the_spec() -> DatasetSpec:
    specs: list[DatasetSpec] = []
    register_datasets(specs.append)
    return specs[0]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that tests share; they must not write to it."""
    return fashiongen.write(tmp_path_factory.mktemp("fashiongen"))


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A small folder that a test may change."""
    return fashiongen.write(tmp_path / "small", products=8, validation_products=6)


def prepared(folder: Path, variant: str = "") -> Store:
    spec = the_spec().model_copy(update={"variant": variant})
    return prepare(spec, spec.archive.open(folder, variant), released=False)


def rows(store: Store) -> list[dict[str, Any]]:
    return store.examples.to_pylist()


def complaint(folder: Path) -> str:
    with pytest.raises(DataError) as caught:
        list(FashionGenSource(folder, "").examples())
    return str(caught.value)


def changed(folder: Path, key: str, data: Any, name: str = TRAIN, **how: Any) -> None:
    with h5py.File(folder / name, "a") as file:
        del file[key]
        if data is not None:
            file.create_dataset(key, data=data, **how)


def column(folder: Path, key: str, name: str = TRAIN) -> NDArray[Any]:
    with h5py.File(folder / name) as file:
        return file[key][()]


def test_validation_file_is_the_test_split(files: Path) -> None:
    """All published results test on it, so checkpoints must not be selected on it."""
    store = prepared(files)
    assert (store.split_sizes, store.image_count, store.rejected_count) == (
        {"train": 208, "validation": 15, "test": 46},
        269,
        0,
    )
    assert all((row["split"] == "test") == row["id"].startswith("validation/") for row in rows(store))


def test_views_of_a_product_are_in_one_split(files: Path) -> None:
    """They have the same text."""
    examples = [row for row in rows(prepared(files)) if row["split"] != "test"]
    splits: dict[str, set[str]] = {}
    for row in examples:
        splits.setdefault(row["metadata:productID"], set()).add(row["split"])
    assert len(splits) == 90
    assert all(len(names) == 1 for names in splits.values())
    assert {row["cluster"] for row in examples} == {f"product {number}" for number in splits}


@given(st.lists(st.integers(0, 2**31), unique=True, min_size=2))
def test_split_depends_on_the_product_alone(products: list[int]) -> None:
    """Not on the order of the rows, or on other rows."""
    forward = [split_of("train", str(number)) for number in products]
    backward = [split_of("train", str(number)) for number in products[::-1]]
    assert forward == backward[::-1]
    assert set(forward) <= {"train", "validation"}


def test_one_product_in_twenty_is_in_validation() -> None:
    splits = [split_of("train", str(number)) for number in range(20000)]
    assert 0.045 < splits.count("validation") / 20000 < 0.055


def test_test_products_that_are_in_train_have_a_slice(files: Path) -> None:
    """It is unknown whether the published files share products."""
    store = prepared(files)
    assert store.info["spanning"] == {"test+train": 2}
    test = [row for row in rows(store) if row["split"] == "test"]
    seen = {row["metadata:productID"] for row in test if row["slice:product_seen_in_train"] == "yes"}
    assert seen == {"1000", "1001"}
    assert {row["slice:pose"] for row in test} == {f"id_gridfs_{view}" for view in range(1, 5)}
    single = [row for row in rows(store) if row["metadata:productID"] == "1004"]
    assert [row["slice:product_seen_in_train"] for row in single] == ["no"]


@pytest.mark.parametrize("vlen", [False, True])
def test_latin1_texts_are_decoded(tmp_path: Path, vlen: bool) -> None:
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
def test_any_latin1_text_is_decoded(tmp_path_factory: pytest.TempPathFactory, files: Path, text: str) -> None:
    """The encoding of the published files."""
    path = tmp_path_factory.mktemp("one") / "one.h5"
    with h5py.File(path, "w") as file, h5py.File(files / TRAIN) as known:
        for key in known:
            if key != "input_image":
                file[key] = known[key][:1]
        file["input_image"] = np.zeros((1, 256, 256, 3), np.uint8)
        del file["input_brand"]
        file["input_brand"] = np.array([[text.encode("latin-1")]], "S400")
    assert list(FashionGenFile(path).columns(("input_brand",))) == [(text,)]


def test_images_are_unchanged(files: Path) -> None:
    """Each image has its own row, also when several threads read, and keeps its size."""
    source = FashionGenSource(files, "")
    with ThreadPoolExecutor(4) as pool:
        images = list(pool.map(lambda entry: (entry[0], entry[1]()), source.images()))
    expected = np.concatenate([column(files, "input_image"), column(files, "input_image", VALIDATION)])
    assert [key for key, _ in images] == [row["id"] for row in rows(prepared(files))]
    assert source.size == len(images) == len(expected)
    assert all(np.array_equal(pixels, image) for (_, pixels), image in zip(images, expected, strict=True))
    store = prepared(files)
    assert decode(store.image(20)).shape == (256, 256, 3)
    assert np.abs(decode(store.image(20)).astype(int) - expected[20]).mean() < 3


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[int, int, int]]]:
    """Thread, first row and end of the rows of each read of images."""
    spans: list[tuple[int, int, int]] = []
    read = FashionGenFile.pixels

    def counted(self: FashionGenFile, start: int, stop: int) -> NDArray[np.uint8]:
        spans.append((threading.get_ident(), start, stop))
        return read(self, start, stop)

    monkeypatch.setattr(FashionGenFile, "pixels", counted)
    return iter([spans])


def test_blocks_of_images_are_read_once_and_lazily(files: Path, reads: Iterator[list[Any]]) -> None:
    """Resuming must not read 13 GB again, and a chunk must not be unpacked once per image."""
    spans = next(reads)
    images = list(FashionGenFile(files / TRAIN).images())
    assert spans == []
    for _, read in images[:64]:
        read()
    assert [span[1:] for span in spans] == [(0, 64)]
    first = images[0][1]
    assert first.func.__self__._pixels is None  # the block was freed after its last image
    first()
    assert [span[1:] for span in spans] == [(0, 64), (0, 64)]


@pytest.mark.parametrize(("chunk", "block"), [(1, 64), (8, 64), (48, 48), (100, 100)])
def test_blocks_are_whole_chunks(tmp_path: Path, chunk: int, block: int, reads: Iterator[list[Any]]) -> None:
    spans = next(reads)
    folder = fashiongen.write(tmp_path / "files", products=44, validation_products=4, chunk=chunk)
    for _, read in FashionGenFile(folder / TRAIN).images():
        read()
    assert spans[0][1:] == (0, block)


def test_damaged_chunk_affects_only_its_own_images(small: Path) -> None:
    """The other images of the block are read."""
    with h5py.File(small / TRAIN) as file:
        chunk = file["input_image"].id.get_chunk_info(1)
        rows_of_it = range(chunk.chunk_offset[0], chunk.chunk_offset[0] + file["input_image"].chunks[0])
    with (small / TRAIN).open("r+b") as raw:
        raw.seek(chunk.byte_offset)
        raw.write(b"\0" * chunk.size)
    store = prepared(small)
    import pyarrow.parquet as pq

    rejected = pq.read_table(store.folder / "rejected.parquet").to_pylist()
    assert [row["id"] for row in rejected] == [f"train/{row}" for row in rows_of_it if row < 20]
    assert rejected[0]["where"] == f"{TRAIN}, row {rows_of_it[0]}"
    assert rejected[0]["reason"].startswith(f"train/{rows_of_it[0]}: {TRAIN} is damaged there (")


def test_unknown_labels_are_reported(files: Path) -> None:
    """FashionSAP counts them as class 0."""
    store = prepared(files)
    assert store.unknown_labels == {"subcategory": {fashiongen.UNKNOWN: 2}}
    without = [row for row in rows(store) if row["label:subcategory"] == -1]
    assert len(without) == 2
    assert all(row["label:category"] >= 0 for row in without)


def test_labels_are_stripped_and_tabs_replaced(files: Path) -> None:
    """As the card says."""
    store = prepared(files)
    names = {task.name: task.classes for task in store.tasks}
    assert {names["category"][row["label:category"]] for row in rows(store)} == {
        category for category, *_ in fashiongen.LABELS
    }
    assert (len(names["category"]), len(names["subcategory"])) == (48, 121)
    assert names["gender"] == ("Men", "Women")
    assert names["season"] == ("FW2015", "FW2017", "SS2014", "SS2016")
    assert names["department"] == ("ACCESSORIES", "BAGS", "CLOTHING", "SHOES")


@pytest.mark.parametrize(
    ("variant", "without"),
    [("", set()), ("category45", {"MONKSTRAPS"}), ("category41", {"MONKSTRAPS", "GLOVES"})],
)
def test_variants_leave_out_categories(files: Path, variant: str, without: set[str]) -> None:
    """A macro F1 over 41 classes is not comparable with one over 48."""
    store, full = prepared(files, variant), prepared(files)
    classes, all_classes = store.tasks[0].classes, full.tasks[0].classes
    assert len(classes) == int(variant.removeprefix("category") or 48)
    assert store.unknown_labels == full.unknown_labels
    for row, other in zip(rows(store), rows(full), strict=True):
        name = all_classes[other["label:category"]]
        assert row["label:category"] == (-1 if name in without else classes.index(name))
        assert row["label:subcategory"] == other["label:subcategory"]


def test_subcategory_as_found_takes_all_labels(files: Path) -> None:
    """Kaleido-BERT counts one more than the known 121."""
    store = prepared(files, "subcategory-as-found")
    assert store.tasks[1].classes == tuple(
        sorted([*(subcategory for _, subcategory, _ in fashiongen.LABELS), fashiongen.UNKNOWN])
    )
    assert store.unknown_labels == {}
    assert store.tasks[0] == prepared(files).tasks[0]


def test_counts_and_classes_of_the_card_agree() -> None:
    full, forty_five, forty_one = (read_card(CARD, name) for name in ("", "category45", "category41"))
    train, test = (full.per_class["category"][split] for split in ("train+validation", "test"))
    assert set(train) == set(full.tasks["category"])
    assert sum(train.values()) == full.splits["train+validation"]
    assert set(full.tasks["category"]) - set(forty_five.tasks["category"]) == {
        name for name, n in test.items() if n == 0
    }
    assert set(full.tasks["category"]) - set(forty_one.tasks["category"]) == {
        name for name, n in test.items() if n < 10
    }


def test_empty_labels_are_reported_as_unknown(small: Path) -> None:
    """Beside other unknown labels."""
    names = column(small, "input_category")
    names[0, 0], names[1, 0] = b"HOVERBOARDS", b""
    changed(small, "input_category", names)
    assert prepared(small).unknown_labels["category"] == {"": 1, "HOVERBOARDS": 1}


def test_missing_files_are_named(small: Path, tmp_path: Path) -> None:
    assert complaint(tmp_path / "none") == f"There is no folder {tmp_path / 'none'}."
    path = small / TRAIN
    assert complaint(path) == f"{path} is a file; give the folder that has {TRAIN} and {VALIDATION}."
    (small / VALIDATION).unlink()
    assert complaint(small) == f"{small} lacks {VALIDATION}; put both files of Fashion-Gen there."


def test_incomplete_downloads_are_recognized(small: Path) -> None:
    path = small / TRAIN
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size // 2)
    assert complaint(small) == f"{path} is cut short, as after an interrupted download; get it again."
    path.write_bytes(b"<html>Quota exceeded</html>")
    assert complaint(small) == f"{path} is not an HDF5 file; get it again."


def test_missing_data_sets_are_named(small: Path) -> None:
    changed(small, "input_brand", None)
    changed(small, "input_pose", None)
    has = sorted(set(h5py.File(small / TRAIN)))
    assert complaint(small) == f"{TRAIN} lacks input_brand and input_pose; it has {', '.join(has)}."


@pytest.mark.parametrize(
    ("key", "data", "requirement"),
    [
        ("input_image", np.zeros((20, 64, 64, 3), np.uint8), "uint8 [rows, 256, 256, 3], it is uint8 [20, 64, 64, 3]"),
        ("input_image", np.zeros((1, 256, 256, 3), "f4"), "uint8 [rows, 256, 256, 3], it is float32 [1, 256, 256, 3]"),
        ("input_brand", np.zeros((20, 1), "i4"), "texts [rows, 1], it is int32 [20, 1]"),
        ("input_brand", np.zeros((20, 2), "S4"), "texts [rows, 1], it is |S4 [20, 2]"),
        ("input_productID", np.zeros((20, 1), "f4"), "integers [rows, 1], it is float32 [20, 1]"),
        ("input_msrpUSD", np.zeros((20, 1), "S4"), "numbers [rows, 1], it is |S4 [20, 1]"),
    ],
)
def test_data_sets_of_another_type_are_refused(small: Path, key: str, data: NDArray[Any], requirement: str) -> None:
    changed(small, key, data)
    assert complaint(small) == f"{TRAIN}: {key} must be {requirement}."


def test_data_sets_of_different_lengths_are_refused(small: Path) -> None:
    """Otherwise labels and images would not match."""
    changed(small, "input_category", column(small, "input_category")[:-1])
    assert complaint(small) == f"{TRAIN}: input_category has 19 rows, input_image has 20; get the file again."


@pytest.mark.parametrize("kind", ["i2", "i4", "u8"])
def test_integers_and_texts_of_any_width_are_read(small: Path, kind: str) -> None:
    """The published widths are unknown, and a column may have one dimension, as index_2 has."""
    before = rows(prepared(small))
    changed(small, "input_productID", column(small, "input_productID").astype(kind)[:, 0])
    changed(small, "input_name", column(small, "input_name").astype("S999"), chunks=(3, 1), compression="gzip")
    assert rows(prepared(small)) == before


def test_texts_that_are_not_the_declared_utf8_are_refused(small: Path) -> None:
    values = np.array([[b"appliqu\xe9"]] * 20, "O")
    changed(small, "input_brand", values, dtype=h5py.string_dtype("utf-8"))
    assert complaint(small) == f"{TRAIN} declares input_brand as UTF-8, but it is not; get the file again."


def test_error_names_the_place_of_a_damaged_text(small: Path) -> None:
    with h5py.File(small / TRAIN) as file:
        chunk = file["input_brand"].id.get_chunk_info(0)
    with (small / TRAIN).open("r+b") as raw:
        raw.seek(chunk.byte_offset)
        raw.write(b"\0" * chunk.size)
    message = complaint(small)
    assert message.startswith(f"{TRAIN} can't be read after row 0 (input_brand: ")
    assert message.endswith("); it is damaged: get it again.")


def test_variants_share_the_images_and_changed_files_do_not(small: Path) -> None:
    """The images of the variants are prepared once; those of another download again."""
    plain = dict(FashionGenSource(small, "").identity)
    assert plain == FashionGenSource(small, "category41").identity
    changed(small, "input_brand", column(small, "input_name"))
    assert plain != FashionGenSource(small, "").identity


def test_incomplete_data_is_refused(files: Path) -> None:
    """By the published numbers of rows; differences from unverified facts only warn."""
    spec = the_spec()
    with pytest.raises(DataError) as caught:
        prepare(spec, spec.archive.open(files, ""))
    assert str(caught.value) == (
        "fashiongen differs from its data card (fashiongen.md): examples in test: the card says 32528, the data has "
        "46; examples in train+validation: the card says 260490, the data has 223; images: the card says 293018, the "
        "data has 269. --allow-mismatch accepts it, and marks every score of it."
    )


@pytest.mark.parametrize("kind", ["external", "external of an image", "soft out", "soft", "storage", "virtual"])
def test_data_in_other_files_is_refused(kind: str, small: Path, tmp_path: Path) -> None:
    """Otherwise a crafted file could read any file of the machine that opens it."""
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
    message = complaint(small)
    if kind in ("storage", "virtual"):
        assert message == f"{TRAIN}: {key} is stored in other files, which are not read; get the file again."
    else:
        assert message == f"{TRAIN}: {key} is a link to data elsewhere, which is not read; get the file again."


@pytest.mark.parametrize(
    ("key", "shape", "dtype", "chunks", "expected"),
    [
        ("input_name", None, "S1000000000", None, "declares texts of 1,000,000,000 bytes, more than 65,536"),
        ("input_name", None, "S60000", (90_000, 1), "declares chunks of 5,400,000,000 bytes, more than 536,870,912"),
        ("input_image", None, "u1", (8192, 256, 256, 3), "declares chunks of 1,610,612,736 bytes, more than"),
    ],
)
def test_declared_sizes_are_checked_before_reading(
    key: str, shape: None, dtype: str, chunks: tuple[int, ...] | None, expected: str, small: Path
) -> None:
    """A declared text of 1 GB took 4.8 GB of memory, though a crafted file need not contain a byte of it."""
    with h5py.File(small / TRAIN, "a") as file:
        shape = file[key].shape
        del file[key]
        most = (None, *shape[1:]) if chunks else None
        file.create_dataset(key, shape, dtype, chunks=chunks, maxshape=most)
    assert complaint(small).startswith(f"{TRAIN}: {key} {expected}")


def test_too_many_declared_rows_are_refused(small: Path) -> None:
    """Chunks that were never written read as zeros, so a file of kilobytes may declare any number of rows."""
    rows = 10**9
    with h5py.File(small / TRAIN, "a") as file:
        for key in list(file):
            shape, kind = file[key].shape, file[key].dtype
            del file[key]
            shape = (rows, *shape[1:])
            file.create_dataset(key, shape, kind, chunks=(1, *shape[1:]), maxshape=(None, *shape[1:]))
    assert complaint(small) == f"{TRAIN} declares 1,000,000,000 rows, more than 4,000,000; get it again."


def test_wide_texts_are_read_in_smaller_blocks(small: Path, files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """To limit memory; the rows stay the same."""
    plain = list(FashionGenSource(small, "").examples())
    monkeypatch.setattr("mmeval.datasets.fashiongen.files.BYTES", 1200)
    assert list(FashionGenSource(small, "").examples()) == plain


def test_prices_keep_all_their_digits(files: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(files, tmp_path / "copy")
    with h5py.File(folder / FILES["train"], "r+") as file:
        prices = file["input_msrpUSD"][:]
        prices[:3, 0] = (19.99, 1234567.5, 120.0)
        file["input_msrpUSD"][:] = prices
    texts = [example.metadata["msrpUSD"] for example in FashionGenSource(folder, "").examples()]
    assert texts[:3] == ["19.99", "1234567.5", "120"]


def test_preparing_a_variant_reports_the_labels_it_leaves_out(
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

"""The data set fashion-product-images: Parquet shards, labels, groups and splits."""

from __future__ import annotations

import inspect
import json
import os
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmeval import DatasetSpec, Example, Rejected
from mmeval.data.card import read_card
from mmeval.data.prepare.prepare import prepare
from mmeval.data.split import DEFAULT_SHARES, assign_split
from mmeval.data.store import Store
from mmeval.datasets.fashion_product_images import register_datasets
from mmeval.datasets.fashion_product_images import source as source_module
from mmeval.datasets.fashion_product_images.names import contains_label, normalized
from mmeval.datasets.fashion_product_images.source import GET, TASKS, FashionProductsSource
from mmeval.errors import DataError
from tests.archives import fashion_products as archive


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return archive.write(tmp_path / "fashion")


@pytest.fixture
def spec() -> DatasetSpec:
    specs: list[DatasetSpec] = []
    register_datasets(specs.append)
    return specs[0]


def read(path: Path) -> None:
    source = FashionProductsSource(path)
    list(source.images())
    list(source.examples())


def complaint(path: Path) -> str:
    with pytest.raises(DataError) as caught:
        read(path)
    return str(caught.value)


def by_id(path: Path) -> dict[str, Example]:
    return {example.id: example for example in FashionProductsSource(path).examples() if isinstance(example, Example)}


def prepared(spec: DatasetSpec, path: Path) -> Store:
    assert spec.archive is not None
    return prepare(spec, spec.archive.open(path, ""), released=False)


def test_generated_shards_have_the_schema_that_datasets_writes(folder: Path) -> None:
    """The tests rely on it."""
    from datasets import Features, Image, Value

    texts = dict.fromkeys(archive.TEXTS, Value("string"))
    years = {"year": Value("float64"), "usage": Value("string"), "productDisplayName": Value("string")}
    expected = Features({"id": Value("int64"), **texts, **years, "image": Image()}).arrow_schema
    schema = pq.read_schema(folder / "data" / archive.NAMES[0])
    assert schema.remove_metadata() == expected.remove_metadata()
    assert json.loads(schema.metadata[b"huggingface"]) == json.loads(expected.metadata[b"huggingface"])


def test_seven_tasks_are_prepared_and_bad_rows_rejected(spec: DatasetSpec, folder: Path) -> None:
    store = prepared(spec, folder)
    assert {task.name: len(task.classes) for task in store.tasks} == {
        "gender": 3,
        "masterCategory": 3,
        "subCategory": 5,
        "articleType": 6,
        "baseColour": 4,
        "season": 3,
        "usage": 3,
    }
    assert all(list(task.classes) == sorted(task.classes) for task in store.tasks)
    assert (store.languages, store.slices) == (("en",), ("article_type_in_name", "colour_in_name"))
    assert sum(store.split_sizes.values()) == store.image_count == 248
    assert min(store.split_sizes.values()) >= 12
    assert store.info["spanning"] == {}
    second = archive.NAMES[1]
    assert pq.read_table(store.folder / "rejected.parquet").to_pylist() == [
        {"where": f"{second}, row 124", "id": "1163", "reason": f"has the id of {archive.NAMES[0]}, row 1"},
        {"where": f"{second}, row 125", "id": "50009", "reason": "50009: the image has no bytes"},
    ]


def test_data_is_compared_with_the_card(spec: DatasetSpec, folder: Path, tmp_path: Path) -> None:
    """A table with missing rows is refused; differences from unverified facts only warn."""
    assert spec.archive is not None
    with pytest.raises(DataError) as caught:
        prepare(spec, spec.archive.open(folder, ""))
    assert str(caught.value) == (
        "fashion-product-images differs from its data card (fashion-product-images.md): examples in "
        "train+validation+test: the card says 44072, the data has 248; rejected rows: "
        f"{archive.NAMES[1]}, row 124: has the id of {archive.NAMES[0]}, row 1; {archive.NAMES[1]}, row 125: 50009: "
        f"the image has no bytes (all in {_kept(spec, folder)}). --allow-mismatch accepts it, and "
        "marks every score of it."
    )
    assert spec.card is not None
    text = spec.card.read_text(encoding="utf-8").replace("44072", "248", 1)
    card = tmp_path / "fashion-product-images.md"
    card.write_text(text, encoding="utf-8")
    store = prepare(spec.model_copy(update={"card": card}), spec.archive.open(folder, ""))
    assert store.released
    assert "number of classes of gender: the card says 5, the data has 3" in store.info["differences"]


def _kept(spec: DatasetSpec, folder: Path) -> Path:
    from mmeval.data.prepare.prepare import store_folder

    assert spec.archive is not None
    store = store_folder(spec, spec.archive.open(folder, ""))
    return store.with_name(f"{store.name}.rejected.parquet")


def test_names_that_differ_in_case_and_spaces_are_one_group(folder: Path) -> None:
    """Otherwise variants of a product would be in train and in test."""
    examples = by_id(folder)
    assert len({examples[key].cluster for key in ("1163", "50001", "50002")}) == 1
    assert len({examples[key].split for key in ("1163", "50001", "50002")}) == 1


def test_products_without_a_name_are_separate_groups(folder: Path) -> None:
    examples = by_id(folder)
    assert [examples[key].text for key in ("50005", "50006")] == ["", ""]
    assert examples["50005"].cluster != examples["50006"].cluster


def test_null_empty_and_na_are_missing_labels(folder: Path) -> None:
    """Otherwise NA would be a class."""
    examples = by_id(folder)
    assert {"baseColour", "usage"} & set(examples["50003"].labels) == set()
    assert {"season", "usage"} & set(examples["50004"].labels) == set()
    assert len(examples["1163"].labels) == 7


def test_texts_years_and_ids_are_unchanged(folder: Path) -> None:
    examples = by_id(folder)
    assert examples["50007"].text == 'Sushilã "Tee",\nblue'
    assert examples["50007"].metadata == {"year": ""}
    assert examples["1163"].metadata["year"] in {str(year) for year in range(2011, 2017)}


def test_slices_tell_whether_the_name_contains_a_label(folder: Path) -> None:
    for example in by_id(folder).values():
        if example.id < "50000" and "Printed" not in example.text:
            assert example.slices["colour_in_name"] == "yes"
        if example.id < "50000" and example.labels["articleType"] != "Handbags":
            assert example.slices["article_type_in_name"] == "yes"
    assert by_id(folder)["50003"].slices == {"article_type_in_name": "no", "colour_in_name": "no"}


@pytest.mark.parametrize(
    ("name", "label", "expected"),
    [
        ("Puma Men Navy Blue T-shirt", "Tshirts", True),
        ("Puma Men Navy Blue T-shirt", "Navy Blue", True),
        ("Puma Men Blue Navy Tee", "Navy Blue", False),
        ("Redtape Men Shoes", "Red", False),
        ("Titan Women Watch", "Watches", True),
        ("Girls Dress", "Dresses", True),
        ("Girls DRESSES", "Dresses", True),
        ("Gini Girl's Tops", "Top", True),
        ("Sports Shoe", "Sports Shoes", True),
        ("Men Boxers", "Boxer", True),
        ("Women Sari", "", False),
        ("", "Red", False),
    ],
)
def test_label_in_a_name_is_found_in_singular_and_plural(name: str, label: str, expected: bool) -> None:
    assert contains_label(name, label) is expected


@given(st.text(max_size=30), st.text(max_size=5), st.text(max_size=5))
def test_label_in_a_name_is_found_in_any_context(name: str, before: str, after: str) -> None:
    assert normalized(f"  {name.upper()}\t") == normalized(normalized(name.upper()))
    assert contains_label(f"{before} navy blues {after}", "Navy Blue")


def test_split_of_a_group_never_changes() -> None:
    """Another rule would silently change the data set."""
    splits = "".join(assign_split(str(number), DEFAULT_SHARES, "salt")[:2] for number in range(24))
    assert splits == "vatrvatrtrtrtrtrtrtetevatrvatrtrtrtrtrtrtetrtrtr"


def test_shares_of_splits_hold_approximately() -> None:
    counts = Counter(assign_split(str(number), DEFAULT_SHARES, "salt") for number in range(5000))
    assert all(abs(counts[split] / 5000 - share) < 0.02 for split, share in DEFAULT_SHARES.items())
    assert {assign_split(str(n), DEFAULT_SHARES, "a") for n in range(99)} == set(DEFAULT_SHARES)


def test_images_are_read_only_by_their_own_pass(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    columns_read: list[Any] = []
    original = source_module.read_parquet

    def spy(*args: Any, **options: Any) -> Any:
        columns_read.append(options["columns"])
        return original(*args, **options)

    monkeypatch.setattr(source_module, "read_parquet", spy)
    source = FashionProductsSource(folder)
    images = source.images()
    assert inspect.isgenerator(images)
    key, image = next(images)
    assert (key, isinstance(image, bytes)) == ("1163", True)
    assert columns_read == [("id", "image")]
    columns_read.clear()
    assert source.tasks
    assert list(source.examples())
    assert all("image" not in columns for columns in columns_read)


def test_source_may_be_a_file_a_folder_of_shards_or_the_repository(folder: Path) -> None:
    assert FashionProductsSource(folder).size == FashionProductsSource(folder / "data").size == 250
    assert FashionProductsSource(folder / "data" / archive.NAMES[0]).size == 125


def test_changed_files_change_the_identity(folder: Path) -> None:
    before = FashionProductsSource(folder).identity
    assert FashionProductsSource(folder).identity == before
    os.utime(folder / "data" / archive.NAMES[0], ns=(1, 1))
    assert FashionProductsSource(folder).identity != before


def test_missing_shard_is_named(folder: Path) -> None:
    (folder / "data" / archive.NAMES[1]).unlink()
    assert complaint(folder) == f"{folder / 'data'} lacks train-00001-of-00002.parquet; fetch it again."


def test_folder_without_parquet_files_says_how_to_get_them(tmp_path: Path) -> None:
    assert complaint(tmp_path) == f"{tmp_path} has no Parquet file, and no folder data with one. {GET}"
    assert complaint(tmp_path / "x") == f"There is no file or folder {tmp_path / 'x'}."


def test_truncated_shard_is_named(folder: Path) -> None:
    path = folder / "data" / archive.NAMES[0]
    path.write_bytes(path.read_bytes()[:1000])
    assert complaint(folder) == (
        f"{path.name} can't be read (Parquet magic bytes not found in footer. Either the file is corrupted or this is "
        "not a parquet file); fetch or write it again."
    )


def test_missing_column_is_named(folder: Path) -> None:
    path = folder / "data" / archive.NAMES[0]
    pq.write_table(pq.read_table(path).drop_columns(["usage", "season"]), path)
    assert complaint(folder) == (
        f"{path.name} lacks the columns season and usage; it has id, gender, masterCategory, subCategory, articleType, "
        "baseColour, year, productDisplayName, image."
    )


def test_images_of_another_type_are_refused(tmp_path: Path) -> None:
    """As paths of images, which the CSV files on Kaggle have."""
    row = archive.product(np.random.default_rng(0), 1) | {"image": "1.jpg"}
    schema = archive.SCHEMA.set(10, pa.field("image", pa.string())).remove_metadata()
    path = archive.write_shard(tmp_path / "t.parquet", [row], schema)
    assert complaint(path) == "t.parquet: the column image must hold bytes and path, as datasets writes images."


def test_row_without_an_id_is_rejected(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rows = [archive.product(rng, 1), archive.product(rng, 2) | {"id": None}]
    source = FashionProductsSource(archive.write_shard(tmp_path / "t.parquet", rows))
    assert list(source.examples())[1] == Rejected("t.parquet, row 2", "has no id")
    assert [key for key, _ in source.images()] == ["1164"]


def test_card_is_valid(spec: DatasetSpec) -> None:
    assert spec.card is not None
    card = read_card(spec.card)
    assert (card.name, card.languages, card.splits) == (spec.name, ("en",), {"train+validation+test": 44072})
    assert list(card.tasks) == list(TASKS)
    assert card.verified("splits.train+validation+test")
    assert not card.verified("tasks.usage")

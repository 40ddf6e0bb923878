"""The data set abo: parsing of listings, labels, groups and splits."""

from __future__ import annotations

import gzip
import json
import os
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmeval import DatasetSpec, Example, Rejected
from mmeval.data.card import read_card
from mmeval.data.open.archive import open_archive
from mmeval.data.open.verify import Status, verify
from mmeval.data.prepare.prepare import prepare
from mmeval.data.request import Dataset, DatasetRequest
from mmeval.datasets.abo import register_datasets
from mmeval.datasets.abo.files import GET
from mmeval.datasets.abo.listings import LANGUAGES, Listing, Value, language, parse
from mmeval.datasets.abo.source import MIN_LISTINGS, AboSource
from mmeval.errors import DataError
from tests.archives import abo as archive


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that tests share; they must not write to it."""
    return archive.write(tmp_path_factory.mktemp("abo"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A small folder that a test may change."""
    return archive.write(tmp_path / "abo", listings=32, traps=False)


@pytest.fixture
def spec() -> DatasetSpec:
    specs: list[DatasetSpec] = []
    register_datasets(specs.append)
    return specs[0]


def examples(folder: Path, **options: Any) -> dict[str, Example]:
    source = AboSource(folder, **{"min_listings": 3, **options})
    return {example.id: example for example in source.examples() if isinstance(example, Example)}


def of(folder: Path, item: str, **options: Any) -> list[Example]:
    return [example for example in examples(folder, **options).values() if example.metadata["item_id"] == item]


def read(folder: Path) -> None:
    source = AboSource(folder)
    list(source.examples())
    list(source.images())


def complaint(folder: Path) -> str:
    with pytest.raises(DataError) as caught:
        read(folder)
    return str(caught.value)


def parsed(**changes: Any) -> Listing:
    record = archive.listing(np.random.default_rng(0), 1)
    return parse({key: value for key, value in (record | changes).items() if value is not ...})


def reason(**changes: Any) -> str:
    try:
        parsed(**changes)
    except ValueError as error:
        return str(error)
    return ""


def entry(tag: str, value: str, *standard: str) -> dict[str, Any]:
    return {"language_tag": tag, "value": value} | ({"standardized_values": list(standard)} if standard else {})


def test_bad_listings_are_rejected_with_their_reason(spec: DatasetSpec, shared: Path) -> None:
    store = prepare(spec, AboSource(shared, min_listings=3), released=False)
    assert {task.name: task.classes for task in store.tasks} == {
        "product_type": ("CHAIR", "LAMP", "RUG"),
        "colour": ("black", "blue", "red"),
        "material": ("metal", "wood"),
    }
    assert store.languages == ("ar", "de", "en", "es", "fr", "it", "ja", "nl", "pt", "zh")
    assert min(store.split_sizes.values()) >= 12
    assert (store.slices, store.info["spanning"]) == (("locale",), {})
    rejected = pq.read_table(store.folder / "rejected.parquet").to_pylist()
    reasons = {row["where"].removeprefix("listings_").replace(".json.gz, row ", "/"): row["reason"] for row in rejected}
    assert reasons == {
        "0/17": "not JSON (Invalid control character at: line 1 column 28 (char 27))",
        "1/17": "not a JSON object",
        "8/16": "lacks item_name",
        "9/16": '"qq_QQ" is not a language tag such as en_US',
        "a/16": "its item_name in en_US is empty",
        "b/16": "repeats the listing B070000001/amazon.com/Amazon of listings_1.json.gz, row 1",
        "c/16": "in its item_name, value is not a text",
        "d/16": "nowhere: images.csv.gz has no row of it",
        "e/16": 'outside: its path "../../secret.jpg" leaves the folder of images',
        "f/16": "lost: the image's file is missing",
    }


def test_listing_gives_an_example_per_language_of_its_name(shared: Path) -> None:
    of_listing = of(shared, "T8")
    assert [
        (example.id.rsplit("/")[-1], example.language, example.text, example.slices["locale"]) for example in of_listing
    ] == [
        ("en_US", "en", "1", "en_US"),
        ("en_IN", "en", "2", "en_IN"),
    ]
    assert "product_type" not in of_listing[0].labels  # CHAIR, and LAMP
    # An invalid name does not affect the listing's other names.
    assert [example.language for example in of(shared, "T11")] == ["de"]


def test_item_on_two_marketplaces_is_two_listings_in_one_split(shared: Path) -> None:
    """Otherwise ids would collide, or an item would be in train and in test."""
    first = of(shared, "B070000000")
    assert len({example.id for example in first}) == len(first) >= 2
    assert len({example.metadata["domain_name"] for example in first}) == 2
    assert {(example.cluster, example.split) for example in first} == {("B070000000", first[0].split)}


def test_items_that_share_a_main_image_stay_together(shared: Path) -> None:
    assert of(shared, "T2")[0].cluster == of(shared, "B070000000")[0].cluster == "B070000000"
    splits: dict[str, set[str]] = {}
    for example in examples(shared).values():
        if example.image:
            splits.setdefault(example.image, set()).add(example.split)
    assert all(len(names) == 1 for names in splits.values())


def test_a_listing_without_a_main_image_keeps_its_text(shared: Path) -> None:
    [example] = of(shared, "T3")
    assert (example.image, example.text, example.cluster) == (None, "A trap", "T3")


def test_variant_appends_the_bullet_points_of_the_same_language(shared: Path, spec: DatasetSpec) -> None:
    plain, more = examples(shared), examples(shared, bullets=True)
    key = next(key for key in plain if key.startswith("B070000003/"))
    assert more[key].text == f"{plain[key].text}\nA 3\nB 3"
    assert spec.archive is not None
    assert isinstance(source := spec.archive.open(shared, "with-bullets"), AboSource)
    assert source.bullets
    assert source.identity == spec.archive.open(shared, "").identity  # they share the images


@pytest.mark.parametrize(
    ("color", "expected"),
    [
        ([entry("en_US", "Sky", "Blue"), entry("de_DE", "Himmel")], Value("blue", True)),
        ([entry("de_DE", "Himmel", "Blau"), entry("en_GB", " Deep  SKY ")], Value("deep sky", True)),
        ([entry("en_IN", "Sky"), entry("en_US", "Heaven")], Value("sky", True)),
        ([entry("en_US", "Sky"), entry("en_US", "SKY")], Value("sky", True)),
        ([entry("en_US", "Sky"), entry("en_US", "Sea")], None),
        ([entry("en_US", "x", "Blue", "White")], None),
        ([entry("de_DE", "Himmel", "Blue")], Value("blue", False)),
        ([entry("de_DE", "Himmel")], None),
        ([entry("en_US", " ")], None),
        ([], None),
        (..., None),
    ],
)
def test_label_is_the_only_english_or_standardized_value(color: Any, expected: Value | None) -> None:
    assert parsed(color=color).values.get("colour") == expected


def test_words_of_other_languages_do_not_become_classes(shared: Path) -> None:
    """Otherwise the language of a text would give away the class."""
    [german], [standard] = of(shared, "T5", min_listings=1), of(shared, "T4", min_listings=1)
    assert "colour" not in german.labels
    assert german.metadata["colour"] == "rot"
    assert standard.labels["colour"] == "red"


def test_classes_need_enough_training_listings(shared: Path) -> None:
    """Only training listings count, so that no class comes from the test split."""
    [rare], [several] = of(shared, "T7"), of(shared, "T6")
    assert "colour" not in rare.labels
    assert rare.metadata["colour"] == "ochre"
    assert "colour" not in several.labels
    counts = Counter(
        example.labels["colour"]
        for example in {example.id.rpartition("/")[0]: example for example in examples(shared).values()}.values()
        if example.split == "train" and example.metadata["item_id"].startswith("B07")
    )
    assert max(counts.values()) < 240 * 0.5
    few = min(counts, key=lambda name: counts[name])
    tasks = {task.name: task.classes for task in AboSource(shared, min_listings=counts[few] + 10).tasks}
    assert few not in tasks.get("colour", ())
    assert "LAMP" in tasks["product_type"]


def test_threshold_of_the_card_is_fifty() -> None:
    assert MIN_LISTINGS == 50


def test_language_tags_are_parsed() -> None:
    assert [language(tag) for tag in ("en_IN", "ja", "zh_CN", "EN_US", "eng_US", "xx_XX", "en-US", "")] == [
        "en",
        "ja",
        "zh",
        *[""] * 5,
    ]
    assert len(LANGUAGES) == 183


@given(st.dictionaries(st.sampled_from(["item_id", "item_name", "color", "main_image_id"]), st.none() | st.integers()))
def test_invalid_fields_give_a_reason(changes: dict[str, Any]) -> None:
    assert reason(**changes).partition(" ")[0] in ("", "lacks", "item_id", "item_name", "color", "main_image_id")


def test_reason_names_the_invalid_field() -> None:
    assert reason(item_id=" ") == "lacks its item_id"
    assert reason(item_id=7) == "item_id is not a text"
    assert reason(item_name=[]) == "lacks its item_name"
    assert reason(color="red") == "color is not a list of values"
    assert reason(color=[entry("en_US", "x") | {"standardized_values": "y"}]) == (
        "in its color, standardized_values is not a list of texts"
    )


def test_missing_files_are_named_with_how_to_get_them(folder: Path) -> None:
    assert complaint(folder / "x") == f"There is no folder {folder / 'x'}. {GET}"
    (folder / "images/metadata/images.csv.gz").unlink()
    assert complaint(folder) == f"{folder} lacks images/metadata/images.csv.gz. {GET}"
    shutil.rmtree(folder / "listings")
    assert complaint(folder) == f"{folder} lacks listings/metadata/listings_0.json.gz and 16 more. {GET}"


def test_subset_of_the_listings_needs_allow_mismatch(spec: DatasetSpec, folder: Path) -> None:
    for number in range(1, 16):
        (folder / f"listings/metadata/listings_{number:x}.json.gz").unlink()
    lines = [json.dumps(archive.listing(np.random.default_rng(n), n)) for n in range(300)]
    archive.write_lines(folder, "0", lines)
    lacks = f"{folder} lacks listings/metadata/listings_1.json.gz and 14 more. {GET} --allow-mismatch accepts "
    with pytest.raises(DataError) as caught:
        open_archive(spec, DatasetRequest("abo", source=folder), download=False)
    assert str(caught.value) == f"{lacks}the data as it is, under another name."
    store = open_archive(spec, DatasetRequest("abo", source=folder, allow_mismatch=True), download=False)
    assert (store.name, store.released) == ("abo-mismatched", False)


def test_fragment_needs_allow_mismatch(spec: DatasetSpec, shared: Path) -> None:
    """Even though no fact of the card is verified, a hundred listings are not taken for the release."""
    with pytest.raises(DataError) as caught:
        prepare(spec, AboSource(shared, min_listings=3))
    assert "examples: the card says about 160000, the data has " in str(caught.value)
    assert "too few to be the release" in str(caught.value)
    assert "--allow-mismatch accepts it" in str(caught.value)
    store = prepare(spec, AboSource(shared, min_listings=3), released=False)
    assert store.name == "abo-mismatched"
    assert any("too few to be the release" in text for text in store.info["differences"])
    results = verify(Dataset(spec, store, "cc-by-4.0"))
    good = [result.text for result in results if result.status is Status.GOOD][1:]
    assert good == [f"fingerprint {store.fingerprint}, recomputed from rows and images"]
    assert "unverified in its card (abo.md), so not confirmed: languages, tasks, splits, images" in [
        result.text for result in results if result.status is Status.WARNING
    ]


def test_original_images_are_used_if_there_are_no_small_ones(folder: Path) -> None:
    small = AboSource(folder).identity
    (folder / "images/small").rename(folder / "images/original")
    original = AboSource(folder)
    key, read = next(original.images())
    assert read()[:2] == b"\xff\xd8"
    assert key == "0000MAIN+L"
    assert original.identity != small
    (folder / "images/original").rename(folder / "images/spins")
    assert complaint(folder) == f"{folder} lacks the folder images/small. {GET}"


def test_truncated_listings_are_named(folder: Path) -> None:
    path = folder / "listings/metadata/listings_3.json.gz"
    path.write_bytes(path.read_bytes()[:-20])
    assert complaint(folder) == (
        f"{path} is damaged (Compressed file ended before the end-of-stream marker was reached); fetch it again."
    )


def test_missing_column_of_the_image_table_is_named(folder: Path) -> None:
    archive.write_images(folder, {}, archive.COLUMNS[:3])
    assert complaint(folder) == "images.csv.gz lacks the column path; it has image_id, height, width."


def test_image_with_two_paths_is_named(folder: Path) -> None:
    path = folder / "images/metadata/images.csv.gz"
    path.write_bytes(gzip.compress(b"image_id,height,width,path\n0000MAIN+L,1,1,a.jpg\n0000MAIN+L,1,1,b.jpg\n"))
    assert complaint(folder) == "images.csv.gz, row 2: 0000MAIN+L has another path already; fetch it again."


@pytest.mark.parametrize("path", ["../x.jpg", "/etc/x.jpg", "00/../../x.jpg", "..\\x.jpg", "C:/x.jpg"])
def test_paths_out_of_the_folder_are_refused(folder: Path, path: str) -> None:
    (folder / "images/x.jpg").write_bytes(b"secret")
    archive.write_images(folder, {"0000MAIN+L": path})
    _, read = next(AboSource(folder).images())
    with pytest.raises(DataError) as caught:
        read()
    assert str(caught.value) == f'its path "{path}" leaves the folder of images'


def test_listings_with_a_single_class_have_no_task(folder: Path) -> None:
    line = json.dumps(archive.listing(np.random.default_rng(0), 1))
    for number in range(16):
        archive.write_lines(folder, f"{number:x}", [line] if number == 0 else [])
    assert complaint(folder) == "The listings have no attribute with two classes; fetch abo-listings.tar again."


def test_added_images_change_the_identity(folder: Path) -> None:
    """Otherwise a data set prepared from an incomplete folder would never be completed."""
    before = AboSource(folder).identity
    assert AboSource(folder).identity == before
    (folder / "images/small/00/more.jpg").write_bytes(b"x")
    assert AboSource(folder).identity != before
    os.utime(folder / "listings/metadata/listings_0.json.gz", ns=(1, 1))
    assert AboSource(folder).identity["tables"] != before["tables"]


def test_examples_and_images_come_in_the_same_order_each_time(shared: Path) -> None:
    source = AboSource(shared, min_listings=3)
    assert list(source.examples()) == list(source.examples())
    assert [key for key, _ in source.images()] == list(source.survey.images)
    assert source.size == 240 + 3  # T14 to T16 name images that aren't there


def test_splits_do_not_depend_on_the_order_of_the_files(folder: Path) -> None:
    before = {key: (example.split, example.cluster) for key, example in examples(folder).items()}
    names = [folder / f"listings/metadata/listings_{number}.json.gz" for number in "0f"]
    first, last = (name.read_bytes() for name in names)
    names[0].write_bytes(last)
    names[1].write_bytes(first)
    assert {key: (example.split, example.cluster) for key, example in examples(folder).items()} == before


def test_differences_from_unverified_facts_only_warn(
    spec: DatasetSpec, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mmeval.data.differences.MIN_SHARE", 0)
    store = prepare(spec, AboSource(folder, min_listings=3))
    assert store.released
    assert "number of classes of product_type: the card says 576, the data has 3" in store.info["differences"]
    assert spec.card is not None
    assert read_card(spec.card, "with-bullets").name == "abo"


def test_error_says_why_all_rows_were_rejected(spec: DatasetSpec, folder: Path) -> None:
    lines = [json.dumps(archive.listing(np.random.default_rng(n), n) | {"main_image_id": "gone"}) for n in range(20)]
    for number in range(16):
        archive.write_lines(folder, f"{number:x}", lines if number == 0 else [])
    with pytest.raises(DataError) as caught:
        prepare(spec.model_copy(update={"card": None}), AboSource(folder), released=False)
    assert str(caught.value) == (
        "All rows of the source were rejected, for example listings_0.json.gz, row 1: gone: images.csv.gz has no "
        "row of it."
    )


def test_rejected_lines_of_the_reader_are_yielded(folder: Path) -> None:
    archive.write_lines(folder, "0", ["nonsense"])
    first = next(AboSource(folder, min_listings=1).examples())
    assert first == Rejected("listings_0.json.gz, row 1", "not JSON (Expecting value: line 1 column 1 (char 0))")

"""abo: listings as they are published, labels that no language gives away, and groups that stay together."""

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
from mmeval.data.open.verify import Verdict, verify
from mmeval.data.prepare.prepare import prepare
from mmeval.data.request import Dataset, DatasetRequest
from mmeval.datasets import abo
from mmeval.datasets.abo.files import GET
from mmeval.datasets.abo.listings import LANGUAGES, Listing, Value, language, parse
from mmeval.datasets.abo.source import LEAST, AboSource
from mmeval.errors import DataError
from tests.archives import abo as archive


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Not to be written to."""
    return archive.write(tmp_path_factory.mktemp("abo"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A small one of a test's own."""
    return archive.write(tmp_path / "abo", listings=32, traps=False)


@pytest.fixture
def spec() -> DatasetSpec:
    found: list[DatasetSpec] = []
    abo.register_datasets(found.append)
    return found[0]


def examples(folder: Path, **options: Any) -> dict[str, Example]:
    source = AboSource(folder, **{"least": 3, **options})
    return {one.id: one for one in source.examples() if isinstance(one, Example)}


def of(folder: Path, item: str, **options: Any) -> list[Example]:
    return [one for one in examples(folder, **options).values() if one.metadata["item_id"] == item]


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


def test_it_is_prepared_and_each_bad_listing_rejected_with_its_reason(spec: DatasetSpec, shared: Path) -> None:
    store = prepare(spec, AboSource(shared, least=3), released=False)
    assert {task.name: task.classes for task in store.tasks} == {
        "product_type": ("CHAIR", "LAMP", "RUG"),
        "colour": ("black", "blue", "red"),
        "material": ("metal", "wood"),
    }
    assert store.languages == ("ar", "de", "en", "es", "fr", "it", "ja", "nl", "pt", "zh")
    assert min(store.split_sizes.values()) >= 12
    assert (store.slices, store.info["spanning"]) == (("locale",), {})
    rejected = pq.read_table(store.folder / "rejected.parquet").to_pylist()
    found = {row["where"].removeprefix("listings_").replace(".json.gz, row ", "/"): row["reason"] for row in rejected}
    assert found == {
        "0/17": "not JSON (Invalid control character at: line 1 column 28 (char 27))",
        "1/17": "no JSON object",
        "8/16": "lacks item_name",
        "9/16": '"qq_QQ" is no language tag such as en_US',
        "a/16": "its item_name in en_US is empty",
        "b/16": "is the listing B070000001/amazon.com/Amazon of listings_1.json.gz, row 1 again",
        "c/16": "in its item_name, value is no text",
        "d/16": "nowhere: images.csv.gz has no row of it",
        "e/16": 'outside: its path "../../secret.jpg" leaves the folder of images',
        "f/16": "lost: the image's file is not there",
    }


def test_a_listing_is_an_example_in_each_language_of_its_name(shared: Path) -> None:
    found = of(shared, "T8")
    assert [(one.id.rsplit("/")[-1], one.language, one.text, one.slices["locale"]) for one in found] == [
        ("en_US", "en", "1", "en_US"),
        ("en_IN", "en", "2", "en_IN"),
    ]
    assert "product_type" not in found[0].labels  # CHAIR, and LAMP
    # A bad name costs the listing only that name.
    assert [one.language for one in of(shared, "T11")] == ["de"]


def test_an_item_on_two_marketplaces_is_two_listings_in_one_split(shared: Path) -> None:
    """Else half of the ids collide, or an item stands in train and in test."""
    first = of(shared, "B070000000")
    assert len({one.id for one in first}) == len(first) >= 2
    assert len({one.metadata["domain_name"] for one in first}) == 2
    assert {(one.cluster, one.split) for one in first} == {("B070000000", first[0].split)}


def test_items_that_share_a_main_image_stay_together(shared: Path) -> None:
    assert of(shared, "T2")[0].cluster == of(shared, "B070000000")[0].cluster == "B070000000"
    splits: dict[str, set[str]] = {}
    for one in examples(shared).values():
        if one.image:
            splits.setdefault(one.image, set()).add(one.split)
    assert all(len(found) == 1 for found in splits.values())


def test_a_listing_without_a_main_image_keeps_its_text(shared: Path) -> None:
    [one] = of(shared, "T3")
    assert (one.image, one.text, one.cluster) == (None, "A trap", "T3")


def test_bullet_points_follow_the_name_in_its_language_where_they_are_asked_for(
    shared: Path, spec: DatasetSpec
) -> None:
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
def test_a_label_is_the_english_or_standardised_value_if_there_is_just_one(color: Any, expected: Value | None) -> None:
    assert parsed(color=color).values.get("colour") == expected


def test_a_word_of_another_language_never_becomes_a_class(shared: Path) -> None:
    """Else the language of a text gives away the class, and the classes double."""
    [german], [standard] = of(shared, "T5", least=1), of(shared, "T4", least=1)
    assert "colour" not in german.labels
    assert german.metadata["colour"] == "rot"
    assert standard.labels["colour"] == "red"


def test_a_class_is_what_enough_training_listings_have(shared: Path) -> None:
    """Counted in training alone: a class must not be there because of the test split."""
    [rare], [several] = of(shared, "T7"), of(shared, "T6")
    assert "colour" not in rare.labels
    assert rare.metadata["colour"] == "ochre"
    assert "colour" not in several.labels
    counts = Counter(
        one.labels["colour"]
        for one in {one.id.rpartition("/")[0]: one for one in examples(shared).values()}.values()
        if one.split == "train" and one.metadata["item_id"].startswith("B07")
    )
    assert max(counts.values()) < 240 * 0.5
    few = min(counts, key=lambda name: counts[name])
    tasks = {task.name: task.classes for task in AboSource(shared, least=counts[few] + 10).tasks}
    assert few not in tasks.get("colour", ())
    assert "LAMP" in tasks["product_type"]


def test_the_published_threshold_is_fifty() -> None:
    assert LEAST == 50


def test_a_tag_is_read_as_a_language() -> None:
    assert [language(tag) for tag in ("en_IN", "ja", "zh_CN", "EN_US", "eng_US", "xx_XX", "en-US", "")] == [
        "en",
        "ja",
        "zh",
        *[""] * 5,
    ]
    assert len(LANGUAGES) == 183


@given(st.dictionaries(st.sampled_from(["item_id", "item_name", "color", "main_image_id"]), st.none() | st.integers()))
def test_whatever_a_field_holds_is_a_reason_not_a_crash(changes: dict[str, Any]) -> None:
    assert reason(**changes).partition(" ")[0] in ("", "lacks", "item_id", "item_name", "color", "main_image_id")


def test_what_is_not_as_the_format_says_is_named() -> None:
    assert reason(item_id=" ") == "lacks its item_id"
    assert reason(item_id=7) == "item_id is no text"
    assert reason(item_name=[]) == "lacks its item_name"
    assert reason(color="red") == "color is no list of values"
    assert reason(color=[entry("en_US", "x") | {"standardized_values": "y"}]) == (
        "in its color, standardized_values is no list of texts"
    )


def test_a_missing_file_is_named_with_how_to_get_it(folder: Path) -> None:
    assert complaint(folder / "x") == f"There is no folder {folder / 'x'}. {GET}"
    (folder / "images/metadata/images.csv.gz").unlink()
    assert complaint(folder) == f"{folder} lacks images/metadata/images.csv.gz. {GET}"
    shutil.rmtree(folder / "listings")
    assert complaint(folder) == f"{folder} lacks listings/metadata/listings_0.json.gz and 16 more. {GET}"


def test_a_subset_of_the_listings_is_taken_with_the_flag_alone(spec: DatasetSpec, folder: Path) -> None:
    for number in range(1, 16):
        (folder / f"listings/metadata/listings_{number:x}.json.gz").unlink()
    lines = [json.dumps(archive.listing(np.random.default_rng(n), n)) for n in range(300)]
    archive.write_lines(folder, "0", lines)
    lacks = f"{folder} lacks listings/metadata/listings_1.json.gz and 14 more. {GET} --allow-mismatch takes what is "
    with pytest.raises(DataError) as caught:
        open_archive(spec, DatasetRequest("abo", source=folder), download=False)
    assert str(caught.value) == f"{lacks}there, under another name."
    store = open_archive(spec, DatasetRequest("abo", source=folder, allow_mismatch=True), download=False)
    assert (store.name, store.released) == ("abo-mismatched", False)


def test_a_fragment_is_allow_mismatch(spec: DatasetSpec, shared: Path) -> None:
    """No fact of the card is verified; that is no reason to take a hundred listings for all of them."""
    with pytest.raises(DataError) as caught:
        prepare(spec, AboSource(shared, least=3))
    assert "examples: the card says about 160000, the data has " in str(caught.value)
    assert "too few to be the release" in str(caught.value)
    assert "--allow-mismatch takes it nevertheless" in str(caught.value)
    store = prepare(spec, AboSource(shared, least=3), released=False)
    assert store.name == "abo-mismatched"
    assert any("too few to be the release" in text for text in store.info["differences"])
    found = verify(Dataset(spec, store, "cc-by-4.0"))
    good = [one.text for one in found if one.verdict is Verdict.GOOD][1:]
    assert good == [f"fingerprint {store.fingerprint}, computed again from rows and images"]
    assert "unverified in its card (abo.md), so not vouched for: languages, tasks, splits, images" in [
        one.text for one in found if one.verdict is Verdict.WARNING
    ]


def test_original_images_will_do_and_none_will_not(folder: Path) -> None:
    small = AboSource(folder).identity
    (folder / "images/small").rename(folder / "images/original")
    original = AboSource(folder)
    key, read = next(original.images())
    assert read()[:2] == b"\xff\xd8"
    assert key == "0000MAIN+L"
    assert original.identity != small
    (folder / "images/original").rename(folder / "images/spins")
    assert complaint(folder) == f"{folder} lacks the folder images/small. {GET}"


def test_listings_that_are_cut_short_are_named(folder: Path) -> None:
    path = folder / "listings/metadata/listings_3.json.gz"
    path.write_bytes(path.read_bytes()[:-20])
    assert complaint(folder) == (
        f"{path} is damaged (Compressed file ended before the end-of-stream marker was reached); fetch it again."
    )


def test_a_table_of_images_without_a_column_is_named(folder: Path) -> None:
    archive.write_images(folder, {}, archive.COLUMNS[:3])
    assert complaint(folder) == "images.csv.gz lacks the column path; it has image_id, height, width."


def test_a_image_with_two_paths_is_named(folder: Path) -> None:
    path = folder / "images/metadata/images.csv.gz"
    path.write_bytes(gzip.compress(b"image_id,height,width,path\n0000MAIN+L,1,1,a.jpg\n0000MAIN+L,1,1,b.jpg\n"))
    assert complaint(folder) == "images.csv.gz, row 2: 0000MAIN+L has another path already; fetch it again."


@pytest.mark.parametrize("path", ["../x.jpg", "/etc/x.jpg", "00/../../x.jpg", "..\\x.jpg", "C:/x.jpg"])
def test_no_path_leads_out_of_the_folder(folder: Path, path: str) -> None:
    (folder / "images/x.jpg").write_bytes(b"secret")
    archive.write_images(folder, {"0000MAIN+L": path})
    _, read = next(AboSource(folder).images())
    with pytest.raises(DataError) as caught:
        read()
    assert str(caught.value) == f'its path "{path}" leaves the folder of images'


def test_listings_in_which_nothing_differs_have_no_task(folder: Path) -> None:
    line = json.dumps(archive.listing(np.random.default_rng(0), 1))
    for number in range(16):
        archive.write_lines(folder, f"{number:x}", [line] if number == 0 else [])
    assert complaint(folder) == "The listings have no attribute with two classes; fetch abo-listings.tar again."


def test_images_that_come_later_are_another_identity(folder: Path) -> None:
    """Else a data set that was prepared half-unpacked would stay so."""
    before = AboSource(folder).identity
    assert AboSource(folder).identity == before
    (folder / "images/small/00/more.jpg").write_bytes(b"x")
    assert AboSource(folder).identity != before
    os.utime(folder / "listings/metadata/listings_0.json.gz", ns=(1, 1))
    assert AboSource(folder).identity["tables"] != before["tables"]


def test_examples_come_the_same_each_time_and_images_are_read_when_asked_for(shared: Path) -> None:
    source = AboSource(shared, least=3)
    assert list(source.examples()) == list(source.examples())
    assert [key for key, _ in source.images()] == list(source.survey.images)
    assert source.size == 240 + 3  # T14 to T16 name images that aren't there


def test_the_order_of_the_files_moves_no_listing_to_another_split(folder: Path) -> None:
    before = {key: (one.split, one.cluster) for key, one in examples(folder).items()}
    names = [folder / f"listings/metadata/listings_{number}.json.gz" for number in "0f"]
    first, last = (name.read_bytes() for name in names)
    names[0].write_bytes(last)
    names[1].write_bytes(first)
    assert {key: (one.split, one.cluster) for key, one in examples(folder).items()} == before


def test_the_card_warns_of_what_nobody_has_seen(
    spec: DatasetSpec, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mmeval.data.differences.LEAST", 0)
    store = prepare(spec, AboSource(folder, least=3))
    assert store.released
    assert "number of classes of product_type: the card says 576, the data has 3" in store.info["differences"]
    assert spec.card is not None
    assert read_card(spec.card, "with-bullets").name == "abo"


def test_listings_without_any_use_say_why(spec: DatasetSpec, folder: Path) -> None:
    lines = [json.dumps(archive.listing(np.random.default_rng(n), n) | {"main_image_id": "gone"}) for n in range(20)]
    for number in range(16):
        archive.write_lines(folder, f"{number:x}", lines if number == 0 else [])
    with pytest.raises(DataError) as caught:
        prepare(spec.model_copy(update={"card": None}), AboSource(folder), released=False)
    assert str(caught.value) == (
        "All rows of the source were rejected, as listings_0.json.gz, row 1: gone: images.csv.gz has no row of it."
    )


def test_a_rejected_line_is_passed_on_as_it_is(folder: Path) -> None:
    archive.write_lines(folder, "0", ["nonsense"])
    first = next(AboSource(folder, least=1).examples())
    assert first == Rejected("listings_0.json.gz, row 1", "not JSON (Expecting value: line 1 column 1 (char 0))")

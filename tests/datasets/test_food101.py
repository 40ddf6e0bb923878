"""The data set food101: its published forms, their defects, and folders that are not UPMC Food-101."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmeval import DatasetSpec
from mmeval.data.card import read_card
from mmeval.data.prepare.prepare import images_folder, prepare
from mmeval.data.store import REJECTED, Store
from mmeval.datasets.food101 import register_datasets
from mmeval.datasets.food101.names import ClassNameMask, class_of, normalized
from mmeval.datasets.food101.source import CARD, GET
from mmeval.errors import DataError
from tests.archives import food

CLASSES = read_card(CARD).tasks["dish"]
TITLES = "texts/train_titles.csv"


@pytest.fixture
def spec() -> DatasetSpec:
    specs: list[DatasetSpec] = []
    register_datasets(specs.append)
    return specs[0]


@pytest.fixture
def kaggle(tmp_path: Path) -> Path:
    return food.write(tmp_path / "kaggle")


@pytest.fixture
def prepared(spec: DatasetSpec) -> Callable[..., Store]:
    def make(folder: Path, variant: str = "") -> Store:
        named = spec.model_copy(update={"variant": variant})
        return prepare(named, spec.archive.open(folder, variant), released=False)

    return make


def rows(store: Store) -> dict[str, dict[str, Any]]:
    return {row["id"]: row for row in store.examples.to_pylist()}


def rejected(store: Store) -> dict[str, str]:
    import pyarrow.parquet as pq

    return {row["where"]: row["reason"] for row in pq.read_table(store.folder / REJECTED).to_pylist()}


def add(folder: Path, *lines: str, table: str = TITLES) -> int:
    """Append lines to a table, and return the number of its records before."""
    before = (folder / table).read_text(encoding="utf-8")
    (folder / table).write_text(before + "".join(line + "\n" for line in lines), encoding="utf-8")
    return before.count(".jpg,") if table.endswith(".csv") else before.count("\n")


def complaint(spec: DatasetSpec, folder: Path, variant: str = "") -> str:
    with pytest.raises(DataError) as caught:
        list(spec.archive.open(folder, variant).examples())
    return str(caught.value)


def test_images_and_titles_are_examples_even_without_the_other(kaggle: Path, prepared: Callable[..., Store]) -> None:
    """The first row of a table counts, and a slice tells which examples lack an image or a title."""
    store = prepared(kaggle)
    assert store.rejected_count == 0
    assert (store.image_count, sum(store.split_sizes.values()), store.split_sizes["test"]) == (298, 300, 60)
    kinds = Counter((row["split"] == "test", row["slice:modalities"]) for row in rows(store).values())
    assert kinds == {
        (False, "both"): 237,
        (False, "image only"): 2,
        (False, "text only"): 1,
        (True, "both"): 57,
        (True, "image only"): 2,
        (True, "text only"): 1,
    }
    first = (kaggle / "texts" / "test_titles.csv").read_text(encoding="utf-8").split(",")[0]
    assert rows(store)[first]["slice:modalities"] == "both"


def test_classes_are_sorted_names(kaggle: Path, prepared: Callable[..., Store]) -> None:
    """Other projects number them in another order."""
    store = prepared(kaggle)
    assert store.tasks[0].classes == CLASSES == tuple(sorted(CLASSES))
    assert len(CLASSES) == 101
    assert all(CLASSES[row["label:dish"]] == class_of(file) for file, row in rows(store).items())


def test_titles_are_unchanged(kaggle: Path, prepared: Callable[..., Store]) -> None:
    """Titles such as None, NA and null are texts, though pandas reads them as missing values."""
    texts = {row["text"] for row in rows(prepared(kaggle)).values()}
    assert {*food.ODD_TITLES} <= texts


@given(st.sampled_from(CLASSES), st.from_regex(r"[0-9][0-9-]{0,5}", fullmatch=True))
def test_class_is_everything_before_the_last_underscore(name: str, number: str) -> None:
    """139 file names have a second number, and class names have underscores."""
    assert class_of(f"{name}_{number}.jpg") == name


@pytest.mark.parametrize("file", ["cheese_plate.jpg", "pho_7.png", "_7.jpg", "pho_7a.jpg", "pho_7.jpg.jpg", ""])
def test_other_file_names_have_no_class(file: str) -> None:
    assert class_of(file) is None


@pytest.mark.parametrize(
    ("title", "masked"),
    [
        ("Best Cup Cakes ever", "Best ever"),
        ("Best cupcake, ever", "Best , ever"),
        ("CUP-CAKES & hot dogs", "&"),
        ("Crème brûlée (au four)", "(au four)"),
        ("Cre\u0300me bru\u0302le\u0301e", ""),
        ("Red velvet cake with ice_cream", "with"),
        ("Taco night, tacos!", "night, !"),
        ("Photos of phoenix", "Photos of phoenix"),
        ("A steakhouse  in  two  spaces", "A steakhouse  in  two  spaces"),
        ("Brulée of tuna", "Brulée of tuna"),
        ("", ""),
    ],
)
def test_class_names_are_masked_and_nothing_else(title: str, masked: str) -> None:
    """A word that only begins like a class name stays."""
    assert ClassNameMask(CLASSES).masked(title) == masked


@given(st.lists(st.one_of(st.sampled_from(["hot", "dogs", "pho", "Taco", "\u0301", "s", "-"]), st.text(max_size=3))))
def test_masked_title_contains_no_class_name(words: list[str]) -> None:
    """Not even a name that masking another name joins."""
    names = ClassNameMask(["tacos", "pho", "hot_dog"])
    masked = names.masked(" ".join(words))
    assert not any(names.is_in(masked, name) for name in ("tacos", "pho", "hot_dog"))


def test_masked_variant_has_the_same_rows_splits_and_slices(kaggle: Path, prepared: Callable[..., Store]) -> None:
    """So that its scores can be compared with those on unmasked titles."""
    plain, masked = rows(prepared(kaggle)), rows(prepared(kaggle, "title-masked"))
    assert list(plain) == list(masked)
    assert all(masked[file] | {"text": row["text"]} == row for file, row in plain.items())
    assert sum(row["text"] != masked[file]["text"] for file, row in plain.items()) > 150
    names = ClassNameMask(CLASSES)
    for file, row in plain.items():
        assert (row["slice:class_name_in_title"] == "yes") == names.is_in(row["text"], class_of(file) or "")
        assert not names.is_in(masked[file]["text"], class_of(file) or "")


def test_variants_share_the_images(kaggle: Path, spec: DatasetSpec) -> None:
    """So that 90,704 images are prepared once."""
    plain = images_folder(spec, spec.archive.open(kaggle, ""))
    assert plain == images_folder(
        spec.model_copy(update={"variant": "title-masked"}), spec.archive.open(kaggle, "title-masked")
    )


def test_validation_and_train_share_no_title(kaggle: Path, prepared: Callable[..., Store]) -> None:
    """Otherwise checkpoints would be selected by memorized titles."""
    examples = rows(prepared(kaggle)).values()
    titles = {
        split: {normalized(row["text"]) for row in examples if row["split"] == split} - {""}
        for split in ("train", "validation", "test")
    }
    assert len(titles["validation"]) > 10
    assert not titles["train"] & titles["validation"]
    assert {row["slice:title_seen_in_train"] for row in examples if row["split"] == "validation"} == {"no"}
    for row in examples:
        if row["split"] == "test":
            assert row["slice:title_seen_in_train"] == ("yes" if normalized(row["text"]) in titles["train"] else "no")
    shared = [row for row in examples if row["text"] == food.SHARED]
    assert {row["slice:title_seen_in_train"] for row in shared} == {"yes"}
    assert len({row["cluster"] for row in shared}) == 1
    untitled = [row for row in examples if not row["text"]]
    assert len({row["cluster"] for row in untitled}) == len(untitled) > 1


def test_missing_row_does_not_change_the_split_of_others(kaggle: Path, prepared: Callable[..., Store]) -> None:
    """So that two users whose folders differ in an image train on the same rows."""
    before = {file: row["split"] for file, row in rows(prepared(kaggle)).items()}
    lines = (kaggle / TITLES).read_text(encoding="utf-8").splitlines(keepends=True)
    (kaggle / TITLES).write_text("".join(lines[5:40][::-1] + lines[40:]), encoding="utf-8")
    after = {file: row["split"] for file, row in rows(prepared(kaggle)).items() if row["text"]}
    assert all(before[file] == split for file, split in after.items())


def test_order_of_examples_depends_on_names_alone(kaggle: Path, prepared: Callable[..., Store]) -> None:
    """The same data must have the same fingerprint, in any order of the table or folder."""
    store = prepared(kaggle)
    text = (kaggle / "texts" / "test_titles.csv").read_text(encoding="utf-8")
    lines = text.replace("Two\nlines", "Two\0lines").splitlines(keepends=True)
    turned = "".join(lines[::-1]).replace("\0", "\n")
    (kaggle / "texts" / "test_titles.csv").write_text(turned, encoding="utf-8")
    again = prepared(kaggle)
    assert again.folder != store.folder
    assert again.fingerprint == store.fingerprint


def test_mmbt_has_its_own_validation_and_hard_rows(tmp_path: Path, prepared: Callable[..., Store]) -> None:
    store = prepared(food.write(tmp_path / "mmbt", "mmbt"), "mmbt")
    dev = [json.loads(line) for line in (tmp_path / "mmbt" / "dev.jsonl").read_text().splitlines()]
    hard = [json.loads(line) for line in (tmp_path / "mmbt" / "test_hard_gt.jsonl").read_text().splitlines()]
    examples = rows(store)
    assert {file for file, row in examples.items() if row["split"] == "validation"} == {
        Path(row["img"]).name for row in dev
    }
    assert {file for file, row in examples.items() if row["slice:hard"] == "yes"} == {
        Path(row["img"]).name for row in hard
    }
    assert examples[Path(dev[3]["img"]).name]["text"] == dev[3]["text"]
    (tmp_path / "mmbt" / "test_hard_gt.jsonl").unlink()
    assert "hard" not in prepared(tmp_path / "mmbt", "mmbt").slices


def test_bad_rows_are_rejected_with_their_reason(kaggle: Path, prepared: Callable[..., Store]) -> None:
    there = next((kaggle / "images" / "train" / "tacos").iterdir()).name
    count = add(
        kaggle,
        "pho_1.jpg,A title,tacos",
        "pho.jpg,A title,pho",
        "pho_2.jpg,A title",
        "noodles_3.jpg,A title,noodles",
        "pho_4.jpg, ,pho",
        f"{there},Another title,tacos",
    )
    (kaggle / "images" / "test" / "tacos" / "pho_9.jpg").write_bytes(b"")
    (kaggle / "images" / "test" / "tacos" / "tacos.jpg").write_bytes(b"")
    (kaggle / "images" / "test" / "tacos" / "._tacos_1.jpg").write_bytes(b"")
    (kaggle / "images" / "test" / "tacos" / "tacos_9999.jpg").write_bytes(b"no image")
    assert rejected(prepared(kaggle)) == {
        f"{TITLES}, row {count + 1}": 'its class is "tacos", but its file pho_1.jpg is named after "pho"',
        f"{TITLES}, row {count + 2}": '"pho.jpg" is not named CLASS_NUMBER.jpg',
        f"{TITLES}, row {count + 3}": "2 cells where a row has 3: file, title, class",
        f"{TITLES}, row {count + 4}": '"noodles" is not a class of Food-101',
        f"{TITLES}, row {count + 5}": "has neither a title nor an image",
        f"{TITLES}, row {count + 6}": f'the id "{there}" belongs to another example',
        "images/test/tacos/pho_9.jpg": "is in the folder tacos of images/test",
        "images/test/tacos/tacos.jpg": "is not named CLASS_NUMBER.jpg",
        "images/test/tacos/tacos_9999.jpg": "images/test/tacos/tacos_9999.jpg: not an image in a supported format",
    }


def test_bad_rows_of_mmbt_are_rejected_with_their_reason(tmp_path: Path, prepared: Callable[..., Store]) -> None:
    folder = food.write(tmp_path / "mmbt", "mmbt")
    wrong = [
        {"id": "1", "label": "tacos", "text": "-", "img": "images/train/pho/pho_1.jpg"},
        {"id": "2", "label": "pho", "text": None, "img": "images/train/pho/pho_2.jpg"},
        {"id": "3", "label": "pho", "text": "-"},
        {"id": "4", "label": "pho", "text": "", "img": "../../pho/pho_3.jpg"},
    ]
    count = add(folder, *map(json.dumps, wrong), table="train.jsonl")
    hard = add(folder, json.dumps(wrong[3] | {"text": "-"}), table="test_hard_gt.jsonl")
    assert rejected(prepared(folder, "mmbt")) == {
        f"train.jsonl, row {count + 1}": 'its class is "tacos", but its file pho_1.jpg is named after "pho"',
        f"train.jsonl, row {count + 2}": "text is not a text",
        f"train.jsonl, row {count + 3}": "lacks img",
        f"train.jsonl, row {count + 4}": "has neither a title nor an image",
        f"test_hard_gt.jsonl, row {hard + 1}": "is not a row of test.jsonl",
    }


def test_wrong_sources_are_recognized(tmp_path: Path, kaggle: Path, spec: DatasetSpec) -> None:
    expected = {
        "nothing": f"There is no folder {tmp_path / 'nothing'}.",
        "a.zip": f"{tmp_path / 'a.zip'} is a zip file; unpack it and give the folder that has the images and the "
        "titles.",
        "a.csv": f"{tmp_path / 'a.csv'} is a file; give the folder that has the images and the titles.",
    }
    (tmp_path / "a.zip").touch()
    (tmp_path / "a.csv").touch()
    for name, message in expected.items():
        assert complaint(spec, tmp_path / name) == message
    (kaggle / TITLES).unlink()
    assert complaint(spec, kaggle) == f"{kaggle} lacks the file {TITLES}; give the folder that was unpacked."
    shutil.rmtree(kaggle / "images" / "test")
    lacks = f"{kaggle} lacks the folder images/test and the file {TITLES}"
    assert complaint(spec, kaggle) == f"{lacks}; give the folder that was unpacked."
    (kaggle / "texts_txt").mkdir()
    pages = "it has the texts of whole pages (texts_txt), which are another task."
    assert complaint(spec, kaggle) == f"{lacks}; {pages} {GET}"
    (kaggle / "meta").mkdir()
    (kaggle / "meta" / "classes.txt").touch()
    ethz = f"{kaggle} holds ETHZ Food-101, which has other images and no titles."
    assert complaint(spec, kaggle) == f"{ethz} {GET}"


def test_error_names_the_variant_that_reads_the_folder(tmp_path: Path, kaggle: Path, spec: DatasetSpec) -> None:
    mmbt = food.write(tmp_path / "mmbt", "mmbt")
    lacks = f"{mmbt} lacks the file {TITLES} and the file texts/test_titles.csv"
    assert complaint(spec, mmbt) == f"{lacks}; it has MMBT's jsonl files, which food101:mmbt reads."
    message = complaint(spec, mmbt, "title-masked")
    assert message == f"{lacks}; it has MMBT's jsonl files, which food101:mmbt-title-masked reads."
    lacks = f"{kaggle} lacks the file train.jsonl and the file dev.jsonl and the file test.jsonl"
    titles = "it has the titles of the Kaggle copy, which"
    assert complaint(spec, kaggle, "mmbt") == f"{lacks}; {titles} food101 reads."
    assert complaint(spec, kaggle, "mmbt-title-masked") == f"{lacks}; {titles} food101:title-masked reads."


def test_titles_without_any_image_are_refused(kaggle: Path, spec: DatasetSpec) -> None:
    """Otherwise images in another folder would silently leave 22,716 titles without one."""
    shutil.rmtree(kaggle / "images" / "test")
    (kaggle / "images" / "test").mkdir()
    first = (kaggle / "texts" / "test_titles.csv").read_text(encoding="utf-8").split(",")[0]
    assert complaint(spec, kaggle) == (
        f"None of the 59 images that texts/test_titles.csv names is in images/test, such as {first}; "
        "give the folder that has the images beside the titles."
    )


def test_table_that_is_not_utf8_is_named(kaggle: Path, spec: DatasetSpec) -> None:
    with (kaggle / TITLES).open("ab") as file:
        file.write("pho_1.jpg,phở,pho\n".encode("utf-16-le"))
    assert complaint(spec, kaggle).startswith(f"{TITLES} is not UTF-8 (byte 0x")


def test_changed_images_and_titles_change_the_identity(kaggle: Path, spec: DatasetSpec) -> None:
    """So that a Store of an older download is not used."""
    seen = {str(spec.archive.open(kaggle, "").identity)}
    add(kaggle, "pho_1.jpg,A title,pho")
    seen.add(str(spec.archive.open(kaggle, "").identity))
    next((kaggle / "images" / "test" / "tacos").iterdir()).write_bytes(b"")
    seen.add(str(spec.archive.open(kaggle, "").identity))
    assert len(seen) == 3


def test_incomplete_data_is_refused(kaggle: Path, spec: DatasetSpec) -> None:
    """The message has the counts, and the option that accepts the data."""
    with pytest.raises(DataError) as caught:
        prepare(spec, spec.archive.open(kaggle, ""))
    assert str(caught.value) == (
        "food101 differs from its data card (food101.md): examples in test: the card says 22716, the data has 60; "
        "examples in train+validation: the card says 67988, the data has 240; images: the card says 90704, the data "
        "has 298. --allow-mismatch accepts it, and marks every score of it."
    )


def test_image_of_a_contradictory_row_is_no_example(kaggle: Path, prepared: Callable[..., Store]) -> None:
    """The row is rejected because its class is unclear, so its image must not become an example without a title."""
    whole = rows(prepared(kaggle))
    title = next(line for line in (kaggle / TITLES).read_text(encoding="utf-8").splitlines() if ".jpg," in line)
    file, _, label = title.split(",")[0], "", title.rsplit(",", 1)[1]
    other = next(file for file in whole if not file.startswith(label)).rsplit("_", 1)[0]
    text = (kaggle / TITLES).read_text(encoding="utf-8").replace(title, f"{title.rsplit(',', 1)[0]},{other}")
    (kaggle / TITLES).write_text(text, encoding="utf-8")
    store = prepared(kaggle)
    assert f'its class is "{other}", but its file {file} is named after "{label}"' in rejected(store).values()
    assert rows(store).keys() == whole.keys() - {file}

"""Splits depend on the content of rows, not on their order; rows that belong together stay in one split."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmeval.data.table.images import ImageReference
from mmeval.data.table.parsing import ParsedRow
from mmeval.data.table.scan import Scan
from mmeval.errors import DataError
from tests.data.table.shop import jpeg, products, read, shop, source, split_by_id, texts, write

FEW = st.integers(0, 25)
SHARING = st.lists(st.tuples(FEW, FEW, FEW, st.integers(0, 3)), min_size=60, max_size=120)


def parsed(number: int, id_: int = 0, image: int = 0, group: int = 0, label: int = 0, split: str = "") -> ParsedRow:
    """A row; 0 is no id, image or group."""
    return ParsedRow(
        id=f"i{id_}" if id_ else "",
        text=f"text {number}",
        language="de",
        labels={"label": f"c{label}"},
        image=ImageReference(f"p{image}", "p", image) if image else None,
        split=split,
        group=f"g{group}" if group else "",
        slices={},
        metadata={},
        where=f"row {number}",
    )


def scanned(rows: list[ParsedRow]) -> dict[str, str]:
    """Split by the text of a row, which is its own."""
    scan = Scan(rows, ["label"], "shop.csv")
    return {row.text: split for row, split in zip(rows, scan.splits(), strict=True)}


def spread(shared: list[tuple[int, int, int, int]]) -> list[ParsedRow]:
    """Rows that share values as drawn, and 60 that share nothing, so that every split gets some."""
    lone = [parsed(1000 + number, label=number % 4) for number in range(60)]
    return [*(parsed(number, *values) for number, values in enumerate(shared)), *lone]


@settings(max_examples=30, deadline=None)
@given(SHARING, st.randoms(use_true_random=False))
def test_the_order_of_rows_does_not_change_the_splits(
    shared: list[tuple[int, int, int, int]], draw: random.Random
) -> None:
    """A table that is exported again must not move test rows into training."""
    rows = spread(shared)
    before = scanned(rows)
    draw.shuffle(rows)
    assert scanned(rows) == before


@settings(max_examples=30, deadline=None)
@given(SHARING)
def test_rows_that_share_a_value_are_in_one_split(shared: list[tuple[int, int, int, int]]) -> None:
    """A model must not be tested on products that it was trained on."""
    rows = spread(shared)
    splits, by_key = scanned(rows), defaultdict(set)
    for row in rows:
        for key in filter(None, (row.id, row.group, row.image and row.image.key)):
            by_key[key].add(splits[row.text])
    assert all(len(splits_of_key) == 1 for splits_of_key in by_key.values())


def test_the_same_photo_under_two_names_is_in_one_split(tmp_path: Path) -> None:
    """Shops copy photos under new names."""
    rows = []
    for number in range(80):
        (tmp_path / f"{number}.jpg").write_bytes(jpeg(number // 2))
        rows.append({"image": f"{number}.jpg", "text": f"t{number}", "label": "ab"[number // 2 % 2]})
    examples, _ = read(write(tmp_path / "a.csv", rows))
    assert all(first.split == second.split for first, second in zip(examples[::2], examples[1::2], strict=True))
    assert all(first.cluster == second.cluster for first, second in zip(examples[::2], examples[1::2], strict=True))
    assert {example.split for example in examples} == {"train", "validation", "test"}


def test_splits_are_stratified_and_rare_classes_together(tmp_path: Path) -> None:
    """A catalogue of many small classes would otherwise lack them in test, or lack validation altogether."""
    rows = [{"text": f"t{number}", "label": f"c{number // 5}"} for number in range(200)]
    counts = Counter(example.split for example in read(write(tmp_path / "rare.csv", rows))[0])
    assert counts == {"train": 160, "validation": 20, "test": 20}
    rows = [{"text": f"t{number}", "label": f"c{number % 2}"} for number in range(200)] + [
        {"text": "x", "label": "one"}
    ]
    examples, _ = read(write(tmp_path / "usual.csv", rows))
    per_class = Counter((example.labels["label"], example.split) for example in examples)
    assert {per_class["c0", "test"], per_class["c1", "test"], per_class["c0", "train"] // 8} == {10}
    assert per_class["one", "train"] == 1, "what is alone can only be learnt from"


def test_rows_with_the_same_id_get_the_language_and_the_row_number(tmp_path: Path) -> None:
    """All languages of a product share its id."""
    rows = [*products(20), products(1)[0]]
    examples, aside = read(write(tmp_path / "a.csv", [{**row, "photo": ""} for row in rows]))
    assert not aside
    assert [example.id for example in examples[:4]] == ["S0/de/0", "S0/en", "S0/sk", "S1/de"]
    assert examples[-1].id == "S0/de/60"


def told(counts: dict[str, int]) -> list[ParsedRow]:
    rows = [split for split, count in counts.items() for _ in range(count)]
    return [parsed(number, label=number % 2, split=split) for number, split in enumerate(rows)]


def test_splits_of_the_table_are_kept(capsys: pytest.CaptureFixture[str]) -> None:
    rows = told({"train": 20, "validation": 4, "test": 3})
    assert list(scanned(rows).values()) == [row.split for row in rows]
    assert capsys.readouterr().err == "Splits of shop.csv: as in the table, 20 train, 4 validation, 3 test\n"


def test_a_missing_validation_split_is_taken_from_train_without_groups_of_test(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A model must not be selected on products of the test split."""
    rows = told({"train": 100, "test": 20})
    rows[0] = rows[0]._replace(id="same")
    rows[-1] = rows[-1]._replace(id="same")
    assert Counter(scanned(rows).values()) == {"train": 90, "validation": 10, "test": 20}
    assert capsys.readouterr().err == (
        "Splits of shop.csv: as in the table, with a validation split taken from train: "
        "90 train, 10 validation, 20 test\n"
    )


def test_a_table_with_only_train_is_split(capsys: pytest.CaptureFixture[str]) -> None:
    """Many Hub data sets have only a split "train"."""
    assert Counter(scanned(told({"train": 100})).values()) == {"train": 80, "validation": 10, "test": 10}
    assert capsys.readouterr().err == "Splits of shop.csv: created, 80 train, 10 validation, 10 test\n"


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        (
            {"train": 20, "validation": 20},
            "shop.csv has train and validation but no test rows; create new splits with --columns split=.",
        ),
        (
            {"validation": 9, "test": 9},
            "shop.csv has test and validation but no train rows; create new splits with --columns split=.",
        ),
        (
            {"train": 9, "": 9, "test": 9},
            "shop.csv: the names of some files tell a split, those of others don't; rename them, or create "
            "new splits with --columns split=.",
        ),
        (
            {"": 3},
            "shop.csv is too small to be split into train, validation, test: its 3 rows are 3 groups that share "
            "an id, an image or a text, and validation gets none; add rows, or a column of splits.",
        ),
    ],
)
def test_unusable_splits_are_refused(counts: dict[str, int], message: str) -> None:
    with pytest.raises(DataError) as error:
        scanned(told(counts))
    assert str(error.value) == message


def test_a_group_of_a_tenth_of_the_rows_is_reported(capsys: pytest.CaptureFixture[str]) -> None:
    """A placeholder image explains why a split has an unexpected size."""
    scanned([parsed(number, image=1 if number < 30 else 0, label=number % 2) for number in range(200)])
    warning, _ = capsys.readouterr().err.splitlines()
    assert warning == (
        "30 of 200 rows share an id, an image, a group or a text, so all are in one split; 30 of them have the image p1"
    )


def test_label_columns_with_too_few_or_too_many_classes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path / "a.csv", [cells | {"season": "", "brand": "x"} for cells in texts()])
    for column, has in (("season", "no class at all"), ("brand", 'only the class "x"')):
        with pytest.raises(DataError) as error:
            read(path, f"label=label+{column}")
        assert str(error.value) == f"a.csv: {column} has {has}; a task needs two, so choose another label column."
    capsys.readouterr()
    assert len(source(path, "text=label,label=text").tasks[0].classes) == 40
    assert "text has 40 classes in 40 rows; choose another column with --columns label=" in capsys.readouterr().err


def test_a_table_without_usable_rows_is_refused_with_a_reason(tmp_path: Path) -> None:
    """The message helps a user who forgot --images."""
    shop(tmp_path)
    (tmp_path / "photos").rename(tmp_path / "elsewhere")
    with pytest.raises(DataError) as error:
        read(tmp_path / "shop.csv")
    assert str(error.value) == (
        "None of the 120 rows of shop.csv can be used, for example shop.csv, row 1: the image's file photos/0.jpg "
        "is missing; set the folder that image paths start from with --images."
    )


def test_only_rows_of_a_missing_photo_are_rejected(tmp_path: Path) -> None:
    shop(tmp_path)
    before = split_by_id(read(tmp_path / "shop.csv")[0])
    (tmp_path / "photos" / "7.jpg").unlink()
    examples, aside = read(tmp_path / "shop.csv")
    assert {rejected.reason for rejected in aside} == {"the image's file photos/7.jpg is missing"}
    assert {rejected.id for rejected in aside} == {"S7"}
    assert before.keys() - split_by_id(examples).keys() == {"S7/de", "S7/en", "S7/sk"}

"""Splits are carved by what rows hold, not by where they stand; what belongs together stays together."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmeval.data.table.images import Reference
from mmeval.data.table.parsing import Parsed
from mmeval.data.table.scan import Scan
from mmeval.errors import DataError
from tests.data.table.shop import jpeg, products, read, shop, source, split_by_id, texts, write

FEW = st.integers(0, 25)
SHARING = st.lists(st.tuples(FEW, FEW, FEW, st.integers(0, 3)), min_size=60, max_size=120)


def parsed(number: int, id_: int = 0, image: int = 0, group: int = 0, label: int = 0, split: str = "") -> Parsed:
    """A row; 0 is no id, image or group."""
    return Parsed(
        id=f"i{id_}" if id_ else "",
        text=f"text {number}",
        language="de",
        labels={"label": f"c{label}"},
        image=Reference(f"p{image}", "p", image) if image else None,
        split=split,
        group=f"g{group}" if group else "",
        slices={},
        metadata={},
        where=f"row {number}",
    )


def scanned(rows: list[Parsed]) -> dict[str, str]:
    """Split by the text of a row, which is its own."""
    scan = Scan(rows, ["label"], "shop.csv")
    return {row.text: split for row, split in zip(rows, scan.splits(), strict=True)}


def spread(shared: list[tuple[int, int, int, int]]) -> list[Parsed]:
    """Rows that share as drawn, and 60 that share nothing, so that there is something to carve."""
    lone = [parsed(1000 + number, label=number % 4) for number in range(60)]
    return [*(parsed(number, *one) for number, one in enumerate(shared)), *lone]


@settings(max_examples=30, deadline=None)
@given(SHARING, st.randoms(use_true_random=False))
def test_another_order_of_rows_is_the_same_split(shared: list[tuple[int, int, int, int]], draw: random.Random) -> None:
    """Else a table that is exported again moves test rows into training."""
    rows = spread(shared)
    before = scanned(rows)
    draw.shuffle(rows)
    assert scanned(rows) == before


@settings(max_examples=30, deadline=None)
@given(SHARING)
def test_rows_that_share_anything_stand_in_one_split(shared: list[tuple[int, int, int, int]]) -> None:
    """Else a model is tested on products that it was trained on."""
    rows = spread(shared)
    splits, by_key = scanned(rows), defaultdict(set)
    for row in rows:
        for key in filter(None, (row.id, row.group, row.image and row.image.key)):
            by_key[key].add(splits[row.text])
    assert all(len(found) == 1 for found in by_key.values())


def test_the_same_photo_under_two_names_stands_in_one_split(tmp_path: Path) -> None:
    """Else a shop that copies photos tests on what it trained on."""
    rows = []
    for number in range(80):
        (tmp_path / f"{number}.jpg").write_bytes(jpeg(number // 2))
        rows.append({"image": f"{number}.jpg", "text": f"t{number}", "label": "ab"[number // 2 % 2]})
    examples, _ = read(write(tmp_path / "a.csv", rows))
    assert all(first.split == second.split for first, second in zip(examples[::2], examples[1::2], strict=True))
    assert all(first.cluster == second.cluster for first, second in zip(examples[::2], examples[1::2], strict=True))
    assert {one.split for one in examples} == {"train", "validation", "test"}


def test_every_class_has_its_share_and_rare_ones_have_it_together(tmp_path: Path) -> None:
    """Else a catalogue of many small classes is never tested on them, or has no validation split at all."""
    rows = [{"text": f"t{number}", "label": f"c{number // 5}"} for number in range(200)]
    counts = Counter(one.split for one in read(write(tmp_path / "rare.csv", rows))[0])
    assert counts == {"train": 160, "validation": 20, "test": 20}
    rows = [{"text": f"t{number}", "label": f"c{number % 2}"} for number in range(200)] + [
        {"text": "x", "label": "one"}
    ]
    examples, _ = read(write(tmp_path / "usual.csv", rows))
    per_class = Counter((one.labels["label"], one.split) for one in examples)
    assert {per_class["c0", "test"], per_class["c1", "test"], per_class["c0", "train"] // 8} == {10}
    assert per_class["one", "train"] == 1, "what is alone can only be learnt from"


def test_rows_of_one_id_are_told_apart_by_language_then_by_number(tmp_path: Path) -> None:
    """Else all but one language of each product are rejected."""
    rows = [*products(20), products(1)[0]]
    examples, aside = read(write(tmp_path / "a.csv", [{**row, "photo": ""} for row in rows]))
    assert not aside
    assert [one.id for one in examples[:4]] == ["S0/de/0", "S0/en", "S0/sk", "S1/de"]
    assert examples[-1].id == "S0/de/60"


def told(counts: dict[str, int]) -> list[Parsed]:
    rows = [split for split, count in counts.items() for _ in range(count)]
    return [parsed(number, label=number % 2, split=split) for number, split in enumerate(rows)]


def test_told_splits_are_kept(capsys: pytest.CaptureFixture[str]) -> None:
    rows = told({"train": 20, "validation": 4, "test": 3})
    assert list(scanned(rows).values()) == [row.split for row in rows]
    assert capsys.readouterr().err == "Splits of shop.csv: as told, 20 train, 4 validation, 3 test\n"


def test_without_validation_it_is_carved_off_train_and_never_of_what_test_shares(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Else a model is chosen on products of the test split."""
    rows = told({"train": 100, "test": 20})
    rows[0] = rows[0]._replace(id="same")
    rows[-1] = rows[-1]._replace(id="same")
    assert Counter(scanned(rows).values()) == {"train": 90, "validation": 10, "test": 20}
    assert capsys.readouterr().err == (
        "Splits of shop.csv: as told, with a validation split carved off train: 90 train, 10 validation, 20 test\n"
    )


def test_train_alone_is_carved(capsys: pytest.CaptureFixture[str]) -> None:
    """A Hub data set often has a "train" that is all there is."""
    assert Counter(scanned(told({"train": 100})).values()) == {"train": 80, "validation": 10, "test": 10}
    assert capsys.readouterr().err == "Splits of shop.csv: carved, 80 train, 10 validation, 10 test\n"


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        (
            {"train": 20, "validation": 20},
            "shop.csv has train and validation but no test rows; --columns split= has all splits carved instead.",
        ),
        (
            {"validation": 9, "test": 9},
            "shop.csv has test and validation but no train rows; --columns split= has all splits carved instead.",
        ),
        (
            {"train": 9, "": 9, "test": 9},
            "shop.csv: the names of some files tell a split, those of others don't; rename them, or say "
            "--columns split= to have all splits carved.",
        ),
        (
            {"": 3},
            "shop.csv is too small to be carved into train, validation, test: its 3 rows are 3 groups that share "
            "an id, an image or a text, and validation gets none; add rows, or a column that says the split.",
        ),
    ],
)
def test_splits_that_can_not_be_had(counts: dict[str, int], message: str) -> None:
    with pytest.raises(DataError) as error:
        scanned(told(counts))
    assert str(error.value) == message


def test_a_placeholder_that_ties_a_tenth_of_the_rows_together_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    """Else nobody learns why a split has the wrong size."""
    scanned([parsed(number, image=1 if number < 30 else 0, label=number % 2) for number in range(200)])
    said, _ = capsys.readouterr().err.splitlines()
    assert said == (
        "30 of 200 rows share an id, an image, a group or a text, so all are in one split; "
        "the image p1 alone stands in 30"
    )


def test_labels_that_can_not_be_classes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path / "a.csv", [one | {"season": "", "brand": "x"} for one in texts()])
    for column, has in (("season", "no class at all"), ("brand", 'only the class "x"')):
        with pytest.raises(DataError) as error:
            read(path, f"label=label+{column}")
        assert str(error.value) == f"a.csv: {column} has {has}; a task needs two, so name another column as label."
    capsys.readouterr()
    assert len(source(path, "text=label,label=text").tasks[0].classes) == 40
    assert "text has 40 classes in 40 rows; --columns label= names another column" in capsys.readouterr().err


def test_where_no_row_can_be_used_one_says_why(tmp_path: Path) -> None:
    """Else forgetting --images is a riddle."""
    shop(tmp_path)
    (tmp_path / "photos").rename(tmp_path / "elsewhere")
    with pytest.raises(DataError) as error:
        read(tmp_path / "shop.csv")
    assert str(error.value) == (
        "None of the 120 rows of shop.csv can be used, as shop.csv, row 1: the image's file photos/0.jpg is not "
        "there; --images names the folder that images' paths start from."
    )


def test_a_missing_photo_sets_its_rows_aside_and_no_others(tmp_path: Path) -> None:
    shop(tmp_path)
    before = split_by_id(read(tmp_path / "shop.csv")[0])
    (tmp_path / "photos" / "7.jpg").unlink()
    examples, aside = read(tmp_path / "shop.csv")
    assert {one.reason for one in aside} == {"the image's file photos/7.jpg is missing"}
    assert {one.id for one in aside} == {"S7"}
    assert before.keys() - split_by_id(examples).keys() == {"S7/de", "S7/en", "S7/sk"}

"""Tables whose rows have several classes, in lists or behind a separator."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mmeval import DatasetRequest, Examples, Task, UserError
from mmeval.data.card import read_card
from mmeval.data.differences import differences
from mmeval.data.open.resolve import open_data
from mmeval.data.open.verify import Status, verify
from mmeval.data.open.write_card import card_of
from mmeval.data.request import Dataset
from mmeval.data.sample import sample
from mmeval.data.stats import stats
from mmeval.data.table.options import Columns, TableOptions, parse_columns, read_options, write_options
from mmeval.data.table.parsing import label_of
from mmeval.plugin.manager import Manager
from tests.data.table.shop import read, write

TAGS = ("big", "new", "red")
COLUMNS = "text=text,label=tags,label_separator=|"


def rows(count: int = 60) -> list[dict[str, Any]]:
    """Rows with the tags of the bits of their numbers; every eighth row has none."""
    return [
        {
            "text": f"text {number}",
            "tags": "|".join(tag for bit, tag in enumerate(TAGS) if number >> bit & 1) or "|",
            "kind": ("chair", "table")[number % 2],
            "lang": ("de", "en")[number % 2],
        }
        for number in range(count)
    ]


def opened(path: Path, columns: str) -> Dataset:
    return open_data(DatasetRequest(f"table:{path}", columns=columns), Manager())


def matrix(data: Dataset) -> np.ndarray:
    """The labels of all examples, in the order of the texts' numbers."""
    table = data.store.examples
    examples = Examples.of_table(data.store, table, "all")
    order = np.argsort([int(text.split()[1]) for text in examples.texts])
    return examples.labels("tags")[order]


EXPECTED = np.array([[number >> bit & 1 for bit in range(3)] for number in range(60)], np.int8)


@pytest.mark.parametrize(
    ("cell", "separator", "label"),
    [
        ("a|b", "|", ("a", "b")),
        (" b | a |b|", "|", ("b", "a")),
        ("a|b", "", "a|b"),
        ("a", "|", "a"),
        ("", "|", None),
        (None, "|", None),
        (float("nan"), "|", None),
        (" || ", "|", ()),
        ("a\tb", "\t", ("a", "b")),
        ("a b", " ", ("a", "b")),
        ("  ", " ", None),
        ([], "", ()),
        (["a"], "", ("a",)),
        (["b", " a ", None, "", "b"], "", ("b", "a")),
        ([3.0, "x"], "", ("3", "x")),
        ("a, b", ",", ("a", "b")),
        (3.0, "|", "3"),
    ],
)
def test_label_cells_are_split(cell: Any, separator: str, label: Any) -> None:
    assert label_of(cell, "tags", separator) == label


def test_a_separator_makes_a_multi_label_task(tmp_path: Path) -> None:
    data = opened(write(tmp_path / "shop.csv", rows()), COLUMNS)
    assert data.tasks == (Task("tags", TAGS, multilabel=True),)
    np.testing.assert_array_equal(matrix(data), EXPECTED)
    assert Status.BAD not in {check.status for check in verify(data)}


def test_lists_make_a_multi_label_task_without_a_separator(tmp_path: Path) -> None:
    lists = [row | {"tags": [tag for tag in row["tags"].split("|") if tag]} for row in rows()]
    (tmp_path / "shop.jsonl").write_text("\n".join(map(json.dumps, lists)))
    pq.write_table(pa.Table.from_pylist(lists), tmp_path / "shop.parquet")
    features = datasets.Features(
        {
            "text": datasets.Value("string"),
            "tags": datasets.List(datasets.ClassLabel(names=list(TAGS))),
            "lang": datasets.Value("string"),
        }
    )
    own = [{name: row[name] for name in features} for row in lists]
    datasets.Dataset.from_list(own, features=features).to_parquet(tmp_path / "hub.parquet")
    for name in ("shop.jsonl", "shop.parquet", "hub.parquet"):
        data = opened(tmp_path / name, "text=text,label=tags")
        assert data.tasks == (Task("tags", TAGS, multilabel=True),)
        np.testing.assert_array_equal(matrix(data), EXPECTED)


def test_a_label_column_without_the_separator_has_one_class_per_row(tmp_path: Path) -> None:
    data = opened(write(tmp_path / "shop.csv", rows()), "text=text,label=kind+tags,label_separator=|")
    assert data.tasks == (Task("kind", ("chair", "table")), Task("tags", TAGS, multilabel=True))


def test_an_empty_cell_is_no_label_and_separators_alone_are_none_of_the_classes(tmp_path: Path) -> None:
    table = rows()
    table[3]["tags"] = ""
    data = opened(write(tmp_path / "shop.csv", table), "text=text,label=kind+tags,label_separator=|")
    labels = matrix(data)
    assert labels[3].tolist() == [-1, -1, -1]
    assert labels[0].tolist() == [0, 0, 0]
    examples = Examples.of_table(data.store, data.store.examples, "all")
    assert examples.labelled_counts() == {"kind": 60, "tags": 59}
    assert examples.class_counts()["tags"] == tuple((EXPECTED[np.arange(60) != 3] == 1).sum(0))


def test_splits_hold_all_classes_even_if_every_row_has_its_own_set(tmp_path: Path) -> None:
    """Stratified by sets of classes, rows with a unique set would all be in train."""
    table = rows(200)
    for number, row in enumerate(table):
        row["tags"] += f"|own{number}" if number % 2 else ""
    examples, _ = read(write(tmp_path / "shop.csv", table), COLUMNS)
    counts = {split: sum(example.split == split for example in examples) for split in ("train", "validation", "test")}
    assert counts["train"] == 160
    assert min(counts.values()) >= 15
    odd = [example for example in examples if any(name.startswith("own") for name in example.labels["tags"])]
    assert any(example.split == "test" for example in odd)


def test_a_separator_that_no_cell_holds_is_an_error(tmp_path: Path) -> None:
    """A typo would otherwise make a class of every combination."""
    with pytest.raises(UserError) as error:
        opened(write(tmp_path / "shop.csv", rows()), "text=text,label=tags,label_separator=;")
    assert str(error.value) == (
        'shop.csv: no cell of tags holds the label_separator ";"; correct it in --columns, or leave it out if each row '
        "has one class."
    )


@pytest.mark.parametrize("separator", ["|", ",", ";", "\t", " ", "+", "="])
def test_separators_survive_command_line_python_and_toml(separator: str, tmp_path: Path) -> None:
    columns = Columns(text=("text",), label=("tags",), label_separator=separator)
    assert parse_columns(str(columns)) == columns
    request = DatasetRequest.of("x", columns={"text": "text", "label": ["tags"], "label_separator": separator})
    assert parse_columns(request.columns) == columns
    path = tmp_path / "shop.toml"
    write_options(path, TableOptions(source="shop.csv", columns=columns))
    assert read_options(path).columns == columns


def test_another_separator_is_another_store(tmp_path: Path) -> None:
    table = rows()
    for row in table:
        row["tags"] = row["tags"].replace("|", "|;")
    path = write(tmp_path / "shop.csv", table)
    first = opened(path, COLUMNS)
    second = opened(path, COLUMNS.replace("|", ";"))
    assert first.store.folder != second.store.folder
    assert first.tasks != second.tasks


def test_commands_show_multi_label_data(tmp_path: Path) -> None:
    """Stats, sample, card and datasets, as with other tasks."""
    data = opened(write(tmp_path / "shop.csv", rows()), COLUMNS)
    (task,) = stats(data.store).tasks
    assert (task.classes, task.unlabelled, task.not_in_train) == (3, 0, 0)
    assert task.commonest[1] == EXPECTED.sum(0).max()
    shown = sample(data.store, 100, label="red")
    assert len(shown) == EXPECTED[:, 2].sum()
    assert all("red" in preview.labels["tags"] for preview in shown)
    assert "(none)" in {preview.labels["tags"] for preview in sample(data.store, 100)}
    (card := tmp_path / "card.md").write_text(card_of(data), encoding="utf-8")
    assert read_card(card).multilabel == ("tags",)
    assert differences(read_card(card), data.store) == []
    splits = data.to_datasets()
    feature = splits["train"].features["tags"]
    assert feature == datasets.List(datasets.ClassLabel(names=list(TAGS)))

"""Preparation of examples: rows of the Store, and rejected rows with their reasons."""

from __future__ import annotations

import gc
import weakref
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import simplejpeg

from mmeval import DatasetSpec, Example, Task
from mmeval.api.source import Rejected
from mmeval.data.prepare.examples import LONGEST_TEXT, WrittenExamples, write_examples, write_rejected
from mmeval.data.prepare.prepare import prepare
from mmeval.data.store import REJECTED
from mmeval.errors import DataError

GOOD = Example("1", "text", "de", "train", {"t": "a"}, slices={"s": "x"}, where="shop.csv, row 1")


class Given:
    """A source of examples, without images."""

    identity = {"given": "1"}  # noqa: RUF012
    tasks = (Task("t", ("a", "b")), Task("u", ("c",)))
    size = 0

    def __init__(self, make: Callable[[], Iterator[Example | Rejected]]) -> None:
        self.make = make

    def images(self) -> Iterator[Any]:
        return iter(())

    def examples(self) -> Iterator[Example | Rejected]:
        return self.make()


class NoImages:
    """Prepared images: one good and one rejected."""

    rejected = {"bad.jpg": "the image has no bytes"}  # noqa: RUF012

    def rows(self) -> dict[str, int]:
        return {"good.jpg": 0}


def write(folder: Path, *examples: Example | Rejected) -> WrittenExamples:
    folder.mkdir(exist_ok=True)
    images: Any = NoImages()
    return write_examples(folder, Given(lambda: iter(examples)), images, "given")


def table(folder: Path) -> pa.Table:
    return pa.ipc.open_stream(pa.memory_map(str(folder / "examples-00000.arrow"))).read_all()


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"id": "0"}, 'the id "0" belongs to another example'),
        ({"language": "all"}, 'the language "all" is a reserved word of the score table'),
        ({"language": "gap"}, 'the language "gap" is a reserved word of the score table'),
        ({"labels": {"t": "mauve"}}, '"mauve" is not a class of t'),
        ({"labels": {"v": "a"}}, '"a" is not a class of v'),
        ({"image": "bad.jpg"}, "bad.jpg: the image has no bytes"),
        ({"text": "Schuhe \ud83d"}, "its text holds half a character (a lone surrogate)"),
        ({"cluster": "\udcff"}, "its cluster holds half a character (a lone surrogate)"),
        ({"slices": {"s": "\udcff"}}, "its s holds half a character (a lone surrogate)"),
    ],
)
def test_unusable_rows_are_rejected_with_place_and_reason(fields: dict[str, Any], reason: str, tmp_path: Path) -> None:
    written = write(tmp_path, replace(GOOD, id="0"), replace(GOOD, **fields), replace(GOOD, id="2", image="good.jpg"))
    assert written.rejected == [Rejected("shop.csv, row 1", reason, fields.get("id", "1"))]
    assert (written.count, table(tmp_path)["id"].to_pylist()) == (2, ["0", "2"])
    assert written.splits == {"train": 2}


def test_rejected_rows_with_invalid_texts_can_be_written(tmp_path: Path) -> None:
    """A file name that is not UTF-8 may be the reason for the rejection."""
    write_rejected(tmp_path / REJECTED, [Rejected("b\udcff.csv, row 1", 'no class: "\ud83d"', "Größe")])
    assert pq.read_table(tmp_path / REJECTED).to_pylist() == [
        {"where": "b\\udcff.csv, row 1", "id": "Größe", "reason": 'no class: "\\ud83d"'}
    ]


def test_without_rejected_rows_the_table_is_empty(tmp_path: Path) -> None:
    write_rejected(tmp_path / REJECTED, [])
    assert pq.read_table(tmp_path / REJECTED).schema.names == ["where", "id", "reason"]


def test_rows_rejected_by_the_source_are_kept(tmp_path: Path) -> None:
    rejected = Rejected("shop.csv, row 2", "lacks its price", "x")
    assert write(tmp_path, rejected, GOOD).rejected == [rejected]


def test_examples_with_unknown_labels_are_kept_and_the_labels_counted(tmp_path: Path) -> None:
    """The label of one task may be unknown: fashiongen has a subcategory that is not among the classes."""
    odd = [replace(GOOD, id=str(n), labels={"u": "c"}, unknown_labels={"t": "CULOTTES"}) for n in range(3)]
    written = write(tmp_path, *odd, replace(GOOD, id="9", unknown_labels={"t": "CULOTTES", "u": "x"}, labels={}))
    assert written.unknown == {"t": Counter({"CULOTTES": 4}), "u": Counter({"x": 1})}
    assert table(tmp_path)["label:t"].to_pylist() == [-1] * 4
    assert table(tmp_path)["label:u"].to_pylist() == [0, 0, 0, -1]


def test_unknown_labels_of_rejected_rows_do_not_count(tmp_path: Path) -> None:
    written = write(tmp_path, GOOD, replace(GOOD, unknown_labels={"t": "X"}))
    assert (len(written.rejected), written.unknown) == (1, {})


def test_every_field_of_an_example_has_a_column(tmp_path: Path) -> None:
    example = replace(GOOD, metadata={"price": "7"}, attributes={"brand": "Aigle"}, image="good.jpg", cluster="c")
    written = write(tmp_path, example, replace(example, id="2", attributes={"brand": "Birki"}, cluster="", image=None))
    assert written.attributes == {"brand": {"Aigle", "Birki"}}
    first, second = table(tmp_path).to_pylist()
    assert first == {
        "id": "1",
        "text": "text",
        "language": "de",
        "split": "train",
        "cluster": "c",
        "image": 0,
        "label:t": 0,
        "label:u": -1,
        "slice:s": "x",
        "metadata:price": "7",
        "attribute:brand": "Aigle",
    }
    assert (second["cluster"], second["image"]) == ("2", -1), "by default, an example is its own cluster"


@pytest.mark.parametrize(
    ("examples", "message"),
    [
        ([], "The source has no examples."),
        ([Rejected("row 1", "bad")], "All rows of the source were rejected, for example row 1: bad."),
        (
            [replace(GOOD, labels={"t": "z"}), replace(GOOD, labels={"t": "y"})],
            'All rows of the source were rejected, for example shop.csv, row 1: "z" is not a class of t.',
        ),
        (
            [GOOD, replace(GOOD, id="2", slices={"s": "x", "u": "y"})],
            "Example 2 has the slices ['s', 'u'], but others have ['s'].",
        ),
        ([GOOD, replace(GOOD, id="2", metadata={"m": ""})], "Example 2 has the metadata ['m'], but others have []."),
        (
            [replace(GOOD, image="none.jpg")],
            'Example 1 names the image "none.jpg", which the source does not have.',
        ),
        ([GOOD, replace(GOOD, id="2", slices={"s": 3})], "Example 2: its s must be a text, but is 3."),
        ([replace(GOOD, text=None)], "Example 1: its text must be a text, but is None."),
    ],
)
def test_an_inconsistent_source_is_refused(examples: list[Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        write(tmp_path, *examples)
    assert str(caught.value) == message


def test_examples_are_streamed(tmp_path: Path) -> None:
    """A data set need not fit into memory."""
    alive: weakref.WeakSet[Example] = weakref.WeakSet()
    most = 0

    class Kept(Example):
        __hash__ = object.__hash__

    def make() -> Iterator[Example]:
        nonlocal most
        for number in range(100_000):
            example = Kept(str(number), f"text {number}", "de", "train", {"t": "a"})
            if number % 500 == 0:
                alive.add(example)
                most = max(most, len(alive))
            yield example

    gc.collect()
    pa_before = pa.total_allocated_bytes()
    images: Any = NoImages()
    written = write_examples(tmp_path, Given(make), images, "given")
    assert written.count == 100_000
    assert most <= 2, "of 200 tracked examples"
    assert pa.total_allocated_bytes() - pa_before < 1_000_000
    stored = table(tmp_path)
    assert stored.num_rows == 100_000
    assert max(map(len, stored["id"].chunks)) == 4096


def test_examples_of_a_rejected_image_are_rejected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Instead of being kept without an image."""
    monkeypatch.setenv("MMEVAL_HOME", str(tmp_path))
    good = simplejpeg.encode_jpeg(np.zeros((8, 8, 3), np.uint8))
    images = {"good": good, "text": b"hello", "none": b"", "page": b"<html></html>"}

    class WithImages(Given):
        def images(self) -> Iterator[Any]:
            return iter(images.items())

        def examples(self) -> Iterator[Example]:
            for key in images:
                for language in ("de", "en"):
                    yield Example(f"{key}/{language}", "", language, "train", {"t": "a"}, key, where=f"row {key}")

    spec = DatasetSpec(name="given", summary="-", card=None, source=lambda: WithImages(lambda: iter(())))
    store = prepare(spec)
    assert store.examples["id"].to_pylist() == ["good/de", "good/en"]
    rows = pq.read_table(store.folder / REJECTED).to_pylist()
    assert [(row["where"], row["id"], row["reason"]) for row in rows] == [
        (f"row {key}", f"{key}/{language}", f"{key}: {reason}")
        for key, reason in {
            "text": "not an image in a supported format",
            "none": "the image has no bytes",
            "page": "a web page, not an image",
        }.items()
        for language in ("de", "en")
    ]
    assert store.rejected_count == 6


def test_long_texts_are_cut_and_counted(tmp_path: Path) -> None:
    """With one text of 10 MB, a TF-IDF run on 120 rows needed 3.8 GB."""
    long = "ab" * LONGEST_TEXT
    example = replace(GOOD, text=long, metadata={"m": long}, attributes={"a": long})
    written = write(tmp_path, example, replace(example, id="2", text=long[:LONGEST_TEXT], metadata={"m": "x"}))
    assert (written.count, written.cut, written.rejected) == (2, 4, [])
    stored = table(tmp_path)
    assert stored["text"].to_pylist() == [long[:LONGEST_TEXT]] * 2
    assert stored["metadata:m"].to_pylist() == [long[:LONGEST_TEXT], "x"]
    assert written.attributes == {"a": {long[:LONGEST_TEXT]}}


def test_a_text_of_the_longest_length_is_not_changed(tmp_path: Path) -> None:
    """Otherwise published fingerprints would change."""
    fits = replace(GOOD, text="a" * LONGEST_TEXT)
    whole, cut = write(tmp_path / "a", fits), write(tmp_path / "b", replace(fits, text="a" * LONGEST_TEXT + "b"))
    assert (whole.cut, cut.cut) == (0, 1)
    assert whole.sha.hexdigest() == cut.sha.hexdigest()

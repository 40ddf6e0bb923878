"""The examples of a split: models see only the inputs that the protocol allows."""

from __future__ import annotations

import hashlib

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mmeval import Examples
from mmeval.data.store import Store
from mmeval.protocol import Inputs


def test_a_split_keeps_the_order_of_the_store(store: Store) -> None:
    """And the splits together are all examples of the Store."""
    splits = [Examples(store, split) for split in ("train", "validation", "test")]
    assert [len(split) for split in splits] == [72, 18, 42]
    assert [id_ for split in splits for id_ in split.ids] == store.examples["id"].to_pylist()
    assert len(Examples(store, "nonsense")) == 0


@pytest.mark.parametrize("inputs", Inputs)
def test_the_other_modality_is_hidden(store: Store, inputs: Inputs) -> None:
    whole, seen = Examples(store, "test"), Examples(store, "test", inputs)
    assert seen.texts == (whole.texts if inputs is not Inputs.IMAGE else [""] * 42)
    rows = whole.all_image_rows if inputs is not Inputs.TEXT else np.full(42, -1)
    assert np.array_equal(seen.image_rows, rows)
    assert np.array_equal(seen.all_image_rows, whole.all_image_rows)
    assert (seen.ids, seen.languages, seen.clusters) == (whole.ids, whole.languages, whole.clusters)
    assert set(seen.encoded_images(seen.image_rows)) == {None} or inputs is not Inputs.TEXT


def test_missing_values_are_empty_or_minus_one(store: Store) -> None:
    """Two clusters of the test split lack their text in German, their image in English, a label in Japanese."""
    examples = Examples(store, "test")
    languages = np.array(examples.languages)
    bare = np.array([int(cluster.removeprefix("test")) in (5, 12) for cluster in examples.clusters])
    assert bare.sum() == 6
    assert np.array_equal(np.array(examples.texts) == "", bare & (languages == "de"))
    assert np.array_equal(examples.image_rows == -1, bare & (languages == "en"))
    assert np.array_equal(examples.labels("shade") == -1, bare & (languages == "ja"))
    assert (examples.labels("colour") >= 0).all()
    assert examples.labels("colour").dtype == np.int64


def test_class_counts_leave_out_examples_without_a_label(store: Store) -> None:
    assert Examples(store, "train").class_counts() == {"colour": (24, 24, 24), "shade": (36, 36)}
    counts = Examples(store, "test").class_counts()
    assert (sum(counts["colour"]), sum(counts["shade"])) == (42, 40)


def test_images_are_read_by_row(store: Store) -> None:
    examples = Examples(store, "train")
    first, missing, again = examples.encoded_images([0, -1, 0])
    assert first == again == store.image(0)
    assert missing is None


def test_slices_are_read_by_name(store: Store) -> None:
    assert (
        Examples(store, "validation").slice("number") == ["even"] * 3 + ["odd"] * 3 + (["even"] * 3 + ["odd"] * 3) * 2
    )


@given(limit=st.integers(1, 60))
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_limit_draws_the_same_examples_each_time(store: Store, limit: int) -> None:
    """So that trial runs can be compared."""
    whole, some = Examples(store, "test").ids, Examples(store, "test", limit=limit).ids
    assert len(some) == min(limit, 42)
    assert some == Examples(store, "test", Inputs.TEXT, limit=limit).ids
    assert some == [id_ for id_ in whole if id_ in set(some)]


def test_a_limit_draws_from_the_whole_split(store: Store) -> None:
    """Sources are often sorted by class."""
    some = Examples(store, "train", limit=24)
    assert np.histogram(some.all_image_rows, bins=3, range=(0, 24))[0].min() >= 4
    assert set(some.languages) == {"de", "en", "ja"}


def test_any_rows_can_be_a_split(store: Store) -> None:
    """For cross-validation."""
    rows = np.array([3, 40, 7])
    fold = Examples.of_rows(store, rows, "fold", Inputs.TEXT)
    ids = store.examples["id"].to_pylist()
    assert fold.ids == [ids[row] for row in rows]
    assert fold.split == "fold"
    assert fold.image_rows.tolist() == [-1, -1, -1]


@pytest.mark.parametrize("rows", [[3, -1, 3, 0], [-1, -1], []], ids=str)
def test_image_digests_are_hashes_of_the_content(store: Store, rows: list[int]) -> None:
    """Rows without an image have none."""
    expected = [hashlib.sha256(store.image(row)).hexdigest() if row >= 0 else "" for row in rows]
    assert Examples(store, "train").image_digests(np.array(rows, np.int64)) == expected


def test_any_table_can_be_a_split(store: Store) -> None:
    """The plugin contract changes texts and ids this way, without changing the Store."""
    table = store.examples.slice(5, 3)
    at = table.column_names.index("text")
    changed = Examples.of_table(store, table.set_column(at, "text", pa.array(["one", "", "three"])), "changed")
    assert (changed.split, changed.inputs, len(changed)) == ("changed", Inputs.IMAGE_TEXT, 3)
    assert changed.texts == ["one", "", "three"]
    assert changed.ids == store.examples["id"].to_pylist()[5:8]
    assert changed.image_rows.tolist() == store.examples["image"].to_pylist()[5:8]
    assert sum(changed.class_counts()["colour"]) == 3
    assert store.examples["text"].to_pylist()[5] != "one"


def test_a_table_is_limited_to_the_requested_inputs(store: Store) -> None:
    only_text = Examples.of_table(store, store.examples, "all", Inputs.TEXT)
    assert set(only_text.image_rows.tolist()) == {-1}
    only_image = Examples.of_table(store, store.examples, "all", Inputs.IMAGE)
    assert set(only_image.texts) == {""}
    assert len(Examples.of_table(store, store.examples.slice(0, 0), "none")) == 0

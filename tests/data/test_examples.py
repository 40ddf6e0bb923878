"""A split as a model sees it: what the protocol hides stays hidden."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mmeval import Examples
from mmeval.data.store import Store
from mmeval.protocol import Inputs


def test_a_split_is_itself_in_the_stores_order(store: Store) -> None:
    """And the splits together are the Store: no example is in two, none is lost."""
    splits = [Examples(store, split) for split in ("train", "validation", "test")]
    assert [len(split) for split in splits] == [72, 18, 42]
    assert [one for split in splits for one in split.ids] == store.examples["id"].to_pylist()
    assert len(Examples(store, "nonsense")) == 0


@pytest.mark.parametrize("inputs", Inputs)
def test_the_other_modality_is_hidden(store: Store, inputs: Inputs) -> None:
    """Else "text only" is a score with pictures."""
    whole, seen = Examples(store, "test"), Examples(store, "test", inputs)
    assert seen.texts == (whole.texts if inputs is not Inputs.IMAGE else [""] * 42)
    rows = whole.picture_rows if inputs is not Inputs.TEXT else np.full(42, -1)
    assert np.array_equal(seen.image_rows, rows)
    assert np.array_equal(seen.picture_rows, whole.picture_rows)
    assert (seen.ids, seen.languages, seen.clusters) == (whole.ids, whole.languages, whole.clusters)
    assert set(seen.encoded_images(seen.image_rows)) == {None} or inputs is not Inputs.TEXT


def test_what_is_missing_is_empty_or_minus_one(store: Store) -> None:
    """Two things of the test split lack their text in German, their picture in English, a label in Japanese."""
    examples = Examples(store, "test")
    languages = np.array(examples.languages)
    bare = np.array([int(cluster.removeprefix("test")) in (5, 12) for cluster in examples.clusters])
    assert bare.sum() == 6
    assert np.array_equal(np.array(examples.texts) == "", bare & (languages == "de"))
    assert np.array_equal(examples.image_rows == -1, bare & (languages == "en"))
    assert np.array_equal(examples.labels("shade") == -1, bare & (languages == "ja"))
    assert (examples.labels("colour") >= 0).all()
    assert examples.labels("colour").dtype == np.int64


def test_classes_are_counted_without_what_has_no_label(store: Store) -> None:
    """A model may set its biases by these."""
    assert Examples(store, "train").class_counts() == {"colour": (24, 24, 24), "shade": (36, 36)}
    counts = Examples(store, "test").class_counts()
    assert (sum(counts["colour"]), sum(counts["shade"])) == (42, 40)


def test_pictures_come_by_row(store: Store) -> None:
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
def test_a_limit_takes_the_same_examples_each_time(store: Store, limit: int) -> None:
    """Else two trial runs can't be compared."""
    whole, some = Examples(store, "test").ids, Examples(store, "test", limit=limit).ids
    assert len(some) == min(limit, 42)
    assert some == Examples(store, "test", Inputs.TEXT, limit=limit).ids
    assert some == [one for one in whole if one in set(some)]


def test_a_limit_takes_from_all_over_the_split(store: Store) -> None:
    """Sources are often sorted by class: the first examples would be of one class."""
    some = Examples(store, "train", limit=24)
    assert np.histogram(some.picture_rows, bins=3, range=(0, 24))[0].min() >= 4
    assert set(some.languages) == {"de", "en", "ja"}


def test_any_rows_make_a_split(store: Store) -> None:
    """Cross-validation."""
    rows = np.array([3, 40, 7])
    fold = Examples.of_rows(store, rows, "fold", Inputs.TEXT)
    ids = store.examples["id"].to_pylist()
    assert fold.ids == [ids[row] for row in rows]
    assert fold.split == "fold"
    assert fold.image_rows.tolist() == [-1, -1, -1]

"""Samples of examples: balanced over languages, filtered, and reproducible."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from mmeval.data.sample import Preview, sample
from mmeval.data.store import Store
from mmeval.errors import UserError


def test_a_sample_is_balanced_over_languages(store: Store) -> None:
    """Otherwise two of the thirteen languages of GLAMI-1M would dominate."""
    assert Counter(one.language for one in sample(store, 6)) == {"de": 2, "en": 2, "ja": 2}
    assert {one.language for one in sample(store, 2)} < {"de", "en", "ja"}
    assert len(sample(store, 1000)) == 132, "at most all examples"


def test_a_seed_gives_the_same_sample(store: Store) -> None:
    drawn = [one.id for one in sample(store, 12)]
    assert drawn == [one.id for one in sample(store, 12)]
    assert drawn != [one.id for one in sample(store, 12, seed=1)]


@pytest.mark.parametrize(
    ("filters", "holds"),
    [
        ({"language": "ja"}, lambda one: one.language == "ja"),
        ({"split": "validation"}, lambda one: one.split == "validation"),
        ({"label": "green"}, lambda one: one.labels["colour"] == "green"),
        ({"label": "dark"}, lambda one: one.labels.get("shade") == "dark"),
        ({"word": "GRÜN"}, lambda one: "grün" in one.text),
        ({"word": "緑"}, lambda one: one.labels["colour"] == "green" and one.language == "ja"),
        ({"language": "en", "split": "test", "label": "red", "word": "dark"}, lambda one: one.text.startswith("red")),
    ],
)
def test_filters_apply_to_every_example(store: Store, filters: dict[str, str], holds: Any) -> None:
    every = [one for one in sample(store, 1000) if holds(one)]
    found = sample(store, 1000, **filters)
    assert found
    assert all(map(holds, found))
    if len(filters) == 1:
        assert {one.id for one in found} == {one.id for one in every}


def test_a_preview_holds_every_field(store: Store) -> None:
    (one,) = sample(store, 1, word="red dark 0", split="train")
    labels = {"colour": "red", "shade": "dark"}
    assert one == Preview("train0/en", "en", "train", "red dark 0", labels, {"number": "even"}, 0)
    without = sample(store, 1000, split="test", language="ja")
    assert [one.labels for one in without if one.id == "test5/ja"] == [{"colour": "blue"}]
    assert [one.image for one in sample(store, 1000, split="test", language="en") if one.id == "test5/en"] == [-1]


@pytest.mark.parametrize(
    ("filters", "message"),
    [
        ({"language": "fr"}, "--only fr: colours has de, en, ja."),
        ({"split": "dev"}, "--split dev: colours has train, validation, test."),
        ({"label": "mauve"}, '--label: no task of colours has the class "mauve"; `mmeval data card` lists them.'),
        ({"word": "bicycle"}, "No example of colours matches."),
        ({"language": "ja", "word": "red"}, "No example of colours matches."),
    ],
)
def test_unknown_values_and_empty_results_are_refused(store: Store, filters: dict[str, str], message: str) -> None:
    """With the name of the option."""
    with pytest.raises(UserError) as caught:
        sample(store, 5, **filters)
    assert str(caught.value) == message

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
    assert Counter(example.language for example in sample(store, 6)) == {"de": 2, "en": 2, "ja": 2}
    assert {example.language for example in sample(store, 2)} < {"de", "en", "ja"}
    assert len(sample(store, 1000)) == 132, "at most all examples"


def test_a_seed_gives_the_same_sample(store: Store) -> None:
    drawn = [example.id for example in sample(store, 12)]
    assert drawn == [example.id for example in sample(store, 12)]
    assert drawn != [example.id for example in sample(store, 12, seed=1)]


@pytest.mark.parametrize(
    ("filters", "holds"),
    [
        ({"language": "ja"}, lambda example: example.language == "ja"),
        ({"split": "validation"}, lambda example: example.split == "validation"),
        ({"label": "green"}, lambda example: example.labels["colour"] == "green"),
        ({"label": "dark"}, lambda example: example.labels.get("shade") == "dark"),
        ({"word": "GRÜN"}, lambda example: "grün" in example.text),
        ({"word": "緑"}, lambda example: example.labels["colour"] == "green" and example.language == "ja"),
        (
            {"language": "en", "split": "test", "label": "red", "word": "dark"},
            lambda example: example.text.startswith("red"),
        ),
    ],
)
def test_filters_apply_to_every_example(store: Store, filters: dict[str, str], holds: Any) -> None:
    every = [example for example in sample(store, 1000) if holds(example)]
    filtered = sample(store, 1000, **filters)
    assert filtered
    assert all(map(holds, filtered))
    if len(filters) == 1:
        assert {example.id for example in filtered} == {example.id for example in every}


def test_a_preview_holds_every_field(store: Store) -> None:
    (example,) = sample(store, 1, word="red dark 0", split="train")
    labels = {"colour": "red", "shade": "dark"}
    assert example == Preview("train0/en", "en", "train", "red dark 0", labels, {"number": "even"}, 0)
    without = sample(store, 1000, split="test", language="ja")
    assert [example.labels for example in without if example.id == "test5/ja"] == [{"colour": "blue"}]
    assert [
        example.image for example in sample(store, 1000, split="test", language="en") if example.id == "test5/en"
    ] == [-1]


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

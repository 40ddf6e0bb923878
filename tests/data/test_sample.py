"""Examples to look at: fairly over languages, filtered, the same ones for the same seed."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from mmeval.data.sample import Preview, sample
from mmeval.data.store import Store
from mmeval.errors import UserError


def test_every_language_is_seen(store: Store) -> None:
    """In GLAMI-1M two of thirteen languages would fill a page that is drawn at random."""
    assert Counter(one.language for one in sample(store, 6)) == {"de": 2, "en": 2, "ja": 2}
    assert {one.language for one in sample(store, 2)} < {"de", "en", "ja"}
    assert len(sample(store, 1000)) == 132, "no more than there are"


def test_the_seed_draws(store: Store) -> None:
    drawn = [one.id for one in sample(store, 12)]
    assert drawn == [one.id for one in sample(store, 12)]
    assert drawn != [one.id for one in sample(store, 12, seed=1)]


@pytest.mark.parametrize(
    ("wanted", "holds"),
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
def test_filters_hold_for_all_that_is_shown(store: Store, wanted: dict[str, str], holds: Any) -> None:
    every = [one for one in sample(store, 1000) if holds(one)]
    found = sample(store, 1000, **wanted)
    assert found
    assert all(map(holds, found))
    if len(wanted) == 1:
        assert {one.id for one in found} == {one.id for one in every}


def test_all_that_is_known_is_shown(store: Store) -> None:
    (one,) = sample(store, 1, word="red dark 0", split="train")
    labels = {"colour": "red", "shade": "dark"}
    assert one == Preview("train0/en", "en", "train", "red dark 0", labels, {"number": "even"}, 0)
    without = sample(store, 1000, split="test", language="ja")
    assert [one.labels for one in without if one.id == "test5/ja"] == [{"colour": "blue"}]
    assert [one.image for one in sample(store, 1000, split="test", language="en") if one.id == "test5/en"] == [-1]


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        ({"language": "fr"}, "--only fr: colours has de, en, ja."),
        ({"split": "dev"}, "--split dev: colours has train, validation, test."),
        ({"label": "mauve"}, '--label: no task of colours has the class "mauve"; `mmeval data card` lists them.'),
        ({"word": "bicycle"}, "No example of colours matches."),
        ({"language": "ja", "word": "red"}, "No example of colours matches."),
    ],
)
def test_what_there_is_none_of_is_said(store: Store, wanted: dict[str, str], said: str) -> None:
    """With the option's name as it is typed."""
    with pytest.raises(UserError) as caught:
        sample(store, 5, **wanted)
    assert str(caught.value) == said

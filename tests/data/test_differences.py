"""Comparison of a card with the data: exact, approximate and unverified facts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mmeval import DatasetSpec
from mmeval.data.card import Approximate, agrees, read_card
from mmeval.data.differences import Difference, differences
from mmeval.data.prepare.prepare import prepare
from mmeval.data.store import Store
from mmeval.errors import DataError

CARD = """---
language: [de, en, ja]
license: cc0-1.0
mmeval:
  name: colours
  tasks: {{colour: [red, green, blue], shade: [dark, light]}}
  splits: {{train: 72, validation: 18, test: 42}}
  images: 44
{more}
---
"""


@pytest.fixture
def compare(store: Store, tmp_path: Path) -> Callable[..., list[Difference]]:
    """Return a function that compares the small data set with its card after changing or adding lines."""

    def call(more: str = "", variant: str = "", **changes: str) -> list[Difference]:
        text = CARD.format(more="\n".join(f"  {line}" for line in more.splitlines()))
        for field, value in changes.items():
            (line,) = (candidate for candidate in text.splitlines() if candidate.startswith(f"  {field}:"))
            text = text.replace(line, f"  {field}: {value}")
        path = tmp_path / "card.md"
        path.write_text(text, encoding="utf-8")
        return differences(read_card(path, variant), store)

    return call


Compare = Callable[..., list[Difference]]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"images": "44"}, []),
        ({"images": "{about: 40, within: 4}"}, []),
        ({"images": "{about: 40, within: 3}"}, ["images: the card says about 40, the data has 44"]),
        ({"splits": "{train+validation: 90, test: 42}"}, []),
        ({"splits": "{validation+train: {about: 91, within: 1}, test: 42}"}, []),
        (
            {"splits": "{train+validation: 91, test: 42}"},
            ["examples in train+validation: the card says 91, the data has 90"],
        ),
        (
            {"splits": "{train+validation: 90}"},
            ["examples in test: the card says 0, the data has 42"],
        ),
        ({"tasks": "{colour: 3, shade: null}"}, []),
        ({"tasks": "{colour: {about: 4, within: 1}, shade: {about: 2, within: 0}}"}, []),
        ({"tasks": "{colour: 4, shade: 2}"}, ["number of classes of colour: the card says 4, the data has 3"]),
        (
            {"tasks": "{colour: [red, green, a, b, c, d, e, f], shade: [light, dark]}"},
            [
                "classes of colour: the data lacks a, b, c, d, e and 1 more, which the card has",
                "classes of colour: the data has blue, which the card lacks",
                "classes of shade are in another order than the card's",
            ],
        ),
    ],
)
def test_numbers_and_classes_are_compared_with_the_card(
    changes: dict[str, str], expected: list[str], compare: Compare
) -> None:
    assert [difference.text for difference in compare(**changes)] == expected


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ("per_language: {test: {de: 14, en: 14, ja: 14}}", []),
        ("per_language: {train+validation: {de: 30, en: 30, ja: 30}}", []),
        (
            "per_language: {test: {de: 15, en: 14}, train: {ja: 25, lt: 3}}",
            [
                "examples per language in test (the card's number in brackets): de 14 (15)",
                "examples per language in train (the card's number in brackets): ja 24 (25), lt 0 (3)",
            ],
        ),
        ("shares: {train+validation: {de: 33.3, en: 33.3, ja: 33.4, within: 0.1}, test: {de: 33.33}}", []),
        (
            "shares: {train+validation: {de: 33.3, en: 30, within: 0.1}, test: {lt: 4.0, within: 1}}",
            [
                "shares of languages in train+validation in % (the card's number in brackets): en 33.33 (30)",
                "shares of languages in test in % (the card's number in brackets): lt 0.0 (4.0)",
            ],
        ),
        ("shares: {nowhere: {de: 0.0}}", []),
        ("per_class: {colour: {test: {red: 15, green: 15, blue: 12}}, shade: {train+validation: {dark: 45}}}", []),
        (
            "per_class: {colour: {test: {red: 16}}, shade: {train+validation: {dark: 46, dusk: 1}}}",
            [
                "examples per class of colour in test (the card's number in brackets): red 15 (16)",
                "examples per class of shade in train+validation (the card's number in brackets): "
                "dark 45 (46), dusk 0 (1)",
            ],
        ),
    ],
)
def test_counts_by_language_and_class_are_compared_with_the_card(
    more: str, expected: list[str], compare: Compare
) -> None:
    """A new random split would have the same size and different shares."""
    assert [difference.text for difference in compare(more)] == expected


def test_a_fingerprint_is_compared_with_the_card(compare: Compare, store: Store) -> None:
    assert compare(f"fingerprint: {store.fingerprint}") == []
    other = "0" * 64
    expected = f"fingerprint: the card says {other}, the data has {store.fingerprint}"
    assert [difference.text for difference in compare(f'fingerprint: "{other}"')] == [expected]


@pytest.mark.parametrize(
    ("unverified", "verified"),
    [
        ([], [True] * 6),
        (["images"], [True, True, False, True, True, True]),
        (["splits"], [True, False, True, True, True, True]),
        (["splits.test"], [True, False, True, True, True, True]),
        (["splits.train", "split", "image"], [True] * 6),
        (["tasks.colour"], [False, True, True, True, True, True]),
        (["per_language", "per_class.colour"], [True, True, True, False, False, True]),
        (["per_language.test", "per_class.colour.test", "rejected"], [True, True, True, False, False, True]),
        (["fingerprint"], [True] * 5 + [False]),
    ],
)
def test_differences_from_unverified_facts_are_not_verified(
    unverified: list[str], verified: list[bool], compare: Compare
) -> None:
    """An unverified number, for example from an abstract, must not prevent the use of the real data."""
    more = [
        "per_language: {test: {de: 1}}",
        "per_class: {colour: {test: {red: 1}}}",
        'fingerprint: "0"',
        f"unverified: {unverified}",
    ]
    listed = compare(
        "\n".join(more), tasks="{colour: 9, shade: 2}", splits="{train: 72, validation: 18, test: 1}", images="1"
    )
    assert [difference.text.split(":")[0] for difference in listed] == [
        "number of classes of colour",
        "examples in test",
        "images",
        "examples per language in test (the card's number in brackets)",
        "examples per class of colour in test (the card's number in brackets)",
        "fingerprint",
    ]
    assert [difference.verified for difference in listed] == verified


def test_a_variant_overrides_fields_of_the_card(compare: Compare) -> None:
    more = "variants:\n  half: {images: 22, unverified: [images]}\n  whole:"
    assert compare(more) == []
    assert compare(more, "whole") == []
    (difference,) = compare(more, "half")
    assert difference == Difference("images: the card says 22, the data has 44", False)


def test_rejected_rows_and_unknown_labels_are_differences(store: Store, tmp_path: Path) -> None:
    card = read_card(tmp_path / "colours.md")
    store.info |= {"rejected": 3, "unknown": {"colour": {"mauve": 2, "ochre": 1}}}
    wrong = "labels of colour: 3 rows have mauve, ochre, which the card lacks"
    rejected = "rows rejected: the card allows 2, there are 3"
    assert [difference.text for difference in differences(replace(card, rejected=2), store)] == [wrong, rejected]
    assert [difference.text for difference in differences(replace(card, rejected=3), store)] == [wrong]
    unverified = replace(card, rejected=0, unverified=("rejected", "tasks.colour"))
    assert [difference.verified for difference in differences(unverified, store)] == [False, False]


def test_an_empty_label_is_shown_in_quotes(store: Store, tmp_path: Path) -> None:
    card = read_card(tmp_path / "colours.md")
    store.info |= {"unknown": {"colour": {"": 2}}}
    (difference,) = differences(card, store)
    assert difference.text == 'labels of colour: 2 rows have "", which the card lacks'


def test_data_of_less_than_half_the_stated_size_is_never_the_release(store: Store, tmp_path: Path) -> None:
    card = replace(read_card(tmp_path / "colours.md"), unverified=("splits",))
    total = sum(store.split_sizes.values())
    for says, refused in ((2 * total + 1, True), (2 * total, False)):
        listed = differences(replace(card, splits={"train+validation+test": says}), store)
        assert any(difference.verified for difference in listed) == refused
    (first, *_) = differences(replace(card, splits={"train+validation+test": Approximate(999, 5)}), store)
    assert first == Difference(
        f"examples: the card says about 999, the data has {total}, too few to be the release", True
    )


def test_approximate_numbers_have_a_tolerance() -> None:
    assert [agrees(Approximate(100, 5), has) for has in (94, 95, 105, 106)] == [False, True, True, False]
    assert (agrees(7, 7), agrees(7, 8)) == (True, False)
    assert str(Approximate(968000, 500)) == "about 968000"


def test_data_that_differs_in_an_unverified_fact_is_prepared(
    colours: Callable[..., DatasetSpec], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    """With a note; the same difference in a verified fact is an error."""
    monkeypatch.setenv("MMEVAL_HOME", str(tmp_path / "fresh"))
    spec = colours(images=45)
    with pytest.raises(DataError, match="images: the card says 45, the data has 44"):
        prepare(spec)
    assert spec.card
    spec.card.write_text(spec.card.read_text().replace("  images:", "  unverified: [images]\n  images:"))
    capsys.readouterr()
    store = prepare(spec)
    line = "images: the card says 45, the data has 44"
    assert (store.released, store.name, store.info["differences"]) == (True, "colours", [line])
    assert f"Differs from the card, in an unverified fact: {line}" in capsys.readouterr().err

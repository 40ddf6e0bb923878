"""Search for class names in texts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmeval.audit.label_leakage import NameFinder
from mmeval.audit.normalize import normalize

CLASSES = ("apple_pie", "pie", "ice-cream", "cream", "Women's T-Shirts", "寿司", "rice")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The best APPLE PIE, ever", "apple_pie"),
        ("a pie of apples", "pie"),
        ("pies and piece", None),
        ("Ice cream with cream", "ice-cream"),
        ("women s t shirts", "Women's T-Shirts"),
        ("美味しい寿司です", "寿司"),
        ("price of rice", "rice"),
        ("", None),
    ],
)
def test_longest_class_name_of_whole_words_is_returned(text: str, expected: str | None) -> None:
    index = NameFinder(CLASSES).find(normalize(text))
    assert (CLASSES[index] if index >= 0 else None) == expected


@given(
    st.lists(st.sampled_from(["a", "b", "a b", "b c a", "c", "cc", "b c"]), min_size=1, unique=True), st.text("abc ")
)
def test_search_agrees_with_trying_all_names(classes: list[str], text: str) -> None:
    normalized = normalize(text)
    inside = [name for name in classes if f" {name} " in f" {normalized} "]
    index = NameFinder(classes).find(normalized)
    assert (len(classes[index]) if index >= 0 else None) == (max(map(len, inside)) if inside else None)

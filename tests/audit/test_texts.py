"""Texts are compared as people read them: by their words, not by how they are set."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmeval.audit.minhash import GRAM, LEAST_JACCARD, LEAST_LENGTH, gram_sets, jaccard, near_texts
from mmeval.audit.normalize import fold

ALPHABET = st.text(alphabet="abcdéßあ漢 ", min_size=LEAST_LENGTH, max_size=30)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Dámské  TRIČKO – bílé!", "dámské tričko, bílé"),
        ("Ｔ－ｓｈｉｒｔ", "t-shirt"),
        ("Straße", "STRASSE"),
        ("e\u0301te\u0301", "été"),
        ("soft\u00adware", "software"),
        ("baby_clothing", "Baby clothing"),
    ],
)
def test_how_a_text_is_set_does_not_count(one: str, other: str) -> None:
    assert fold(one) == fold(other)


@pytest.mark.parametrize(
    ("one", "other"), [("key #", "key *"), ("हिन्दी", "हन्द"), ("45 €", "45 $"), ("!", "?"), ("a", "á")]
)
def test_what_is_read_differently_stays_different(one: str, other: str) -> None:
    """Vowel signs of Hindi are marks, not punctuation."""
    assert fold(one) != fold(other)


@given(st.text())
def test_folding_twice_is_folding_once(text: str) -> None:
    folded = fold(text)
    assert fold(folded) == folded
    assert folded == folded.strip()


def shares(one: str, other: str) -> float:
    sets = []
    for text in (one, other):
        padded = f" {text} "
        sets.append({padded[i : i + GRAM] for i in range(len(padded) - GRAM + 1)})
    return len(sets[0] & sets[1]) / len(sets[0] | sets[1])


@settings(deadline=None)
@given(st.lists(ALPHABET, min_size=2, max_size=12, unique=True))
def test_what_two_texts_share_is_counted_right(texts: list[str]) -> None:
    left, right = np.triu_indices(len(texts), 1)
    expected = [shares(texts[i], texts[j]) for i, j in zip(left, right, strict=True)]
    assert jaccard(gram_sets(texts), left, right) == pytest.approx(expected, abs=1e-6)


def test_the_search_finds_what_all_pairs_find() -> None:
    """But for a few in a hundred at the threshold itself."""
    rng = np.random.default_rng(0)
    texts = []
    for _ in range(150):
        letters = list("".join(rng.choice(list("abcdefghijklmnop "), 60)))
        texts.append("".join(letters))
        letters[int(rng.integers(60))] = "z"
        texts.append("".join(letters))
    texts = [" ".join(text.split()) for text in texts]
    links = near_texts(texts)
    left, right = np.triu_indices(len(texts), 1)
    similar = jaccard(gram_sets(texts), left, right)
    expected = {(i, j) for i, j, s in zip(left.tolist(), right.tolist(), similar, strict=True) if s >= LEAST_JACCARD}
    found = set(zip(links.left.tolist(), links.right.tolist(), strict=True))
    assert len(expected) > 100
    assert found <= expected
    assert len(found) >= 0.95 * len(expected)
    assert not links.cut


def test_short_texts_are_never_nearly_alike() -> None:
    assert len(near_texts(["red shirt", "red skirt", "red shirts"]).left) == 0


def test_a_template_of_thousands_is_said_to_be_cut() -> None:
    texts = [f"the very same long description of one product that comes in many sizes {i}" for i in range(400)]
    assert near_texts(texts).cut


def test_no_texts_at_all_have_no_twins() -> None:
    assert near_texts([]).nodes == 0

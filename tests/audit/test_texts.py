"""Normalization of texts, and the search for near-duplicate texts."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmeval.audit.minhash import GRAM, LEAST_JACCARD, LEAST_LENGTH, gram_sets, jaccard, near_duplicate_texts
from mmeval.audit.normalize import normalize

ALPHABET = st.text(alphabet="abcdéßあ漢 ", min_size=LEAST_LENGTH, max_size=30)


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("Dámské  TRIČKO – bílé!", "dámské tričko, bílé"),
        ("Ｔ－ｓｈｉｒｔ", "t-shirt"),
        ("Straße", "STRASSE"),
        ("e\u0301te\u0301", "été"),
        ("soft\u00adware", "software"),
        ("baby_clothing", "Baby clothing"),
    ],
)
def test_typography_is_normalized(left: str, right: str) -> None:
    assert normalize(left) == normalize(right)


@pytest.mark.parametrize(
    ("left", "right"), [("key #", "key *"), ("हिन्दी", "हन्द"), ("45 €", "45 $"), ("!", "?"), ("a", "á")]
)
def test_different_texts_stay_different(left: str, right: str) -> None:
    """Vowel signs of Hindi, for example, are marks and not punctuation."""
    assert normalize(left) != normalize(right)


@given(st.text())
def test_normalization_is_idempotent(text: str) -> None:
    normalized = normalize(text)
    assert normalize(normalized) == normalized
    assert normalized == normalized.strip()


def jaccard_of(left: str, right: str) -> float:
    """Return the Jaccard index of the 4-grams of two texts."""
    sets = []
    for text in (left, right):
        padded = f" {text} "
        sets.append({padded[i : i + GRAM] for i in range(len(padded) - GRAM + 1)})
    return len(sets[0] & sets[1]) / len(sets[0] | sets[1])


@settings(deadline=None)
@given(st.lists(ALPHABET, min_size=2, max_size=12, unique=True))
def test_jaccard_agrees_with_python_sets(texts: list[str]) -> None:
    left, right = np.triu_indices(len(texts), 1)
    expected = [jaccard_of(texts[i], texts[j]) for i, j in zip(left, right, strict=True)]
    assert jaccard(gram_sets(texts), left, right) == pytest.approx(expected, abs=1e-6)


def test_search_agrees_with_comparing_all_pairs() -> None:
    """Except for a few per cent of the pairs at the threshold."""
    rng = np.random.default_rng(0)
    texts = []
    for _ in range(150):
        letters = list("".join(rng.choice(list("abcdefghijklmnop "), 60)))
        texts.append("".join(letters))
        letters[int(rng.integers(60))] = "z"
        texts.append("".join(letters))
    texts = [" ".join(text.split()) for text in texts]
    graph = near_duplicate_texts(texts)
    left, right = np.triu_indices(len(texts), 1)
    similar = jaccard(gram_sets(texts), left, right)
    expected = {(i, j) for i, j, s in zip(left.tolist(), right.tolist(), similar, strict=True) if s >= LEAST_JACCARD}
    pairs = set(zip(graph.left.tolist(), graph.right.tolist(), strict=True))
    assert len(expected) > 100
    assert pairs <= expected
    assert len(pairs) >= 0.95 * len(expected)
    assert not graph.cut


def test_short_texts_are_not_near_duplicates() -> None:
    assert len(near_duplicate_texts(["red shirt", "red skirt", "red shirts"]).left) == 0


def test_search_reports_that_pairs_of_a_template_were_left_out() -> None:
    texts = [f"the very same long description of one product that comes in many sizes {i}" for i in range(400)]
    assert near_duplicate_texts(texts).cut


def test_search_without_texts() -> None:
    assert near_duplicate_texts([]).nodes == 0

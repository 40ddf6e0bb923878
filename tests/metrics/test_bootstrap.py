"""The cluster bootstrap: resamples have the counts of their rows, are reproducible, and group rows as asked."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import f1_score

from mmeval.metrics import bootstrap
from mmeval.metrics.bootstrap import ClassCounts, Groups, resampled
from mmeval.metrics.counts import macro_f1, weighted_f1
from mmeval.metrics.outcomes import Codes, Outcomes


def outcomes(n: int, accuracy: float = 0.6, classes: int = 4, seed: int = 0) -> Outcomes:
    rng = np.random.default_rng(seed)
    true = rng.integers(classes, size=n).astype(np.int32)
    predicted = np.where(rng.random(n) < accuracy, true, rng.integers(classes, size=n)).astype(np.int32)
    return Outcomes(true, predicted, {"top1": (true == predicted).astype(float)}, classes)


def groups(n: int, languages: int = 2, **slices: int) -> Groups:
    rng = np.random.default_rng(n)
    columns = {name: Codes.of([f"v{value}" for value in rng.integers(count, size=n)]) for name, count in slices.items()}
    return Groups.of(Codes.of([f"l{number % languages}" for number in range(n)]), columns)


def test_a_resample_has_the_scores_of_its_rows() -> None:
    """Weighted counts against scikit-learn on the repeated rows."""
    sample, by_group, clusters = outcomes(60), groups(60, source=3), np.arange(60) // 2
    weights = bootstrap._draw(30, range(5), seed=7)
    (blocks,) = resampled([ClassCounts(sample, by_group, clusters)], 5, seed=7)
    macro, weighted = macro_f1(blocks[0], 1), weighted_f1(blocks[0], 1)
    assert macro.shape == (len(by_group), 5)
    for group in range(len(by_group)):
        member = np.asarray(by_group.members.todense())[group][by_group.atoms] > 0
        for number in range(5):
            taken = np.repeat(np.arange(60), np.where(member, weights[clusters, number], 0).astype(int))
            if not len(taken):
                assert np.isnan(macro[group, number])
                continue
            true, predicted = sample.true[taken], sample.predicted[taken]
            assert macro[group, number] == pytest.approx(f1_score(true, predicted, average="macro"), rel=1e-6)
            assert weighted[group, number] == pytest.approx(f1_score(true, predicted, average="weighted"), rel=1e-6)


@given(st.integers(0, 40), st.integers(1, 3), st.integers(1, 3), st.integers(0, 1000))
@settings(deadline=None, max_examples=40)
def test_groups_are_the_slices_in_each_language_and_in_all(n: int, languages: int, values: int, seed: int) -> None:
    by_group = groups(n, languages, source=values, shop=2)
    rng = np.random.default_rng(seed)
    amounts = rng.random(n)
    sums = by_group.by_slice(by_group.sums(amounts))
    assert sums.shape == (len(by_group.slices), len(by_group.languages) + 1)
    language = np.array([f"l{number % languages}" for number in range(n)])
    drawn = np.random.default_rng(n)
    columns = {"source": drawn.integers(values, size=n), "shop": drawn.integers(2, size=n)}
    for row, name in enumerate(by_group.slices):
        column, _, value = name.partition("=")
        mask = np.ones(n, bool) if name == "all" else np.array([f"v{v}" == value for v in columns[column]], bool)
        assert sums[row, -1] == pytest.approx(amounts[mask].sum())
        for place, code in enumerate(by_group.languages):
            assert sums[row, place] == pytest.approx(amounts[mask & (language == code)].sum())


def test_resamples_do_not_depend_on_threads_or_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    counts = ClassCounts(outcomes(100), groups(100), np.arange(100))

    def samples() -> np.ndarray:
        return np.concatenate([macro_f1(block, 1) for (block,) in resampled([counts], 90)], axis=1)

    first = samples()
    assert first.shape[1] == 90
    monkeypatch.setattr(bootstrap.os, "cpu_count", lambda: 1)
    monkeypatch.setattr(bootstrap, "MOST_BLOCK", 7)
    np.testing.assert_array_equal(samples(), first)


def test_all_training_seeds_get_the_same_clusters() -> None:
    counts = [ClassCounts(outcomes(80), groups(80), np.arange(80)) for _ in range(2)]
    for one, other in resampled(counts, 50):
        np.testing.assert_array_equal(one.hits, other.hits)


def test_the_counts_of_the_examples_are_those_of_scikit_learn() -> None:
    sample, by_group = outcomes(200, classes=6), groups(200, languages=3)
    macro = macro_f1(ClassCounts(sample, by_group, np.arange(200)).observed())
    for number in range(3):
        rows = np.arange(200) % 3 == number
        assert macro[number] == pytest.approx(f1_score(sample.true[rows], sample.predicted[rows], average="macro"))
    assert macro[3] == pytest.approx(f1_score(sample.true, sample.predicted, average="macro"))

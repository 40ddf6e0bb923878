"""Order, ranks and groups of runs."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest

from mmeval.comparison.standings import group_names, letter_groups, standings, tie_groups
from mmeval.runs.compare import compare_folders
from tests.comparison.run_folders import examples, guesses, write_run


def pairs(*names: str) -> set[frozenset[str]]:
    return {frozenset(pair) for pair in names}


@pytest.mark.parametrize(
    ("differ", "groups"),
    [
        (set(), ["abc"]),
        (pairs("ac"), ["ab", "bc"]),
        (pairs("ab"), ["ac", "bc"]),
        (pairs("ab", "bc", "ac"), ["a", "b", "c"]),
    ],
)
def test_runs_share_a_letter_if_and_only_if_they_do_not_differ(differ: set[frozenset[str]], groups: list[str]) -> None:
    assert ["".join(group) for group in letter_groups("abc", differ) or []] == groups


def test_letters_agree_with_the_tests_in_random_tables() -> None:
    rng = np.random.default_rng(0)
    names = [f"run{number}" for number in range(7)]
    for share in (0.2, 0.5, 0.8) * 5:
        differ = {frozenset(pair) for pair in itertools.combinations(names, 2) if rng.random() < share}
        letters = group_names(names, differ)
        for a, b in itertools.combinations(names, 2):
            assert bool(set(letters[a]) & set(letters[b])) == (frozenset((a, b)) not in differ)


def test_many_runs_get_ranges_of_groups() -> None:
    """Forty runs, each of which differs from all that are more than five places away."""
    names = [f"run{number}" for number in range(40)]
    differ = {
        frozenset(pair) for pair in itertools.combinations(names, 2) if abs(int(pair[0][3:]) - int(pair[1][3:])) > 5
    }
    groups = group_names(names, differ)
    assert (groups["run0"], groups["run20"], groups["run39"]) == ("1", "16–21", "35")


def test_stretches_of_the_order_may_leave_out_a_pair() -> None:
    assert tie_groups("abc", pairs("ab")) == [["a"], ["b", "c"]]


def test_a_language_has_its_own_order_and_its_own_tests(tmp_path: Path) -> None:
    """Two runs that are equal on average differ in German, where one is right and the other is wrong."""
    table = examples(600, ("de", "et"))
    german = np.array(table["language"]) == "de"
    good, bad = guesses(table["true"], 0.9, 1), guesses(table["true"], 0.3, 2)
    folders = [
        write_run(tmp_path / "german", table, {0: np.where(german, good, bad)}),
        write_run(tmp_path / "estonian", table, {0: np.where(german, bad, good)}),
    ]
    comparison = compare_folders(folders)
    assert [place.letters for place in standings(comparison)] == ["a", "a"]
    best, worst = standings(comparison, "de")
    assert (best.run, best.rank, best.letters, worst.rank, worst.letters) == ("german", (1, 1), "a", (2, 2), "b")
    assert best.is_top
    assert not worst.is_top
    assert standings(comparison, "et")[0].run == "estonian"
    assert best.value == pytest.approx((table["true"] == good)[german].mean())

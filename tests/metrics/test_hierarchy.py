"""Hierarchical metrics by hand and by sets of ancestors, and taxonomy files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmeval import Task, UserError
from mmeval.metrics.hierarchy import (
    Hierarchy,
    Taxonomy,
    hierarchical_scores,
    hierarchy_of,
    hierarchy_rows,
    paths_in_names,
)
from mmeval.metrics.outcomes import Codes, Outcomes

GOOGLE = """# Google_Product_Taxonomy_Version: 2021-09-21
1 - Animals & Pet Supplies
3237 - Animals & Pet Supplies > Live Animals
166 - Apparel & Accessories
187 - Apparel & Accessories > Shoes
5441 - Apparel & Accessories > Costumes > Costume Shoes
9 - Animals & Pet Supplies > Accessories
10 - Apparel & Accessories > Accessories
"""
PATHS = (("shoes", "boots", "rain"), ("shoes", "boots", "snow"), ("shoes", "sandals"), ("bags",), ("bags", "boots"))


def scores(true: list[int], predicted: list[int]) -> dict[str, float]:
    t, p = np.array(true), np.array(predicted)
    result = hierarchical_scores(Hierarchy.of(PATHS), t, p, np.zeros(len(t), np.int64), 1)
    return {name: float(values[0]) for name, values in result._asdict().items()}


def ancestors(path: tuple[str, ...]) -> set[tuple[str, ...]]:
    return {path[: level + 1] for level in range(len(path))}


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=12))
@settings(deadline=None, max_examples=100)
def test_scores_equal_those_of_sets_of_ancestors(pairs: list[tuple[int, int]]) -> None:
    shared = sum(len(ancestors(PATHS[t]) & ancestors(PATHS[p])) for t, p in pairs)
    of_true = sum(len(PATHS[t]) for t, _ in pairs)
    of_predicted = sum(len(PATHS[p]) for _, p in pairs)
    result = scores([t for t, _ in pairs], [p for _, p in pairs])
    assert result["precision"] == pytest.approx(shared / of_predicted)
    assert result["recall"] == pytest.approx(shared / of_true)
    if shared:
        precision, recall = shared / of_predicted, shared / of_true
        assert result["f1"] == pytest.approx(2 * precision * recall / (precision + recall))
    else:
        assert result["f1"] == 0
    steps = [len(ancestors(PATHS[t]) ^ ancestors(PATHS[p])) for t, p in pairs if t != p]
    assert result["errors"] == len(steps)
    assert result["tree_distance"] == pytest.approx(np.mean(steps)) if steps else np.isnan(result["tree_distance"])


def test_a_mistake_between_neighbours_costs_less() -> None:
    assert scores([0], [1]) == pytest.approx(
        {"precision": 2 / 3, "recall": 2 / 3, "f1": 2 / 3, "tree_distance": 2, "errors": 1}
    )
    assert scores([0], [3]) == pytest.approx({"precision": 0, "recall": 0, "f1": 0, "tree_distance": 4, "errors": 1})
    assert scores([2], [2])["f1"] == 1


def test_accuracy_at_a_level_cuts_the_paths() -> None:
    true, predicted = np.array([0, 0, 2, 3, 3]), np.array([1, 2, 2, 4, 3])
    right = Hierarchy.of(PATHS).accuracies(true, predicted)
    assert {name: values.tolist() for name, values in right.items()} == {
        "accuracy_level_1": [1, 1, 1, 1, 1],
        "accuracy_level_2": [1, 0, 1, 0, 1],
        "accuracy_level_3": [0, 0, 1, 0, 1],
    }
    assert right["accuracy_level_3"].tolist() == (true == predicted).tolist(), "the last level is top-1"


def test_equal_names_under_different_parents_are_different_nodes() -> None:
    hierarchy = Hierarchy.of(PATHS)
    assert hierarchy.shared(np.array([0]), np.array([4])).tolist() == [0]


def test_rows_have_each_language_their_mean_and_all_rows() -> None:
    true, predicted = np.array([0, 3, 2, 2], np.int32), np.array([1, 3, 2, 3], np.int32)
    rows = hierarchy_rows(Hierarchy.of(PATHS), Outcomes(true, predicted, {}, 5), Codes.of(["cs", "cs", "et", "et"]))
    values = {(row.metric, row.language): (row.value, row.n) for row in rows}
    assert values["hierarchical_recall", "cs"] == (pytest.approx(3 / 4), 2)
    assert values["hierarchical_recall", "et"] == (pytest.approx(2 / 4), 2)
    assert values["hierarchical_recall", "macro"] == (pytest.approx(5 / 8), 4)
    assert values["hierarchical_precision", "all"] == (pytest.approx(5 / 7), 4)
    assert values["tree_distance", "cs"] == (2, 1)
    assert values["tree_distance", "all"] == (pytest.approx(2.5), 2), "the mean over the wrong rows"


@pytest.mark.parametrize(
    ("classes", "expected"),
    [
        (("A > B", "A >  C ", "D"), {"A > B": ("A", "B"), "A >  C ": ("A", "C"), "D": ("D",)}),
        (("boots", "shoes>hats"), {}),
        (("A > B", "A >  > C"), {}),
        (("A > B", "A >  B"), {}),
    ],
)
def test_names_with_the_separator_are_paths(classes: tuple[str, ...], expected: dict[str, tuple[str, ...]]) -> None:
    assert paths_in_names(classes) == expected


@pytest.fixture
def google(tmp_path: Path) -> Path:
    file = tmp_path / "taxonomy.en-US.txt"
    file.write_text(GOOGLE, encoding="utf-8")
    return file


def test_classes_match_by_full_path_id_or_unique_last_name(google: Path) -> None:
    task = Task("category", ("Apparel & Accessories > Shoes", "3237", "Costume Shoes"))
    assert Taxonomy.read(google).paths(task) == {
        "Apparel & Accessories > Shoes": ("Apparel & Accessories", "Shoes"),
        "3237": ("Animals & Pet Supplies", "Live Animals"),
        "Costume Shoes": ("Apparel & Accessories", "Costumes", "Costume Shoes"),
    }


def test_a_file_without_ids_is_read(tmp_path: Path) -> None:
    (tmp_path / "t.txt").write_text("\ufeff# mine\r\nA\r\nA > B - C\r\n\r\nA > 7 - up\r\n", encoding="utf-8")
    taxonomy = Taxonomy.read(tmp_path / "t.txt")
    assert taxonomy.paths(Task("t", ("B - C", "7 - up"))) == {"B - C": ("A", "B - C"), "7 - up": ("A", "7 - up")}


@pytest.mark.parametrize(
    ("classes", "complaint"),
    [
        (
            ("Hats", "3237"),
            r'has no line for the class "Hats" of category: no full path, id or last name equals it; add',
        ),
        (("Hats", "Caps"), r'has no line for the class "Hats" and 1 other class of category'),
        (("Hats", "Caps", "x"), r'has no line for the class "Hats" and 2 other classes of category'),
        (
            ("Accessories",),
            r'the class "Accessories" of category matches 2 lines, such as "Animals & Pet Supplies > Accessories" and '
            r'"Apparel & Accessories > Accessories"; rename the class to the full path or the id\.',
        ),
        (("3237", "Live Animals"), r'the classes "3237" and "Live Animals" of category match the same line'),
    ],
)
def test_unknown_and_ambiguous_classes_are_refused(google: Path, classes: tuple[str, ...], complaint: str) -> None:
    with pytest.raises(UserError, match=complaint):
        Taxonomy.read(google).paths(Task("category", classes))


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"A > > B\n", r't\.txt, line 1: "A > > B" has an empty level; write A > B > C\.'),
        (b"1 - A\n\n1 - B\n", r"t\.txt, line 3: the id 1 stands also in line 1; remove one\."),
        (b"# only a comment\n", r"The taxonomy .*t\.txt has no line; write one node a line, A > B > C\."),
        (b"\xff\xfe\x00", r"t\.txt is not a text file in UTF-8; save it as UTF-8\."),
        (None, r"There is no taxonomy file .*t\.txt\."),
    ],
)
def test_damaged_files_are_refused(tmp_path: Path, content: bytes | None, complaint: str) -> None:
    if content is not None:
        (tmp_path / "t.txt").write_bytes(content)
    with pytest.raises(UserError, match=complaint):
        Taxonomy.read(tmp_path / "t.txt")


def test_given_paths_win_over_names() -> None:
    task = Task("category", ("A > B", "C"))
    named, given_ = hierarchy_of(task, {}), hierarchy_of(task, {"category": {"A > B": ("X", "Y", "Z"), "C": ("X",)}})
    assert named is not None
    assert given_ is not None
    assert (named.depths.tolist(), given_.depths.tolist()) == ([2, 1], [3, 1])
    assert hierarchy_of(Task("category", ("B", "C")), {}) is None

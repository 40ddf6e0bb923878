"""The data check before training."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from mmeval.data.check import data_check, lines, majority_lines, power_lines
from mmeval.data.power import data_power
from mmeval.data.prepare.prepare import prepare
from mmeval.data.store import Store
from mmeval.data.table.options import TableOptions, parse_columns
from mmeval.data.table.resolve import table_spec
from mmeval.data.table.source import TableSource
from mmeval.record import DataCheck, DataPower
from tests.data.table.shop import write


@pytest.fixture(autouse=True)
def _own_home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MMEVAL_HOME", str(tmp_path_factory.mktemp("home")))


def row(number: int, language: str, label: str, split: str) -> dict[str, str]:
    return {"text": f"text {number}", "lang": language, "label": label, "split": split, "photo": ""}


def store(folder: Path, rows: list[dict[str, str]], columns: str = "") -> Store:
    path = write(folder / "shop.csv", rows)
    options = TableOptions(source=str(path), columns=parse_columns(columns))
    source = TableSource(options, path)
    return prepare(table_spec(options, source), source)


def rows(counts: Mapping[tuple[str, str, str], int]) -> list[dict[str, str]]:
    every = [key for key, count in counts.items() for _ in range(count)]
    return [row(number, *key) for number, key in enumerate(every)]


BALANCED = {
    (language, label, split): count
    for language in ("de", "sl")
    for label in ("a", "b")
    for split, count in (("train", 20), ("validation", 5), ("test", 20))
}


def complaints(check: DataCheck) -> list[str]:
    """Return the sentences without those about power, which every data set has."""
    return lines(check.model_copy(update={"power": {}}))


def test_good_data_gives_no_lines_except_its_power(tmp_path: Path) -> None:
    check = data_check(store(tmp_path, rows(BALANCED)))
    assert complaints(check) == []
    assert lines(check) == power_lines(check.power["label"], "test")
    assert check.languages == {language: {"train": 40, "validation": 10, "test": 40} for language in ("de", "sl")}
    assert check.classes == {"label": 2}
    assert lines(None) == []


def test_a_language_without_test_rows_is_reported(tmp_path: Path) -> None:
    """Otherwise the results would not mention it at all."""
    check = data_check(store(tmp_path, rows({**BALANCED, ("lv", "a", "train"): 3})))
    assert check.unscored_languages == {"lv": 3}
    assert complaints(check) == ["No test rows, so no score: lv (3 rows in other splits)."]


def test_languages_with_fewer_than_thirty_test_rows_are_reported(tmp_path: Path) -> None:
    more = {("et", "a", "test"): 29, ("et", "a", "train"): 3, ("fi", "a", "test"): 30}
    check = data_check(store(tmp_path, rows({**BALANCED, **more})))
    assert check.few_rows_languages == {"et": 29}
    assert complaints(check) == ["Fewer than 30 test rows, so an unreliable score: et (29)."]


def test_rare_classes_are_reported(tmp_path: Path) -> None:
    check = data_check(store(tmp_path, rows({**BALANCED, ("de", "c", "train"): 1, ("de", "d", "test"): 2})))
    assert check.single_classes == {"label": ["c"]}
    assert check.rare_classes == {
        "label": {"train": {"c": 1, "d": 0}, "validation": {"c": 0, "d": 0}, "test": {"c": 0}}
    }
    assert complaints(check) == [
        "Classes of label with 1 row in all splits together: c.",
        "Classes of label with fewer than 2 rows: in train c (1), d (0); in validation c (0), d (0); in test c (0).",
    ]


def test_rejected_rows_are_reported_with_their_most_frequent_reasons(tmp_path: Path) -> None:
    """Reasons that differ only in a name or number are merged, and folders are removed."""
    good = rows(BALANCED)
    bad = [row(1000 + number, ("xx", "xx", "zz", "")[number] or "??", "a", "train") for number in range(4)]
    bad += [row(2000 + number, "de", "a", "train") | {"photo": f"/home/ana/{number}.jpg"} for number in range(9)]
    bad += [row(3000, "de", "", "train")]
    check = data_check(store(tmp_path, good + bad, "image=photo"))
    assert (check.rejected.rows, check.rejected.total) == (14, len(good) + 14)
    assert check.rejected.reasons == [
        ("the image's file … is missing", 9),
        ('the language "xx", "zz", "??" is neither an ISO 639 code such as de or pt-BR nor a known name', 4),
        ("no label in label", 1),
    ]
    (line,) = complaints(check)
    assert line.startswith("14 of 194 rows were rejected (7.2 %): the image's file … is missing (9 rows);")


def test_the_majority_class_is_that_of_train(tmp_path: Path) -> None:
    """And its scores are those on test, overall and as a mean over languages."""
    counts = {("de", "a", "train"): 5, ("de", "b", "train"): 4, ("de", "b", "validation"): 9}
    counts |= {("de", "a", "test"): 3, ("de", "b", "test"): 1, ("sl", "b", "test"): 4}
    check = data_check(store(tmp_path, rows(counts)))
    majority = check.majority["label"]
    assert (majority.label, majority.top1, majority.mean_over_languages) == ("a", 3 / 8, (3 / 4 + 0) / 2)
    assert majority_lines(check) == ['Majority baseline of label, always "a": top-1 0.375, mean over languages 0.375.']
    limited = data_check(store(tmp_path, rows(counts)), limit=2)
    assert sum(sizes["test"] for sizes in limited.languages.values()) == 2


def power(**rows: int) -> DataPower:
    """Return the power of languages with so many rows, each in a cluster of its own."""
    return data_power(tuple(rows), np.repeat(np.arange(len(rows)), list(rows.values())), np.arange(sum(rows.values())))


def test_power_names_the_languages_that_can_show_most_and_least() -> None:
    assert power_lines(power(de=1000, pt=572, sl=200), "test") == [
        "The smallest difference between two models that disagree in 10 % of the rows that the test split can show "
        "(80 % power) is 2.8 points in de (1,000 rows), 6.3 points in sl (200 rows) and 2.6 points in the mean over "
        "languages; corrected for 3 languages, 3.2 points in de and 7.2 points in sl."
    ]
    (line,) = power_lines(power(de=572, pt=572), "test")
    assert "is 3.7 points in each language and 2.6 points in the mean over languages; corrected for 2 languages" in line


def test_power_of_one_language_has_no_mean_and_no_correction() -> None:
    (line,) = power_lines(power(de=572), "validation")
    assert line.endswith("that the validation split can show (80 % power) is 3.7 points (572 rows).")


def test_languages_too_small_to_show_any_difference_are_named() -> None:
    """Models that disagree in 10 % of the rows can't differ by more than 10 points."""
    start = "Too few test rows to show any difference between two models that disagree in 10 % of the rows"
    assert power_lines(power(de=572, sl=9, et=78), "test")[1:] == [f"{start}: et (78), sl (9)."]
    assert power_lines(power(sl=9), "test") == [f"{start}: sl (9)."]


def test_tasks_with_the_same_labelled_rows_share_their_power(tmp_path: Path) -> None:
    check = data_check(store(tmp_path, rows(BALANCED)))
    both = check.model_copy(
        update={"classes": {"a": 2, "b": 2}, "power": {"a": check.power["label"], "b": check.power["label"]}}
    )
    assert lines(both) == lines(check)
    different = both.model_copy(update={"power": {"a": power(de=572), "b": power(de=100)}})
    assert [line.partition(" ")[0] for line in lines(different)] == ["a:", "b:"]

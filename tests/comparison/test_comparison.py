"""Comparisons of run folders: values, verdicts, alignment of rows, and everything that is refused."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from sklearn.metrics import balanced_accuracy_score, f1_score

import mmeval
from mmeval import RunFolder, UserError
from mmeval.comparison.paired import paired_differences
from mmeval.comparison.sentences import sentences
from mmeval.errors import RunFolderError
from mmeval.record import ExternalSource
from tests.comparison.run_folders import CLASSES, examples, guesses, write_run

KAPPA = '''"""A metric."""
import mmeval

MMEVAL_API = "1.0"


@mmeval.hookimpl
def register_metrics(register):
    register(mmeval.MetricSpec(name="kappa", summary="s", function=lambda true, predicted: 0.5))
'''


@pytest.fixture
def table() -> dict[str, Any]:
    return examples()


@pytest.fixture
def runs(tmp_path: Path, table: dict[str, Any]) -> tuple[RunFolder, RunFolder]:
    true = table["true"]
    return (
        write_run(tmp_path / "late-fusion", table, {0: guesses(true, 0.8, 1)}),
        write_run(tmp_path / "embracenet", table, {0: guesses(true, 0.6, 2)}),
    )


def test_the_numbers_are_those_of_the_paired_test(runs: tuple[RunFolder, RunFolder], table: dict[str, Any]) -> None:
    result = mmeval.compare(*runs)
    languages, language = np.unique(table["language"], return_inverse=True)
    cluster = np.unique(table["cluster"], return_inverse=True)[1]
    hits = [guesses(table["true"], accuracy, seed) == table["true"] for accuracy, seed in ((0.8, 1), (0.6, 2))]
    expected = paired_differences(hits[0], hits[1], language, cluster)
    assert [each.language for each in result.languages] == languages.tolist() == ["de", "et", "sl"]
    for one, other in zip(result.languages, expected.languages, strict=True):
        assert (one.difference, one.se, one.low, one.high, one.p) == pytest.approx(
            (other.estimate.difference, other.estimate.se, other.estimate.low, other.estimate.high, other.estimate.p)
        )
        assert one.p_adjusted >= one.p
        assert one.detectable_adjusted > one.detectable
        assert one.rows_for == {"0.02": math.ceil(one.rows * (one.detectable / 0.02) ** 2)}
    assert result.mean == expected.mean
    assert result.weighted_mean == expected.weighted_mean
    assert result.runs[0].value == pytest.approx(
        np.mean([hits[0][language == code].mean() for code in range(3)]), abs=1e-12
    )


def test_the_json_has_the_documented_keys_and_only_finite_numbers(runs: tuple[RunFolder, RunFolder]) -> None:
    data = mmeval.compare(*runs).to_dict()
    assert {"a", "b", "metric", "task", "correction", "languages", "mean", "weighted_mean", "pairs", "ranks"} <= set(
        data
    )
    assert set(data["languages"][0]) == {
        *("language", "rows", "clusters", "only_a", "only_b", "difference", "se", "low", "high", "p", "p_adjusted"),
        *("detectable", "detectable_adjusted", "rows_for", "verdict"),
    }
    assert set(data["mean"]) == set(data["weighted_mean"]) == {"difference", "se", "low", "high", "p"}
    assert data["pairs"] == [
        {"a": "late-fusion", "b": "embracenet", "difference": data["mean"]["difference"], "p": data["mean"]["p"]}
        | {"p_adjusted": data["mean"]["p"]}
    ]
    assert data["ranks"] == [
        {"run": "late-fusion", "best": 1, "worst": 1},
        {"run": "embracenet", "best": 2, "worst": 2},
    ]
    assert json.loads(json.dumps(data, allow_nan=False)) == data


def test_a_run_compared_with_itself_has_identical_predictions(runs: tuple[RunFolder, RunFolder]) -> None:
    result = mmeval.compare(runs[0], runs[0].path)
    assert (result.a, result.b) == ("late-fusion", "late-fusion (2)")
    assert result.pairs[0].identical
    assert result.pairs[0].rows_that_differ == {"0": 0}
    assert all((each.difference, each.p, each.verdict) == (0, 1, "too few") for each in result.languages)
    assert (result.mean.difference, result.mean.p) == (0, 1)


def test_rows_that_differ_are_counted_per_seed(tmp_path: Path, table: dict[str, Any]) -> None:
    first = guesses(table["true"], 0.8, 1)
    second = first.copy()
    second[:7] = (second[:7] + 1) % len(CLASSES)
    a = write_run(tmp_path / "a", table, {0: first, 1: first, 2: first})
    b = write_run(tmp_path / "b", table, {0: first, 1: second})
    pair = mmeval.compare(a, b).pairs[0]
    assert pair.rows_that_differ == {"0": 0, "1": 7}
    assert not pair.identical


def test_row_order_class_order_and_cluster_names_do_not_matter(
    tmp_path: Path, runs: tuple[RunFolder, RunFolder], table: dict[str, Any]
) -> None:
    order = np.random.default_rng(3).permutation(300)
    turned = tuple(reversed(CLASSES))
    number = np.array([turned.index(name) for name in CLASSES])
    other = {name: [table[name][row] for row in order] for name in ("id", "language", "cluster")}
    other["cluster"] = [f"x{name}" for name in other["cluster"]]
    other["true"] = number[table["true"][order]]
    predicted = number[guesses(table["true"], 0.6, 2)[order]]
    changed = write_run(tmp_path / "changed", other, {0: predicted}, classes=turned)
    before, after = mmeval.compare(*runs), mmeval.compare(runs[0], changed)
    assert after.languages == before.languages
    assert after.mean == before.mean
    assert mmeval.compare(runs[1], changed).pairs[0].identical


def test_swapping_the_runs_swaps_the_verdicts(runs: tuple[RunFolder, RunFolder]) -> None:
    there, back = mmeval.compare(*runs), mmeval.compare(*reversed(runs))
    assert [each.verdict for each in there.languages].count("a") > 0
    swap = {"a": "b", "b": "a"}
    for one, other in zip(there.languages, back.languages, strict=True):
        assert one.difference == pytest.approx(-other.difference)
        assert one.p == pytest.approx(other.p)
        assert swap.get(one.verdict, one.verdict) == other.verdict


def test_a_lower_log_loss_is_better(runs: tuple[RunFolder, RunFolder]) -> None:
    result = mmeval.compare(*runs, metric="log_loss")
    assert result.mean.difference < 0
    assert [each.verdict for each in result.languages] == ["a", "a", "a"]
    assert result.ranks == ((1, 1), (2, 2))


def test_few_discordant_clusters_are_too_few_and_never_no_difference(tmp_path: Path) -> None:
    table = examples(40, ("de", "et"))
    table["cluster"] = table["id"]
    a = table["true"].copy()
    b = a.copy()
    b[:6] = (b[:6] + 1) % len(CLASSES)
    table["language"] = ["de"] * 6 + ["et"] * 34
    result = mmeval.compare(*(write_run(tmp_path / name, table, {0: p}) for name, p in (("a", a), ("b", b))))
    german, estonian = result.languages
    # p = .031 of six discordant rows is not below .05 after correction for two languages.
    assert (german.p, german.p_adjusted, german.verdict) == (2**-5, 2**-4, "too few")
    assert (estonian.p, estonian.verdict) == (1, "too few")


def test_a_row_per_language_can_show_no_difference(tmp_path: Path) -> None:
    table = examples(2)
    table |= {"language": ["de", "et"], "cluster": ["x", "y"]}
    b = table["true"].copy()
    b[0] = (b[0] + 1) % len(CLASSES)
    result = mmeval.compare(
        *(write_run(tmp_path / name, table, {0: p}) for name, p in (("a", table["true"]), ("b", b)))
    )
    text = " ".join(sentences(result))
    assert "1 row can show no difference at all." in text
    assert "you would see" not in text


def test_runs_within_the_margin_are_equivalent(tmp_path: Path) -> None:
    table = examples(3000, ("de", "et"))
    a = guesses(table["true"], 0.8, 1)
    b = a.copy()
    b[:20] = guesses(table["true"], 0.5, 2)[:20]
    folders = [write_run(tmp_path / name, table, {0: p}) for name, p in (("a", a), ("b", b))]
    assert [each.verdict for each in mmeval.compare(*folders, margin=0.02).languages] == ["equivalent"] * 2
    assert "equivalent" not in {each.verdict for each in mmeval.compare(*folders).languages}
    assert "equivalent" not in {each.verdict for each in mmeval.compare(*folders, margin=0.0001).languages}


def test_three_runs_get_pairs_and_ranks_with_ties(tmp_path: Path, table: dict[str, Any]) -> None:
    true = table["true"]
    folders = [
        write_run(tmp_path / name, table, {0: guesses(true, accuracy, seed)})
        for seed, (name, accuracy) in enumerate((("poor", 0.3), ("good", 0.8), ("fine", 0.81)))
    ]
    result = mmeval.compare(*folders)
    assert [(pair.a, pair.b) for pair in result.pairs] == [("poor", "good"), ("poor", "fine"), ("good", "fine")]
    assert result.ranks == ((3, 3), (1, 2), (1, 2))
    data = result.to_dict()
    assert (data["a"], data["b"]) == ("poor", "good")
    assert len(data["pair_tables"]) == 3
    assert max(pair.p_adjusted for pair in result.pairs) == result.pairs[2].mean.p


def test_several_seeds_are_averaged(tmp_path: Path, table: dict[str, Any]) -> None:
    true = table["true"]
    seeds = {seed: guesses(true, 0.7, seed) for seed in range(3)}
    a, b = write_run(tmp_path / "a", table, seeds), write_run(tmp_path / "b", table, {0: guesses(true, 0.5, 9)})
    result = mmeval.compare(a, b)
    language = np.unique(table["language"], return_inverse=True)[1]
    difference = np.mean([p == true for p in seeds.values()], axis=0) - (guesses(true, 0.5, 9) == true)
    for code, each in enumerate(result.languages):
        assert each.difference == pytest.approx(difference[language == code].mean(), abs=1e-12)
        assert each.only_a - each.only_b == pytest.approx(difference[language == code].sum(), abs=1e-9)


def test_macro_f1_differences_are_those_of_scikit_learn(
    runs: tuple[RunFolder, RunFolder], table: dict[str, Any]
) -> None:
    result = mmeval.compare(*runs, metric="macro_f1")
    true, language = table["true"], np.array(table["language"])
    predicted = [guesses(true, accuracy, seed) for accuracy, seed in ((0.8, 1), (0.6, 2))]
    for each in result.languages:
        rows = language == each.language
        a, b = (f1_score(true[rows], of_run[rows], average="macro") for of_run in predicted)
        assert each.difference == pytest.approx(a - b, abs=1e-6)
        assert each.low < each.difference < each.high
        assert 0 < each.p < 0.05
    assert result.mean.difference == pytest.approx(np.mean([each.difference for each in result.languages]), abs=1e-9)
    same = mmeval.compare(runs[0], runs[0], metric="macro_f1")
    assert {each.p for each in same.languages} == {1}
    assert all(each.low < 0 < each.high for each in same.languages)
    back = mmeval.compare(*reversed(runs), metric="macro_f1")
    for one, other in zip(result.languages, back.languages, strict=True):
        assert (one.difference, one.p, one.low) == pytest.approx((-other.difference, other.p, -other.high), abs=1e-6)


@pytest.mark.parametrize("metric", ["macro_f1", "balanced_accuracy"])
def test_languages_without_a_listed_class_are_left_out_and_named(
    tmp_path: Path, table: dict[str, Any], metric: str
) -> None:
    true = np.asarray(table["true"] % 3)
    true[np.flatnonzero(np.array(table["language"]) == "sl")] = 1
    rare = np.flatnonzero(np.array(table["language"]) == "sl")[:3]
    kept = np.array(table["language"]) != "sl"
    kept[rare] = True
    true[rare] = 3
    small = {name: np.asarray(values)[kept].tolist() for name, values in table.items()} | {"true": true[kept]}
    folders = [write_run(tmp_path / name, small, {0: guesses(small["true"], 0.7, len(name))}) for name in ("a", "bb")]
    result = mmeval.compare(*folders, metric=metric)
    assert [each.language for each in result.languages] == ["de", "et"]
    assert result.rows == kept.sum() - 3
    assert any("leaves out sl" in note for note in result.notes)
    assert math.isfinite(result.mean.difference)
    json.dumps(result.to_dict(), allow_nan=False)


def test_a_bootstrap_whose_resamples_are_nearly_all_alike_has_an_interval_with_a_width(tmp_path: Path) -> None:
    true = np.array([1, 1, 1] * 4 + [0, 0, 0] * 6)  # a resample lacks class 1 in 0.6 % of the cases
    table = {
        "id": [f"row{number}" for number in range(30)],
        "language": ["de"] * 30,
        "cluster": [f"image{number // 3}" for number in range(30)],
        "true": true,
    }
    always, never = np.zeros(30, np.int64), np.full(30, 2)
    folders = [write_run(tmp_path / "always", table, {0: always}), write_run(tmp_path / "never", table, {0: never})]
    (language,) = mmeval.compare(*folders, metric="balanced_accuracy").languages
    assert language.low < language.difference == 0.5 < language.high


def test_rare_classes_are_left_out_of_macro_f1_and_counted(tmp_path: Path, table: dict[str, Any]) -> None:
    true = np.where(table["true"] == 3, 2, table["true"])
    true[:4] = 3
    table["true"] = true
    folders = [write_run(tmp_path / name, table, {0: guesses(true, 0.7, seed)}) for seed, name in enumerate("ab")]
    assert mmeval.compare(*folders, metric="macro_f1").notes == (
        "macro-F1 is over the 3 of 4 classes with at least 10 rows.",
    )


def test_unlabelled_rows_are_left_out(tmp_path: Path, table: dict[str, Any]) -> None:
    table["true"] = np.where(np.array(table["language"]) == "sl", -1, table["true"])
    known = np.maximum(table["true"], 0)
    folders = [write_run(tmp_path / name, table, {0: guesses(known, 0.7, seed)}) for seed, name in enumerate("ab")]
    result = mmeval.compare(*folders)
    assert [each.language for each in result.languages] == ["de", "et"]
    assert result.notes == ("No labelled rows: sl.",)


def test_a_table_without_clusters_takes_those_of_the_other_run(
    tmp_path: Path, runs: tuple[RunFolder, RunFolder], table: dict[str, Any]
) -> None:
    """Predictions of another tool have no clusters unless its user adds them."""
    alone = write_run(
        tmp_path / "tool", table | {"cluster": table["id"]}, {0: guesses(table["true"], 0.6, 2)}, labels_only=True
    )
    expected = mmeval.compare(*runs)
    for result in (mmeval.compare(runs[0], alone), mmeval.compare(alone, runs[0])):
        assert result.languages[0].clusters == expected.languages[0].clusters
        assert result.languages[0].p == expected.languages[0].p
        assert result.notes == ("tool has a cluster of its own for every row; the clusters are those of late-fusion.",)


CHANGES = {
    "rows": (lambda t: t | {"id": ["other", *t["id"][1:]]}, r"it lacks 1 of the 300 rows of late-fusion \(such as"),
    "labels": (
        lambda t: t | {"true": np.r_[(t["true"][:2] + 1) % 4, t["true"][2:]]},
        r'other labels of item than late-fusion in 2 of 300 rows \(such as "row0": ',
    ),
    "languages": (
        lambda t: t | {"language": ["lt", *t["language"][1:]]},
        r'other languages than late-fusion in 1 of 300 rows \(such as "row0": "lt"',
    ),
    "clusters": (
        lambda t: t | {"cluster": ["one", "one", "one", *t["cluster"][3:]]},
        "groups the rows into other clusters than late-fusion",
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_other_rows_are_refused_with_an_example_and_compared_if_forced(
    change: str, tmp_path: Path, runs: tuple[RunFolder, RunFolder], table: dict[str, Any]
) -> None:
    alter, message = CHANGES[change]
    changed = alter(table)
    other = write_run(tmp_path / "other", changed, {0: guesses(changed["true"], 0.6, 2)})
    with pytest.raises(RunFolderError, match=message) as caught:
        mmeval.compare(runs[0], other)
    assert "add --force" in str(caught.value)
    forced = mmeval.compare(runs[0], other, force=True)
    assert len(forced.forced) == 1
    assert forced.rows == {"rows": 299, "labels": 298, "languages": 299, "clusters": 300}[change]


@pytest.mark.parametrize(
    ("protocol", "message"),
    [
        ({"dataset": "market"}, "the data set of other is market, but that of late-fusion is shop"),
        ({"fingerprint": "1" * 64}, "the data fingerprint of other is 11111111, but that of late-fusion is 00000000"),
        ({"split": "validation"}, "the scored split of other is validation"),
        ({"labels": "human"}, "the label policy of other is human"),
        ({"limit": 300}, "the limit of other is 300, but that of late-fusion is none"),
        ({"inputs": "text"}, "the inputs of other are text, but those of late-fusion are image.text"),
        ({"track": "paper"}, "the track of other is paper"),
    ],
)
def test_other_protocols_are_refused_and_compared_if_forced(
    protocol: dict[str, Any], message: str, tmp_path: Path, runs: tuple[RunFolder, RunFolder], table: dict[str, Any]
) -> None:
    other = write_run(tmp_path / "other", table, {0: guesses(table["true"], 0.6, 2)}, **protocol)
    with pytest.raises(RunFolderError, match=message):
        mmeval.compare(runs[0], other)
    forced = mmeval.compare(runs[0], other, force=True)
    assert len(forced.forced) == 1
    assert forced.to_dict()["forced"] == list(forced.forced)
    assert forced.mean == mmeval.compare(*runs).mean


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"metric": "nothing"}, "nothing"),
        ({"metric": "top5"}, 'has no metric "top5" of item; --metric can be: top1, top3, log_loss'),
        ({"task": "colour"}, 'no predictions of the task "colour"; its tasks are: item'),
        ({"correction": "sidak"}, "--correction sidak: write holm or bh"),
        ({"margin": 0.0}, "--margin 0: write the largest difference"),
        ({"margin": float("nan")}, "--margin nan"),
    ],
)
def test_wrong_options_are_refused(options: dict[str, Any], message: str, runs: tuple[RunFolder, RunFolder]) -> None:
    with pytest.raises(UserError, match=message):
        mmeval.compare(*runs, **options)


def test_metrics_of_probabilities_need_probabilities(
    tmp_path: Path, runs: tuple[RunFolder, RunFolder], table: dict[str, Any]
) -> None:
    labels = write_run(tmp_path / "labels", table, {0: guesses(table["true"], 0.6, 2)}, labels_only=True)
    with pytest.raises(UserError, match="since its predictions are labels without probabilities"):
        mmeval.compare(runs[0], labels, metric="brier")


def test_no_labelled_row_is_refused(tmp_path: Path, table: dict[str, Any]) -> None:
    table["true"] = np.full(300, -1)
    folders = [write_run(tmp_path / name, table, {0: np.zeros(300, int)}) for name in "ab"]
    with pytest.raises(UserError, match="there is nothing to compare"):
        mmeval.compare(*folders)


def test_changed_predictions_are_refused(runs: tuple[RunFolder, RunFolder]) -> None:
    file = runs[1].predictions_file(0)
    file.write_bytes(file.read_bytes()[::-1])
    with pytest.raises(RunFolderError, match="was changed"):
        mmeval.compare(*runs)


def test_the_comparison_is_written_as_json_and_parquet(runs: tuple[RunFolder, RunFolder], tmp_path: Path) -> None:
    result = mmeval.compare(*runs)
    result.write(tmp_path / "out" / "compare")
    data = json.loads((tmp_path / "out" / "compare" / "comparison.json").read_bytes())
    assert data["languages"] == result.to_dict()["languages"]
    rows = pq.read_table(tmp_path / "out" / "compare" / "comparison.parquet").to_pylist()
    assert [row["language"] for row in rows] == ["de", "et", "sl", "macro", "weighted"]
    assert [row["difference"] for row in rows[:3]] == [each.difference for each in result.languages]
    assert rows[3]["difference"] == result.mean.difference
    with pytest.raises(UserError, match="this is the folder of a run"):
        result.write(runs[0].path)


def test_a_notebook_shows_the_table(runs: tuple[RunFolder, RunFolder]) -> None:
    html = mmeval.compare(*runs)._repr_html_()
    assert "late-fusion minus embracenet" in html
    assert html.count("<tr>") == 6


def test_folders_of_the_same_name_are_told_apart_by_their_paths(tmp_path: Path, table: dict[str, Any]) -> None:
    folders = [
        write_run(tmp_path / parent / "run", table, {0: guesses(table["true"], 0.7, seed)}, model="late-fusion")
        for seed, parent in enumerate("ab")
    ]
    result = mmeval.compare(*folders)
    assert (result.a, result.b) == tuple(str(folder.path) for folder in folders)


def test_a_seed_with_other_rows_is_named(tmp_path: Path, runs: tuple[RunFolder, RunFolder]) -> None:
    table = examples(299)
    other = write_run(tmp_path / "other", table, {0: guesses(table["true"], 0.6, 2), 5: guesses(table["true"], 0.6, 3)})
    with pytest.raises(
        RunFolderError, match=r"other \(seed 0\) has other rows than late-fusion: it lacks 1 of the 300"
    ):
        mmeval.compare(runs[0], other)
    with pytest.raises(RunFolderError, match=r"it has 1 labelled rows that other lacks"):
        mmeval.compare(other, runs[0])


def test_predictions_of_another_tool_are_compared_by_their_rows(
    tmp_path: Path, runs: tuple[RunFolder, RunFolder], table: dict[str, Any]
) -> None:
    """Their protocol is not known, so it can't differ."""
    source = ExternalSource(file="p.csv", sha256="2" * 64, rows=300)
    facts = {"track": "external", "fingerprint": "1" * 64, "dataset": "table", "inputs": "unknown", "source": source}
    tool = write_run(tmp_path / "tool", table, {0: guesses(table["true"], 0.6, 2)}, **facts)
    result = mmeval.compare(runs[0], tool)
    assert result.forced == ()
    assert result.notes[0].startswith("The predictions of tool come from another tool")
    other = write_run(tmp_path / "other", examples(299), {0: guesses(examples(299)["true"], 0.6, 2)}, **facts)
    with pytest.raises(RunFolderError, match="other has other rows"):
        mmeval.compare(runs[0], other)


def test_balanced_accuracy_differences_are_those_of_scikit_learn(
    runs: tuple[RunFolder, RunFolder], table: dict[str, Any]
) -> None:
    result = mmeval.compare(*runs, metric="balanced_accuracy")
    true, language = table["true"], np.array(table["language"])
    predicted = [guesses(true, accuracy, seed) for accuracy, seed in ((0.8, 1), (0.6, 2))]
    for each in result.languages:
        rows = language == each.language
        a, b = (balanced_accuracy_score(true[rows], of_run[rows]) for of_run in predicted)
        assert each.difference == pytest.approx(a - b, abs=1e-6)


def test_a_metric_that_is_a_function_of_all_predictions_is_refused(
    tmp_path: Path, runs: tuple[RunFolder, RunFolder]
) -> None:
    path = tmp_path / "kappa.py"
    path.write_text(KAPPA, encoding="utf-8")
    with pytest.raises(UserError, match="kappa is no mean over examples"):
        mmeval.compare(*runs, metric=str(path))


def test_a_metric_of_a_plugin_is_compared_by_its_values(tmp_path: Path, runs: tuple[RunFolder, RunFolder]) -> None:
    path = tmp_path / "kappa.py"
    code = KAPPA.replace(
        "function=lambda true, predicted: 0.5", "per_example=lambda true, p: (p.argmax(1) == true) * 0.7"
    )
    path.write_text(code.replace("kappa", "sevenths"), encoding="utf-8")
    result, expected = mmeval.compare(*runs, metric=str(path)), mmeval.compare(*runs)
    assert result.metric == "sevenths"
    assert result.mean.difference == pytest.approx(0.7 * expected.mean.difference)
    for one, other in zip(result.languages, expected.languages, strict=True):
        assert one.se == pytest.approx(0.7 * other.se)
        assert one.p == pytest.approx(other.p, abs=0.01)

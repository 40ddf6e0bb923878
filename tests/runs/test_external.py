"""Predictions of another tool as a run: formats, tasks and seeds, class order, and agreement with a trained run."""

from __future__ import annotations

import csv
import gc
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import mmeval
from mmeval.data.external.predictions import ExternalPredictions, assemble
from mmeval.data.external.reading import RawPredictions, read_predictions_table
from mmeval.errors import UserError
from mmeval.metrics.predictions import read_tasks
from mmeval.runs.folder import RunFolder
from mmeval.runs.scoring import write_scores_of

Row = dict[str, Any]
FORMATS = ("parquet", "csv", "tsv", "jsonl")


def exported(run: RunFolder, task: str | None = None, split: str = "test") -> list[Row]:
    """Return the predictions of a run in long format: a row per example, task and seed, with lists of probabilities."""
    rows: list[Row] = []
    for seed in run.record.plan.protocol.seeds:
        table = run.predictions(seed, split)
        for name in [task] if task else [each.name for each in read_tasks(run.predictions_file(seed))]:
            rows += [
                {
                    "id": example["id"],
                    "language": example["language"],
                    "cluster": example["cluster"],
                    **{column: example[column] for column in example if column.startswith("slice:")},
                    "task": name,
                    "seed": seed,
                    "true": example[name],
                    "probabilities": example[f"{name}:probabilities"],
                }
                for example in table.to_pylist()
            ]
    return rows


def with_columns_per_class(rows: Sequence[Row], classes: Mapping[str, Sequence[str]]) -> list[Row]:
    """Replace the lists of probabilities by a column per class; those of other tasks stay empty."""
    every = dict.fromkeys(name for names in classes.values() for name in names)
    return [
        {name: value for name, value in row.items() if name != "probabilities"}
        | {f"p:{name}": None for name in every}
        | {f"p:{name}": p for name, p in zip(classes[row["task"]], row["probabilities"], strict=True)}
        for row in rows
    ]


def write(path: Path, rows: Sequence[Row]) -> Path:
    """Write rows as Parquet, CSV, TSV or JSON Lines, by the suffix of the path."""
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(list(rows)), path)
    elif path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    else:
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]), delimiter="," if path.suffix == ".csv" else "\t")
            writer.writeheader()
            writer.writerows(rows)
    return path


def scores(run: RunFolder) -> str:
    """Return the scores of a run as text, in which NaN equals NaN, without the columns that name the run."""
    return str(run.scores.drop_columns(["run", "model", "dataset", "inputs"]).to_pylist())


def classes_of(run: RunFolder) -> dict[str, tuple[str, ...]]:
    return {task.name: task.classes for task in read_tasks(run.predictions_file(run.record.plan.protocol.seeds[0]))}


def refusal(predictions: Any, tmp_path: Path, **options: Any) -> str:
    with pytest.raises(UserError) as caught:
        mmeval.score_predictions(predictions, output=tmp_path / "refused", **options)
    assert not (tmp_path / "refused").exists()
    return str(caught.value)


@pytest.mark.parametrize("suffix", FORMATS)
def test_the_predictions_of_a_run_get_the_same_scores_when_another_tool_hands_them_in(
    suffix: str, finished: RunFolder, tmp_path: Path
) -> None:
    """Two tasks, two seeds, slices, clusters, and examples without a label."""
    classes = classes_of(finished)
    path, validation = (
        write(tmp_path / f"{split}.{suffix}", with_columns_per_class(exported(finished, split=split), classes))
        for split in ("test", "validation")
    )
    external = mmeval.score_predictions(path, validation=validation, output=tmp_path / "external")
    assert classes_of(external) == classes
    assert scores(external) == scores(finished)
    for seed in (0, 1):
        assert external.predictions(seed).to_pylist() == finished.predictions(seed).to_pylist()


@pytest.mark.parametrize("suffix", FORMATS)
def test_lists_of_probabilities_give_the_same_scores(suffix: str, finished: RunFolder, tmp_path: Path) -> None:
    path, validation = (
        write(tmp_path / f"{split}.{suffix}", exported(finished, split=split)) for split in ("test", "validation")
    )
    (tmp_path / "classes.json").write_text(json.dumps(classes_of(finished)), encoding="utf-8")
    external = mmeval.score_predictions(
        path, validation=validation, classes=str(tmp_path / "classes.json"), output=tmp_path / "external"
    )
    assert scores(external) == scores(finished)


def test_rows_may_be_in_any_order(finished: RunFolder, tmp_path: Path) -> None:
    paths = []
    for split in ("test", "validation"):
        rows = exported(finished, split=split)
        shuffled = [rows[i] for i in np.random.default_rng(0).permutation(len(rows))]
        paths.append(write(tmp_path / f"{split}.jsonl", shuffled))
    external = mmeval.score_predictions(
        paths[0], validation=paths[1], classes=classes_of(finished), like=finished, output=tmp_path / "external"
    )
    assert scores(external) == scores(finished)


def test_like_takes_over_data_set_fingerprint_order_clusters_and_slices(finished: RunFolder, tmp_path: Path) -> None:
    rows = [
        {"custom_id": row["id"], "response": {"body": {"choices": [{"message": {"content": f" {row['true']}\n"}}]}}}
        for row in exported(finished, "colour")
        if row["seed"] == 0
    ]
    path = write(tmp_path / "batch.jsonl", rows[::-1])
    external = mmeval.score_predictions(
        path,
        columns={"id": "custom_id", "predicted": "response.body.choices.0.message.content"},
        task="colour",
        like=finished.path,
        output=tmp_path / "external",
    )
    mine, theirs = external.record.plan.protocol, finished.record.plan.protocol
    assert (mine.dataset, mine.fingerprint, mine.split) == (theirs.dataset, theirs.fingerprint, theirs.split)
    own = ["id", "language", "cluster", "slice:number", "colour"]
    assert external.predictions().select(own).to_pylist() == finished.predictions().select(own).to_pylist()
    assert external.record.source is not None
    assert external.record.source.like == "run"
    assert {
        row["value"] for row in external.scores.to_pylist() if row["metric"] == "top1" and row["language"] == "all"
    } == {1}


def test_like_refuses_other_examples(finished: RunFolder, tmp_path: Path) -> None:
    rows = [row for row in exported(finished, "colour") if row["seed"] == 0]
    columns = classes_of(finished)
    options = {"like": finished, "classes": columns}

    def message(changed: list[Row]) -> str:
        return refusal(write(tmp_path / "p.jsonl", changed), tmp_path, **options).removeprefix("p.jsonl")

    like = finished.path
    assert message([*rows[:-1], rows[-1] | {"id": "elsewhere"}]) == (
        f', row 42: the id "elsewhere" is not among the examples of {like} (1 such row); all must have the same '
        f"examples."
    )
    assert message(rows[1:]) == (
        f': there is no row with the id "{rows[0]["id"]}", an example of {like} (1 such row); all must have the same '
        "examples."
    )
    assert message([rows[0] | {"true": "blue"}, *rows[1:]]) == (
        f', row 1: the true class of the id "{rows[0]["id"]}" is "blue", but "{rows[0]["true"]}" in {like} (1 such '
        f"row); both "
        "must be of the same examples."
    )
    assert message([rows[0] | {"language": "fr"}, *rows[1:]]) == (
        f', row 1: the language of the id "{rows[0]["id"]}" is "fr", but "{rows[0]["language"]}" in {like} (1 such '
        f"row); both "
        "must be of the same examples."
    )
    assert message([row | {"task": "size"} for row in rows]) == (
        f": {like} has no task size, only colour, shade; name the task with --task."
    )


def small(**changes: Any) -> dict[str, Any]:
    return {
        "id": ["a", "b", "c", "d"],
        "language": ["de", "de", "fr", "fr"],
        "true": ["cat", "dog", "eel", "cat"],
        "probabilities": [[0.8, 0.1, 0.1], [0.1, 0.8, 0.1], [0.2, 0.2, 0.6], [0.3, 0.3, 0.4]],
    } | changes


def overall(run: RunFolder, metric: str = "top1") -> float:
    (value,) = [
        row["value"]
        for row in run.scores.to_pylist()
        if (row["metric"], row["language"], row["slice"]) == (metric, "all", "all")
    ]
    return float(value)


@pytest.mark.parametrize(
    "table",
    [
        small(),
        small(probabilities=np.array(small()["probabilities"])),
        pa.table(small()),
        pd.DataFrame(small()),
        pd.DataFrame(small()).astype({"true": "category", "language": "category"}),
    ],
    ids=["mapping", "array", "arrow", "pandas", "categorical"],
)
def test_a_table_in_memory_is_scored(table: Any, tmp_path: Path) -> None:
    run = mmeval.score_predictions(table, name="mine", dataset="animals", output=tmp_path / "run")
    assert overall(run) == 0.75
    assert run.record.plan.signature.startswith("animals:")
    assert run.record.source is not None
    assert run.record.source.file == "table"


def test_tables_with_the_same_content_have_the_same_digest_however_they_are_chunked(tmp_path: Path) -> None:
    whole = pa.table(small())
    parts = pa.concat_tables([whole.slice(0, 1), whole.slice(1)])
    first = mmeval.score_predictions(whole, output=tmp_path / "one").record.source
    second = mmeval.score_predictions(parts, output=tmp_path / "two").record.source
    assert first is not None
    assert second is not None
    assert first.sha256 == second.sha256


@pytest.mark.parametrize("value", [3, [1, 2], None, {"id": [1], "language": ["de", "fr"]}])
def test_other_values_are_no_table(value: Any, tmp_path: Path) -> None:
    message = refusal(value, tmp_path)
    assert message.startswith(("predictions must be a file", "The table can't be read as Arrow columns ("))


def test_whole_numbers_as_classes_are_in_the_order_of_their_values(tmp_path: Path) -> None:
    """scikit-learn's classes_ are sorted so; as texts, 10 would come before 2."""
    labels = np.arange(12)
    table = {"id": labels, "language": ["de"] * 12, "true": labels, "probabilities": np.eye(12)}
    run = mmeval.score_predictions(table, output=tmp_path / "run")
    assert classes_of(run)["label"] == tuple(map(str, range(12)))
    assert overall(run) == 1


def test_the_order_of_lists_is_said_in_the_report(tmp_path: Path) -> None:
    run = mmeval.score_predictions(small(), output=tmp_path / "run")
    assert (
        'label: its lists of probabilities are taken in the order of its sorted true classes, "cat", "dog", "eel".'
        in run.content().notes
    )


def test_class_names_that_datasets_records_give_the_order(tmp_path: Path) -> None:
    """``ClassLabel``: the column holds numbers, the metadata of the file the names."""
    features = {"true": {"names": ["dog", "cat", "eel", "fox"], "_type": "ClassLabel"}}
    lists = [[0.1, 0.7, 0.1, 0.1], [0.7, 0.1, 0.1, 0.1], [0.1, 0.1, 0.7, 0.1], [0.1, 0.7, 0.1, 0.1]]
    table = pa.table(small(true=[1, 0, 2, 1], probabilities=lists))
    table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    pq.write_table(table, tmp_path / "p.parquet")
    run = mmeval.score_predictions(tmp_path / "p.parquet", output=tmp_path / "run")
    assert classes_of(run)["label"] == ("dog", "cat", "eel", "fox")
    assert overall(run) == 1


def test_predicted_classes_are_compared_with_the_probabilities(tmp_path: Path) -> None:
    run = mmeval.score_predictions(small(predicted=["cat", "dog", "cat", "eel"]), output=tmp_path / "run")
    assert (
        "The predicted class of label is not the most probable one in 1 of 4 rows of the table, first in row 3; the "
        "probabilities are scored." in run.content().notes
    )
    assert overall(run) == 0.75
    message = refusal(small(predicted=["dog", "eel", "cat", "eel"]), tmp_path)
    assert message == (
        "the table, row 1: the predicted class is not the most probable one in 3 of 4 rows, so the classes seem to "
        "be in "
        "another order than the probabilities; give the order with --classes, or leave the column predicted out."
    )


def test_equal_probabilities_agree_with_either_class(tmp_path: Path) -> None:
    table = small(probabilities=[[0.4, 0.4, 0.2]] * 4, predicted=["dog", "cat", "dog", "cat"])
    assert not [
        line for line in mmeval.score_predictions(table, output=tmp_path / "run").content().notes if "most" in line
    ]


def test_a_predicted_class_that_no_example_has_is_a_class(tmp_path: Path) -> None:
    table = small(predicted=["cat", "none", "eel", "cat"])
    del table["probabilities"]
    run = mmeval.score_predictions(table, output=tmp_path / "run")
    assert classes_of(run)["label"] == ("cat", "dog", "eel", "none")
    assert 'Predicted classes of label that are no example\'s true class: "none".' in run.content().notes
    assert overall(run) == 0.75


def test_unknown_languages_are_kept_and_known_ones_get_their_code(tmp_path: Path) -> None:
    run = mmeval.score_predictions(small(language=["deu_Latn", "de-AT", "cz", "lang1"]), output=tmp_path / "run")
    assert run.predictions()["language"].to_pylist() == ["de", "de", "cs", "lang1"]
    assert set(run.content().notes) >= {
        "Languages that are no ISO 639 code and no known name, kept as they are: lang1.",
        "The languages deu_Latn, de-AT are all de and are scored together.",
    }


def test_a_column_without_languages_is_refused(tmp_path: Path) -> None:
    n = 300
    table = {
        "id": [str(i) for i in range(n)],
        "language": [f"a text {i}" for i in range(n)],
        "true": ["a", "b"] * (n // 2),
        "predicted": ["a"] * n,
    }
    assert refusal(table, tmp_path) == (
        'the table: the column language does not hold languages, but 300 other values such as "a text 0"; choose '
        "another "
        "column with --columns language=COLUMN."
    )


def test_one_language_for_all_rows_can_be_given(tmp_path: Path) -> None:
    table = small()
    del table["language"]
    run = mmeval.score_predictions(table, language="German", output=tmp_path / "run")
    assert set(run.scores["language"].to_pylist()) >= {"de", "all"}
    assert not {"gap", "worst"} & set(run.scores["language"].to_pylist())
    assert refusal(table, tmp_path, language="all").startswith("--language all is a reserved word")


def test_rows_without_a_label_are_not_scored(tmp_path: Path) -> None:
    run = mmeval.score_predictions(
        small(true=["cat", None, "eel", "dog"]), classes="cat,dog,eel", output=tmp_path / "run"
    )
    assert overall(run) == pytest.approx(2 / 3)
    assert run.predictions()["label"].to_pylist() == ["cat", None, "eel", "dog"]
    assert run.record.source is not None
    assert "No true class of label in 1 of 4 rows of the table; they aren't scored." in run.record.source.notes


def test_validation_predictions_are_written_beside_those_of_the_test_split(tmp_path: Path) -> None:
    validation = small(id=["v1", "v2", "v3", "v4"], true=["cat", "cat", "dog", "dog"])
    run = mmeval.score_predictions(small(), validation=validation, output=tmp_path / "run")
    assert run.predictions(split="validation")["id"].to_pylist() == ["v1", "v2", "v3", "v4"]
    assert run.validation_predictions_file(0).name == "seed-0.validation.parquet"
    assert "predictions/seed-0.validation.parquet" in run.record.files
    assert run.record.source is not None
    assert run.record.source.validation_file == "table"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"seed": [1, 1, 1, 1]}, "the table has the seeds 1, the table has 0; both need the same."),
        ({"task": ["x"] * 4}, "the table has the tasks x, the table label."),
        (
            {"probabilities": [[0.5, 0.5]] * 4},
            "the table has 2 probabilities of label, the table has 3.",
        ),
    ],
)
def test_validation_predictions_of_another_form_are_refused(
    changes: dict[str, Any], expected: str, tmp_path: Path
) -> None:
    assert refusal(small(), tmp_path, validation=small(id=["v1", "v2", "v3", "v4"]) | changes) == expected


def test_the_fingerprint_depends_on_examples_not_on_predictions_or_order(tmp_path: Path) -> None:
    def fingerprint(name: str, table: dict[str, Any]) -> str:
        return mmeval.score_predictions(table, output=tmp_path / name).record.plan.protocol.fingerprint

    labels = {name: values for name, values in small().items() if name != "probabilities"}
    first = fingerprint("one", labels | {"predicted": ["cat", "dog", "eel", "cat"]})
    assert fingerprint("two", labels | {"predicted": ["cat", "none", "none", "cat"]}) == first
    reversed_ = {name: values[::-1] for name, values in labels.items()}
    assert fingerprint("three", reversed_ | {"predicted": ["cat"] * 4}) == first
    assert fingerprint("four", labels | {"predicted": ["cat"] * 4, "true": ["cat", "dog", "eel", "dog"]}) != first
    assert fingerprint("five", labels | {"predicted": ["cat"] * 4, "language": ["de", "fr", "fr", "fr"]}) != first
    assert fingerprint("six", labels | {"predicted": ["cat"] * 4, "cluster": ["k"] * 4}) != first


def test_a_plugin_metric_is_added_and_asked_for_again(
    tmp_path: Path, command: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    metric = tmp_path / "confident.py"
    metric.write_text(
        '"""Confidence."""\nimport mmeval\n\n\n@mmeval.hookimpl\ndef register_metrics(register):\n'
        "    register(mmeval.MetricSpec(name='confident', summary='s', per_example=lambda t, p: p.max(1)))\n",
        encoding="utf-8",
    )
    run = mmeval.score_predictions(small(), metrics=[metric], output=tmp_path / "run")
    assert overall(run, "confident") == pytest.approx(0.65)
    assert command("score", run.path) == 2
    assert f"add --metric {metric}" in capsys.readouterr().err
    assert command("score", run.path, "--metric", metric) == 0


def test_damaged_predictions_are_refused_with_the_command_that_restores_them(
    tmp_path: Path, command: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    run = mmeval.score_predictions(small(), output=tmp_path / "run")
    run.predictions_file(0).unlink()
    capsys.readouterr()
    assert command("score", run.path) == 2
    assert capsys.readouterr().err.endswith(
        f"repeat the `mmeval score` command with --output {run.path} to recreate it.\n"
    )
    mmeval.score_predictions(small(), output=tmp_path / "run")
    assert command("score", run.path) == 0


def test_an_interrupted_call_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("mmeval.runs.external.write_scores_of", interrupted)
    with pytest.raises(KeyboardInterrupt):
        mmeval.score_predictions(small(), output=tmp_path / "run")
    assert list(tmp_path.iterdir()) == []


@st.composite
def tables(draw: st.DrawFn) -> tuple[list[Row], list[str]]:
    """Generate rows of one or two seeds with probabilities, and the class names."""
    names = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1, max_size=6)
    classes = draw(st.lists(names, min_size=2, max_size=4, unique=True).filter(lambda c: not any("," in x for x in c)))
    n = draw(st.integers(1, 6))
    ids = draw(st.lists(names, min_size=n, max_size=n, unique=True))
    rng = np.random.default_rng(draw(st.integers(0, 1000)))
    languages = [draw(st.sampled_from(["de", "fr", "l1"])) for _ in range(n)]
    true = [draw(st.sampled_from(classes)) for _ in range(n)]
    rows = []
    for seed in range(draw(st.integers(1, 2))):
        for i in rng.permutation(n).tolist():
            p = rng.dirichlet(np.ones(len(classes)))
            rows.append(
                {"id": ids[i], "language": languages[i], "true": true[i], "cluster": ids[i // 2], "seed": seed}
                | {f"p:{name}": float(value) for name, value in zip(classes, p, strict=True)}
            )
    return rows, classes


@given(tables())
@settings(deadline=None, max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_format_gives_the_same_predictions(tmp_path_factory: pytest.TempPathFactory, table: Any) -> None:
    rows, classes = table
    folder = tmp_path_factory.mktemp("formats")
    results = []
    for suffix in FORMATS:
        raw = read_predictions_table(write(folder / f"p.{suffix}", rows), {}, ["id", "language", "true"])
        built, _ = assemble(raw)
        assert built.tasks[0].classes == tuple(classes)
        results.append(
            (
                [pa.array(column, pa.string()).to_pylist() for column in built.columns.values()],
                built.labels["label"].tolist(),
                [np.concatenate([b["label"] for b in built.blocks(seed)]).tolist() for seed in built.seeds],
                built.fingerprint(),
            )
        )
    assert all(result == results[0] for result in results)
    by_id = {(row["seed"], row["id"]): row for row in rows}
    columns, _, probabilities, _ = results[0]
    for seed, matrix in enumerate(probabilities):
        for id_, values in zip(columns[0], matrix, strict=True):
            expected = [by_id[seed, id_][f"p:{name}"] for name in classes]
            assert values == pytest.approx(expected, abs=1e-7)


def test_free_text_as_predicted_class_is_refused(tmp_path: Path) -> None:
    n = 150
    table = {
        "id": range(n),
        "language": ["de"] * n,
        "true": ["a", "b"] * (n // 2),
        "predicted": [f"I think it is {i}" for i in range(n)],
    }
    message = refusal(table, tmp_path)
    assert message.startswith("the table: 150 predicted classes of label are no example's true class, such as ")
    assert message.endswith(
        "; write one word such as none for answers that are no class, or give all classes with --classes."
    )


@pytest.mark.parametrize(
    ("column", "values", "expected"),
    [
        (
            "task",
            [f"t{i}" for i in range(300)],
            "the column task has 300 values, too many for tasks; map another column",
        ),
        (
            "slice:x",
            [f"t{i // 2}" for i in range(2400)],
            "the column slice:x has 1,200 values, and a slice has at most",
        ),
    ],
)
def test_columns_that_hold_something_else_are_refused(
    column: str, values: list[str], expected: str, tmp_path: Path
) -> None:
    n = len(values)
    table = {
        "id": range(n),
        "language": ["de"] * n,
        "true": ["a", "b"] * (n // 2),
        "predicted": ["a"] * n,
        column: values,
    }
    assert expected in refusal(table, tmp_path)


def test_odd_column_types_are_read_or_refused(tmp_path: Path) -> None:
    table = pa.table(
        {
            "id": pa.array([1.0, 2.0, 3.0, 1e30], pa.float64()),
            "language": pa.array(["de", "de", "fr", "fr"], pa.string_view()),
            "true": pa.array([True, False, True, False]),
            "probabilities": pa.array([[0.5, 0.5]] * 4, pa.list_(pa.float16())),
            "slice:half": pa.array([1, 2, 1, 2], pa.float16()),
            "cluster": pa.array([["k"], ["k"], ["m"], ["m"]]),
        }
    )
    run = mmeval.score_predictions(table, output=tmp_path / "run")
    rows = run.predictions()
    assert classes_of(run)["label"] == ("False", "True")
    assert rows["id"].to_pylist()[0] == "1"
    assert rows["cluster"].to_pylist() == ["k", "k", "m", "m"]
    for name, values in {
        "id": pa.array([b"1", b"2", b"3", b"4"]),
        "true": pa.array([{"a": 1}] * 4),
        "language": pa.array([[["de"]]] * 4),
    }.items():
        changed = table.set_column(table.column_names.index(name), name, values)
        assert refusal(changed, tmp_path).startswith("the table")


def test_an_external_run_is_compared_with_a_trained_one(finished: RunFolder, tmp_path: Path) -> None:
    """With and without ``like``: the same predictions never differ."""
    rows = exported(finished, "colour")
    classes = {"colour": classes_of(finished)["colour"]}
    path = write(tmp_path / "p.jsonl", rows[::-1])
    for name, like in (("like", finished), ("alone", None)):
        run = mmeval.score_predictions(path, classes=classes, like=like, output=tmp_path / name)
        comparison = mmeval.compare(finished, run, task="colour")
        assert comparison.mean.difference == 0
        assert comparison.mean.p == 1


def test_the_tables_are_no_longer_in_memory_while_they_are_scored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ten million rows would need their memory twice."""
    alive: list[object] = []

    def scored(*arguments: Any) -> None:
        gc.collect()
        alive.extend(each for each in gc.get_objects() if type(each) in (ExternalPredictions, RawPredictions))
        write_scores_of(*arguments)

    monkeypatch.setattr("mmeval.runs.external.write_scores_of", scored)
    mmeval.score_predictions(small(), validation=small(id=["v1", "v2", "v3", "v4"]), output=tmp_path / "run")
    assert alive == []

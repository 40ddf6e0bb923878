"""Scores and reports computed again from predictions; messages about missing and damaged files."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import mmeval
from mmeval.errors import RunFolderError
from mmeval.plugin.manager import Manager
from mmeval.runs.folder import RunFolder
from mmeval.runs.pipeline import run
from mmeval.runs.request import Request
from mmeval.runs.scoring import write_report, write_scores_of

Ask = Callable[..., Request]
Command = Callable[..., int]
ManagerWith = Callable[..., Manager]


def rewrite(folder: RunFolder, column: str, change: Callable[[pa.Table], pa.Array]) -> Path:
    """Replace one column in the predictions of seed 0; return the file."""
    path = folder.predictions_file(0)
    table = pq.read_table(path)
    changed = table.set_column(table.schema.names.index(column), column, change(table))
    pq.write_table(changed.replace_schema_metadata(table.schema.metadata), path)
    return path


def refusal(folder: RunFolder) -> str:
    with pytest.raises(RunFolderError) as caught:
        write_scores_of(folder, folder.record)
    return str(caught.value)


def test_a_run_folder_takes_a_path_or_a_string(finished: RunFolder) -> None:
    assert mmeval.RunFolder(str(finished.path)).record == mmeval.RunFolder(finished.path).record


def test_scores_and_report_need_neither_model_nor_data(
    finished: RunFolder, command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The files are identical on a machine that has only the predictions."""
    written = (finished.scores_file, finished.report_path, finished.readme_file)
    scores, views = pq.read_table(finished.scores_file), [path.read_bytes() for path in written[1:]]
    for path in written:
        path.unlink()
    shutil.rmtree(finished.path / "models")
    monkeypatch.setenv("MMEVAL_HOME", str(tmp_path / "nothing"))
    assert command("score", finished.path) == 0
    assert pq.read_table(finished.scores_file).to_pandas().equals(scores.to_pandas())  # NaN equals NaN there
    assert command("report", finished.path) == 0
    assert [path.read_bytes() for path in written[1:]] == views
    assert [path.name for path in (tmp_path / "nothing").iterdir()] == ["locks"], "no data set is read"


@pytest.mark.parametrize("name", ["score", "report"])
def test_score_and_report_print_the_table(
    name: str, finished: RunFolder, command: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(name, finished.path) == 0
    shown = capsys.readouterr().out
    assert "│ mean " in shown
    assert shown.endswith(f"Run folder: {finished.path}\nReport:     {finished.report_path}\n")


@pytest.mark.parametrize("name", ["score", "report"])
def test_a_folder_without_a_run_is_refused(
    name: str, command: Command, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(name, tmp_path / "nowhere") == 2
    expected = f"error: {tmp_path / 'nowhere'}: there is no such folder; `mmeval run` creates a run folder.\n"
    assert capsys.readouterr().err == expected
    empty = tmp_path / "empty"
    empty.mkdir()
    assert command(name, empty) == 2
    assert capsys.readouterr().err == (
        f"error: {empty} is not a run folder: it has neither run.json nor plan.json; name the folder of a run.\n"
    )


def test_an_unfinished_run_is_refused_with_its_finished_seeds(finished: RunFolder) -> None:
    finished.write_json(finished.plan_file, finished.record.plan.model_dump(mode="json"))
    finished.record_file.unlink()
    finished.predictions_file(1).unlink()
    with pytest.raises(RunFolderError) as caught:
        _ = finished.record
    assert str(caught.value) == (
        f"{finished.path} is an unfinished run: run.json is missing, finished seeds: 1 of 2; "
        f"repeat the `mmeval run` command with --output {finished.path} to continue it."
    )


def test_a_missing_file_is_named(finished: RunFolder) -> None:
    finished.scores_file.unlink()
    with pytest.raises(RunFolderError) as caught:
        write_report(finished, finished.record)
    assert str(caught.value) == (
        f"{finished.path} lacks scores.parquet; run `mmeval score {finished.path}` to recreate it."
    )
    finished.predictions_file(1).unlink()
    assert refusal(finished) == (
        f"{finished.path} lacks predictions/seed-1.parquet; "
        f"repeat the `mmeval run` command with --output {finished.path} to recreate it."
    )


@pytest.mark.parametrize("column", ["cluster", "colour", "shade:probabilities"])
def test_a_missing_column_is_named(finished: RunFolder, column: str) -> None:
    path = finished.predictions_file(0)
    pq.write_table(pq.read_table(path).drop_columns(column), path)
    assert refusal(finished).startswith(f'{path}: the column "{column}" is missing; ')


def test_nan_probabilities_are_refused_with_their_row(finished: RunFolder) -> None:
    def corrupt(table: pa.Table) -> pa.Array:
        values = table["colour:probabilities"].to_pylist()
        values[40][1] = float("nan")
        return pa.array(values, pa.list_(pa.float32(), 3))

    path = rewrite(finished, "colour:probabilities", corrupt)
    id_ = pq.read_table(path)["id"][40]
    assert refusal(finished).startswith(
        f"{path}, row 40 (id {id_}): the probabilities of colour contain NaN or infinity; delete the file "
    )


def test_an_unknown_label_is_refused_with_its_row(finished: RunFolder) -> None:
    path = rewrite(finished, "colour", lambda table: pa.array(["red", "mauve"] + [None] * (len(table) - 2)))
    id_ = pq.read_table(path)["id"][1]
    assert refusal(finished).startswith(f'{path}, row 1 (id {id_}): "mauve" is not a class of colour; ')


def test_a_file_without_predictions_is_refused(finished: RunFolder) -> None:
    path = finished.predictions_file(0)
    pq.write_table(pq.read_table(path).replace_schema_metadata(None), path)
    assert refusal(finished) == f"{path} is not a predictions file of mmeval: its metadata lacks the tasks."
    path.write_bytes(path.read_bytes()[:100])
    assert refusal(finished).startswith(f"{path} can't be read as Parquet (")


def test_damaged_scores_are_recreated_from_predictions(finished: RunFolder) -> None:
    whole = pq.read_table(finished.scores_file)
    for damaged in (whole.drop_columns("low"), None):
        if damaged is None:
            finished.scores_file.write_bytes(b"half a file")
        else:
            pq.write_table(damaged, finished.scores_file)
        with pytest.raises(RunFolderError, match=r"; run `mmeval score` on the run folder to recreate it\.$"):
            write_report(finished, finished.record)
        write_scores_of(finished, finished.record)
        assert pq.read_table(finished.scores_file).to_pandas().equals(whole.to_pandas())  # NaN equals NaN there


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda record: record | {"schema_version": 3}, "schema_version: input should be 1 or 2"),
        (lambda record: record | {"mood": "good"}, "mood: extra inputs are not permitted"),
        (lambda record: {k: v for k, v in record.items() if k != "plan"}, "plan: field required"),
    ],
)
def test_an_invalid_record_is_refused_with_its_first_problem(
    finished: RunFolder, change: Callable[[dict[str, object]], object], reason: str
) -> None:
    path = finished.record_file
    path.write_text(json.dumps(change(json.loads(path.read_text()))))
    with pytest.raises(RunFolderError) as caught:
        _ = finished.record
    assert str(caught.value) == (
        f"{path} can't be used: {reason}; it was changed, or written by another version of mmeval; "
        f"repeat the `mmeval run` command with --output {finished.path} to rewrite it."
    )


def test_a_truncated_record_is_refused(finished: RunFolder) -> None:
    path = finished.record_file
    path.write_text(path.read_text()[:50])
    with pytest.raises(RunFolderError) as caught:
        _ = finished.record
    assert str(caught.value).startswith(f"{path} can't be used: it is not JSON")


def test_missing_predictions_are_recreated_by_the_same_command(
    finished: RunFolder, ask: Ask, manager_with: ManagerWith
) -> None:
    """Complete seeds aren't trained again."""
    before = pq.read_table(finished.predictions_file(1))
    kept = (finished.model_folder(0) / "model.safetensors").stat().st_mtime_ns
    finished.predictions_file(1).unlink()
    run(ask(seeds=2), manager_with())
    assert pq.read_table(finished.predictions_file(1)).equals(before)
    assert (finished.model_folder(0) / "model.safetensors").stat().st_mtime_ns == kept
    assert finished.record_file.is_file()


def test_seeds_with_different_examples_are_refused(finished: RunFolder) -> None:
    path = finished.predictions_file(1)
    table = pq.read_table(path)
    pq.write_table(table.slice(1), path)
    assert refusal(finished).startswith(f"{path} has other examples than {finished.predictions_file(0)}; delete")


@pytest.mark.parametrize(
    ("values", "kind", "complaint"),
    [
        ([[0.5, 0.5]] * 42, pa.list_(pa.float32(), 2), "must be lists of 3 float32 numbers, but are fixed_size_list<"),
        (["high"] * 42, pa.string(), "must be lists of 3 float32 numbers, but are string"),
        # pyarrow before 22 can't read a missing list back.
        (
            [[0.5, 0.5, 0.0]] * 41 + [None],
            pa.list_(pa.float32(), 3),
            "contain NaN or infinity|can't be read as Parquet",
        ),
        ([[0.5, 0.5, None]] * 42, pa.list_(pa.float32(), 3), "contain NaN or infinity"),
    ],
)
def test_probabilities_of_a_wrong_type_are_refused(
    finished: RunFolder, values: list[object], kind: pa.DataType, complaint: str
) -> None:
    rewrite(finished, "colour:probabilities", lambda _: pa.array(values, kind))
    assert re.search(complaint, refusal(finished))


@pytest.mark.parametrize("damage", [b"not parquet", None])
def test_a_damaged_gallery_is_refused(finished: RunFolder, damage: bytes | None) -> None:
    if damage is None:
        pq.write_table(pq.read_table(finished.gallery_file).drop_columns("text"), finished.gallery_file)
    else:
        finished.gallery_file.write_bytes(damage)
    with pytest.raises(RunFolderError, match="delete the file and repeat the `mmeval run` command"):
        write_report(finished, finished.record)


def test_a_damaged_fit_file_has_no_facts(finished: RunFolder) -> None:
    finished.facts_file(0).write_text("{")
    assert finished.facts(0) is None


def test_a_record_that_is_not_utf8_is_refused(finished: RunFolder) -> None:
    finished.record_file.write_bytes(b"\xff\xfe")
    with pytest.raises(RunFolderError, match="can't be used"):
        _ = finished.record

"""Scores and reports are made again from predictions alone; what is missing or damaged is named."""

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
Offer = Callable[..., Manager]


def rewrite(folder: RunFolder, column: str, change: Callable[[pa.Table], pa.Array]) -> Path:
    """Put other values into one column of the predictions of seed 0."""
    path = folder.predictions_file(0)
    table = pq.read_table(path)
    changed = table.set_column(table.schema.names.index(column), column, change(table))
    pq.write_table(changed.replace_schema_metadata(table.schema.metadata), path)
    return path


def refusal(folder: RunFolder) -> str:
    with pytest.raises(RunFolderError) as caught:
        write_scores_of(folder, folder.record)
    return str(caught.value)


def test_a_run_folder_is_named_by_a_path_or_by_a_text(finished: RunFolder) -> None:
    """In a notebook one types the text."""
    assert mmeval.RunFolder(str(finished.path)).record == mmeval.RunFolder(finished.path).record


def test_scores_and_report_need_neither_model_nor_data(
    finished: RunFolder, command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Byte for byte the same, on a machine that has the predictions only."""
    made = (finished.scores_file, finished.report_path, finished.readme_file)
    scores, views = pq.read_table(finished.scores_file), [path.read_bytes() for path in made[1:]]
    for path in made:
        path.unlink()
    shutil.rmtree(finished.path / "models")
    monkeypatch.setenv("MMEVAL_HOME", str(tmp_path / "nothing"))
    assert command("score", finished.path) == 0
    assert pq.read_table(finished.scores_file).equals(scores)
    assert command("report", finished.path) == 0
    assert [path.read_bytes() for path in made[1:]] == views
    assert not (tmp_path / "nothing").exists()


@pytest.mark.parametrize("name", ["score", "report"])
def test_the_table_is_shown_again(
    name: str, finished: RunFolder, command: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(name, finished.path) == 0
    shown = capsys.readouterr().out
    assert "│ mean " in shown
    assert shown.endswith(f"Run folder: {finished.path}\nReport:     {finished.report_path}\n")


@pytest.mark.parametrize("name", ["score", "report"])
def test_what_is_no_run_is_said_so(
    name: str, command: Command, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(name, tmp_path / "nowhere") == 2
    expected = f"error: {tmp_path / 'nowhere'}: there is no such folder; `mmeval run` makes one.\n"
    assert capsys.readouterr().err == expected
    empty = tmp_path / "empty"
    empty.mkdir()
    assert command(name, empty) == 2
    assert capsys.readouterr().err == (
        f"error: {empty} is no run folder: it has neither run.json nor plan.json; give the folder that a run made.\n"
    )


def test_an_unfinished_run_says_what_it_has(finished: RunFolder) -> None:
    finished.write_json(finished.plan_file, finished.record.plan.model_dump(mode="json"))
    finished.record_file.unlink()
    finished.predictions_file(1).unlink()
    with pytest.raises(RunFolderError) as caught:
        _ = finished.record
    assert str(caught.value) == (
        f"{finished.path} is an unfinished run: run.json is missing, predictions of 1 of 2 seeds are there; "
        f"repeat its `mmeval run` with --output {finished.path} to go on."
    )


def test_a_missing_file_is_named(finished: RunFolder) -> None:
    finished.scores_file.unlink()
    with pytest.raises(RunFolderError) as caught:
        write_report(finished, finished.record)
    assert str(caught.value) == (
        f"{finished.path} lacks scores.parquet; `mmeval score {finished.path}` makes it again."
    )
    finished.predictions_file(1).unlink()
    assert refusal(finished) == (
        f"{finished.path} lacks predictions/seed-1.parquet; "
        f"repeat its `mmeval run` with --output {finished.path} to make it anew."
    )


@pytest.mark.parametrize("column", ["cluster", "colour", "shade:probabilities"])
def test_a_missing_column_is_named(finished: RunFolder, column: str) -> None:
    path = finished.predictions_file(0)
    pq.write_table(pq.read_table(path).drop_columns(column), path)
    assert refusal(finished).startswith(f'{path}: the column "{column}" is missing; ')


def test_nan_is_no_probability_and_its_row_is_named(finished: RunFolder) -> None:
    def corrupt(table: pa.Table) -> pa.Array:
        values = table["colour:probabilities"].to_pylist()
        values[40][1] = float("nan")
        return pa.array(values, pa.list_(pa.float32(), 3))

    path = rewrite(finished, "colour:probabilities", corrupt)
    id_ = pq.read_table(path)["id"][40]
    assert refusal(finished).startswith(
        f"{path}, row 40 (id {id_}): the probabilities of colour contain NaN or infinity; delete the file "
    )


def test_a_label_that_is_no_class_is_named(finished: RunFolder) -> None:
    path = rewrite(finished, "colour", lambda table: pa.array(["red", "mauve"] + [None] * (len(table) - 2)))
    id_ = pq.read_table(path)["id"][1]
    assert refusal(finished).startswith(f'{path}, row 1 (id {id_}): "mauve" is not a class of colour; ')


def test_what_is_no_predictions_file_is_said_so(finished: RunFolder) -> None:
    path = finished.predictions_file(0)
    pq.write_table(pq.read_table(path).replace_schema_metadata(None), path)
    assert refusal(finished) == f"{path} is not a predictions file of mmeval: its metadata lacks the tasks."
    path.write_bytes(path.read_bytes()[:100])
    assert refusal(finished).startswith(f"{path} can't be read as Parquet (")


def test_damaged_scores_are_made_again_from_predictions(finished: RunFolder) -> None:
    whole = pq.read_table(finished.scores_file)
    for damaged in (whole.drop_columns("low"), None):
        if damaged is None:
            finished.scores_file.write_bytes(b"half a file")
        else:
            pq.write_table(damaged, finished.scores_file)
        with pytest.raises(RunFolderError, match=r"; run `mmeval score` on the run folder to recreate it\.$"):
            write_report(finished, finished.record)
        write_scores_of(finished, finished.record)
        assert pq.read_table(finished.scores_file).equals(whole)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda record: record | {"schema_version": 3}, "schema_version: input should be 1 or 2"),
        (lambda record: record | {"mood": "good"}, "mood: extra inputs are not permitted"),
        (lambda record: {k: v for k, v in record.items() if k != "plan"}, "plan: field required"),
    ],
)
def test_a_record_that_cannot_be_used_is_said_so(
    finished: RunFolder, change: Callable[[dict[str, object]], object], reason: str
) -> None:
    path = finished.record_file
    path.write_text(json.dumps(change(json.loads(path.read_text()))))
    with pytest.raises(RunFolderError) as caught:
        _ = finished.record
    assert str(caught.value) == (
        f"{path} can't be used: {reason}; it was changed, or made by another version of mmeval; "
        f"repeat its `mmeval run` with --output {finished.path} to write it anew."
    )


def test_half_a_record_is_said_so(finished: RunFolder) -> None:
    path = finished.record_file
    path.write_text(path.read_text()[:50])
    with pytest.raises(RunFolderError) as caught:
        _ = finished.record
    assert str(caught.value).startswith(f"{path} can't be used: it is no JSON")


def test_following_the_advice_mends_a_run(finished: RunFolder, ask: Ask, offer: Offer) -> None:
    """Predictions that are gone are made again by the same command; whole seeds aren't trained again."""
    before = pq.read_table(finished.predictions_file(1))
    kept = (finished.model_folder(0) / "model.safetensors").stat().st_mtime_ns
    finished.predictions_file(1).unlink()
    run(ask(seeds=2), offer())
    assert pq.read_table(finished.predictions_file(1)).equals(before)
    assert (finished.model_folder(0) / "model.safetensors").stat().st_mtime_ns == kept
    assert finished.record_file.is_file()


def test_seeds_of_other_examples_are_not_averaged(finished: RunFolder) -> None:
    path = finished.predictions_file(1)
    table = pq.read_table(path)
    pq.write_table(table.slice(1), path)
    assert refusal(finished).startswith(f"{path} is of other examples than {finished.predictions_file(0)}; delete")


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
def test_probabilities_of_another_kind_are_refused(
    finished: RunFolder, values: list[object], kind: pa.DataType, complaint: str
) -> None:
    rewrite(finished, "colour:probabilities", lambda _: pa.array(values, kind))
    assert re.search(complaint, refusal(finished))


@pytest.mark.parametrize("damage", [b"not parquet", None])
def test_a_damaged_gallery_is_named(finished: RunFolder, damage: bytes | None) -> None:
    if damage is None:
        pq.write_table(pq.read_table(finished.gallery_file).drop_columns("text"), finished.gallery_file)
    else:
        finished.gallery_file.write_bytes(damage)
    with pytest.raises(RunFolderError, match="delete the file and repeat the `mmeval run` command"):
        write_report(finished, finished.record)


def test_a_damaged_fit_file_is_as_good_as_none(finished: RunFolder) -> None:
    finished.facts_file(0).write_text("{")
    assert finished.facts(0) is None


def test_a_record_that_is_not_text_is_refused(finished: RunFolder) -> None:
    finished.record_file.write_bytes(b"\xff\xfe")
    with pytest.raises(RunFolderError, match="can't be used"):
        _ = finished.record

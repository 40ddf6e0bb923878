"""Integrity of run folders: changed files are named, and never used."""

from __future__ import annotations

import contextlib
import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mmeval.errors import RunFolderError, UserError
from mmeval.files import file_digest
from mmeval.integrity import with_seal
from mmeval.metrics.predictions import read_predictions
from mmeval.metrics.scores import read_scores
from mmeval.plugin.manager import Manager
from mmeval.runs.folder import RunFolder, State
from mmeval.runs.gallery import read_gallery
from mmeval.runs.lock import exclusive
from mmeval.runs.pipeline import run
from mmeval.runs.request import Request
from mmeval.runs.scoring import report_again, score_again

Ask = Callable[..., Request]
ManagerWith = Callable[..., Manager]
Command = Callable[..., int]
Capture = pytest.CaptureFixture[str]
OLD = Path(__file__).parent / "schema_1"


def files_of(folder: RunFolder) -> list[Path]:
    return sorted(path for path in folder.path.rglob("*") if path.is_file())


def text(table: pa.Table) -> str:
    """Return the rows of a table as text, in which an unknown number equals another one; NaN does not."""
    return str(table.to_pylist())


def flip(path: Path, bit: int) -> None:
    data = bytearray(path.read_bytes())
    data[bit // 8] ^= 1 << bit % 8
    path.write_bytes(bytes(data))


def edit(path: Path, change: Callable[[dict[str, Any]], None], seal: bool = False) -> None:
    data = json.loads(path.read_text(encoding="utf-8"))
    change(data)
    path.write_text(json.dumps(with_seal(data) if seal else data), encoding="utf-8")


def refusal(call: Callable[..., object], *args: object) -> str:
    with pytest.raises(RunFolderError) as caught:
        call(*args)
    return str(caught.value)


def test_run_json_describes_every_other_file(finished: RunFolder) -> None:
    files = json.loads(finished.record_file.read_text())["files"]
    there = {path.relative_to(finished.path).as_posix() for path in files_of(finished)}
    assert files.keys() == there - {"run.json"}
    for name, file in files.items():
        path = finished.path / name
        assert file["sha256"] == file_digest(path)
        assert file["bytes"] == path.stat().st_size
        assert file["rows"] == (pq.read_metadata(path).num_rows if name.endswith(".parquet") else None)


def test_files_of_the_user_have_no_digest(finished: RunFolder) -> None:
    """Notes that a user keeps in a run folder may change."""
    (finished.path / "notes.txt").write_text("mine")
    report_again(finished)
    assert "notes.txt" not in finished.record.files


def test_edited_scores_are_refused_by_report_and_recreated_by_score(finished: RunFolder) -> None:
    whole = read_scores(finished.scores_file)
    table = whole.set_column(whole.schema.get_field_index("value"), "value", pa.array([0.99] * len(whole)))
    pq.write_table(table, finished.scores_file)
    assert refusal(report_again, finished) == (
        f"{finished.path} was changed after its run finished: scores.parquet (was changed); "
        f"run `mmeval score {finished.path}` to recreate it."
    )
    score_again(finished)
    assert text(read_scores(finished.scores_file)) == text(whole)
    report_again(finished)


@pytest.mark.parametrize("call", [score_again, report_again])
def test_truncated_predictions_are_refused(finished: RunFolder, call: Callable[..., object]) -> None:
    path = finished.predictions_file(0)
    table = pq.read_table(path)
    pq.write_table(table.slice(0, 30), path)
    pq.write_table(pq.read_table(finished.predictions_file(1)).slice(0, 30), finished.predictions_file(1))
    assert refusal(call, finished) == (
        f"{finished.path} was changed after its run finished: predictions/seed-0.parquet (was changed), "
        f"predictions/seed-1.parquet (was changed); "
        f"repeat the `mmeval run` command with --output {finished.path} to recreate it."
    )


def test_report_names_missing_and_changed_models(finished: RunFolder, capsys: Capture) -> None:
    """A report needs no model, but its reader should know."""
    (finished.model_folder(0) / "model.safetensors").unlink()
    flip(finished.model_folder(1) / "model.safetensors", 4000)
    report_again(finished)
    err = capsys.readouterr().err
    assert "models/seed-0/model.safetensors (is missing), models/seed-1/model.safetensors (was changed); repeat" in err
    report_again(finished)
    assert "models/seed-0/model.safetensors (is missing)" in capsys.readouterr().err


def test_an_edited_readme_is_named_and_recreated(finished: RunFolder, capsys: Capture) -> None:
    before = finished.readme_file.read_bytes()
    finished.readme_file.write_text("state of the art")
    report_again(finished)
    assert f"{finished.path}: README.md (was changed); recreated by this command.\n" in capsys.readouterr().err
    assert finished.readme_file.read_bytes() == before
    report_again(finished)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("damage", ["flip", "cut", "gone"])
@pytest.mark.parametrize(
    "name",
    [
        "predictions/seed-1.parquet",
        "predictions/seed-1.validation.parquet",
        "models/seed-1/model.safetensors",
        "models/seed-1/config.json",
    ],
)
def test_a_damaged_seed_is_trained_again(
    finished: RunFolder, name: str, damage: str, ask: Ask, manager_with: ManagerWith, capsys: Capture
) -> None:
    """The other seeds are not trained again."""
    path, before = finished.path / name, pq.read_table(finished.predictions_file(1))
    kept = (finished.model_folder(0) / "model.safetensors").stat().st_mtime_ns
    if damage == "gone":
        path.unlink()
    elif damage == "cut":
        path.write_bytes(path.read_bytes()[:-40])
    else:
        flip(path, 8 * (path.stat().st_size // 2))
    capsys.readouterr()
    run(ask(seeds=2), manager_with())
    err = capsys.readouterr().err
    how = "is missing" if damage == "gone" else "was changed"
    assert f"holds this run, but files differ from run.json: {name} ({how}); this command recreates them.\n" in err
    assert "it continues after seed 0.\n" in err
    assert pq.read_table(finished.predictions_file(1)).equals(before)
    assert (finished.model_folder(0) / "model.safetensors").stat().st_mtime_ns == kept
    report_again(finished)


@pytest.mark.parametrize("name", ["scores.parquet", "gallery.parquet", "report.html", "README.md", "plan.json"])
def test_damaged_views_are_recreated_without_training(
    finished: RunFolder, name: str, ask: Ask, manager_with: ManagerWith, capsys: Capture
) -> None:
    path = finished.path / name
    before = path.read_bytes()
    flip(path, 100)
    capsys.readouterr()
    run(ask(seeds=2), manager_with())
    err = capsys.readouterr().err
    assert f"files differ from run.json: {name} (was changed); this command recreates them.\n" in err
    assert "Training" not in err
    if name != "README.md" and name != "report.html":  # these two show the duration
        assert path.read_bytes() == before
    assert finished.state is State.FINISHED


def test_an_edited_record_is_refused_and_rewritten_by_run(
    finished: RunFolder, ask: Ask, manager_with: ManagerWith, capsys: Capture
) -> None:
    edit(finished.record_file, lambda record: record.update(device="a faster one"))
    for call in (score_again, report_again):
        assert refusal(call, finished) == (
            f"{finished.record_file} was changed after it was written: its content does not match its seal; "
            f"repeat the `mmeval run` command with --output {finished.path} to rewrite it."
        )
    run(ask(seeds=2), manager_with())
    assert "Training" not in capsys.readouterr().err
    assert finished.record.device != "a faster one"


@pytest.mark.parametrize(
    "name",
    ["scores.parquet", "gallery.parquet", "predictions/seed-1.parquet", "predictions/seed-1.validation.parquet"],
)
def test_a_record_without_the_digest_of_a_needed_file_is_refused(finished: RunFolder, name: str) -> None:
    """Otherwise a forger would only have to empty the list."""
    edit(finished.record_file, lambda record: record["files"].pop(name), seal=True)
    assert refusal(report_again, finished).startswith(f"{finished.record_file} has no digest of {name}, which every")


def test_the_advice_for_a_damaged_record_depends_on_plan_json(finished: RunFolder) -> None:
    finished.record_file.write_bytes(b"\xff")
    assert refusal(lambda: finished.record) == (
        f"{finished.record_file} can't be used: it is not UTF-8; it was changed, or written by another version of "
        f"mmeval; repeat the `mmeval run` command with --output {finished.path} to rewrite it."
    )
    finished.plan_file.unlink()
    assert refusal(lambda: finished.record).endswith("; repeat the `mmeval run` command with another --output.")


def test_order_and_indentation_of_run_json_do_not_matter(finished: RunFolder) -> None:
    data = json.loads(finished.record_file.read_text())
    finished.record_file.write_text(json.dumps(dict(reversed(data.items()))))
    assert finished.record.plan.plugin.name == "embracenet"


@pytest.mark.parametrize("text", ['{"a": 1}', "[]", "3", "null", "\xff", "{", '{"seconds": "long"}', "[" * 100_000])
def test_a_seed_with_a_damaged_fit_file_is_trained_again(
    finished: RunFolder, text: str, ask: Ask, manager_with: ManagerWith, capsys: Capture
) -> None:
    """`{"a": 1}` in fit.json was a traceback."""
    finished.facts_file(1).write_bytes(text.encode("latin-1"))
    run(ask(seeds=2), manager_with())
    err = capsys.readouterr().err
    assert (
        f"{finished.path}: models/seed-1/fit.json was changed, or written by another version; "
        "seed 1 must be trained again.\n" in err
    )
    assert "Training (seed 1)" in err
    assert "Training (seed 0)" not in err


@pytest.mark.parametrize("name", ["../../secret.txt", "/etc/passwd", "a\\b", "\0", ""])
def test_fit_json_cannot_name_files_outside_the_folder(
    finished: RunFolder, name: str, tmp_path: Path, capsys: Capture
) -> None:
    """Otherwise a stranger's folder could find out whether a file of the user has a given content."""
    secret = tmp_path.parent / "secret.txt"
    secret.write_text("secret")
    digest = {"sha256": file_digest(secret), "bytes": 6, "rows": None}
    edit(finished.facts_file(0), lambda facts: facts["files"].update({name: digest}), seal=True)
    assert finished.facts(0) is None
    assert finished.seed_files(0) == {}
    assert "models/seed-0/fit.json was changed, or written by another version; " in capsys.readouterr().err


def test_fit_json_has_digests_of_the_model_and_the_predictions_only(finished: RunFolder) -> None:
    (finished.model_folder(0) / ".model.safetensors.a1b2c3d4.partial").write_text("unfinished")
    finished.finish_seed(0, {"seconds": 1.0})
    files = json.loads(finished.facts_file(0).read_text())["files"]
    assert files.keys() == {
        "models/seed-0/config.json",
        "models/seed-0/model.safetensors",
        "predictions/seed-0.parquet",
        "predictions/seed-0.validation.parquet",
    }
    assert finished.facts(0) == {"seconds": 1.0}


@pytest.mark.parametrize("call", [score_again, report_again])
def test_a_folder_in_which_another_process_works_is_not_written(
    finished: RunFolder, call: Callable[..., object]
) -> None:
    before = {path: path.read_bytes() for path in files_of(finished)}
    with exclusive(finished, "the first"):
        assert refusal(call, finished) == (
            f"{finished.path}: another process is working in this folder; wait until it has finished."
        )
    assert {path: path.read_bytes() for path in files_of(finished)} == before
    call(finished)


def test_an_unfinished_run_does_not_use_changed_files(
    finished: RunFolder, ask: Ask, manager_with: ManagerWith, capsys: Capture
) -> None:
    """Without run.json, fit.json has the digests of the files of its seed."""
    finished.record_file.unlink()
    flip(finished.predictions_file(0), 8 * 900)
    run(ask(seeds=2), manager_with())
    err = capsys.readouterr().err
    assert "predictions/seed-0.parquet (was changed); seed 0 must be trained again.\n" in err
    assert "it continues after seed 1.\n" in err


@pytest.mark.parametrize(
    "change",
    [
        lambda record: record["seeds"]["0"].pop("epochs"),
        lambda record: record["seeds"].pop("0"),
        lambda record: record["seeds"].update({"0": 3}),
        lambda record: record["data"].pop("name"),
        lambda record: record["data"].update(warnings=7),
        lambda record: record["data"].update(summary={"a": 1}),
        lambda record: record["plan"]["protocol"].update(seeds=[-1]),
        lambda record: record["plan"]["protocol"].update(seeds=list(range(100_000))),
        lambda record: record.update(files={"../../etc/passwd": {"sha256": "0" * 64, "bytes": 1, "rows": None}}),
        lambda record: record.update(files=[]),
        lambda record: record.update(wall_seconds="long"),
        lambda record: record.update(wall_seconds=float("nan")),
        lambda record: record["plan"]["protocol"].update(seeds=[0, 0]),
    ],
)
@pytest.mark.parametrize("schema", [1, 2])
def test_a_forged_record_is_refused_in_one_sentence(
    finished: RunFolder, change: Callable[[dict[str, Any]], None], schema: int, command: Command, capsys: Capture
) -> None:
    """With a correct seal, which anyone can compute, and as schema 1, which has none."""

    def forge(record: dict[str, Any]) -> None:
        if schema == 1:
            del record["files"], record["seal"]
        record["schema_version"] = schema
        change(record)

    edit(finished.record_file, forge, seal=schema == 2)
    for name in ("report", "score"):
        capsys.readouterr()
        assert command(name, finished.path) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith(f"error: {finished.record_file} can't be used: ")


@pytest.fixture
def old(tmp_path: Path) -> RunFolder:
    """A run folder of schema 1, written by the version before digests."""
    shutil.copytree(OLD, tmp_path / "old")
    return RunFolder(tmp_path / "old")


@pytest.mark.parametrize("name", ["score", "report"])
def test_run_folders_of_schema_1_are_read_and_marked_as_unverified(
    old: RunFolder, name: str, command: Command, capsys: Capture
) -> None:
    """Their scores have no tests and no methods of intervals; the values are the same."""
    before = pq.read_table(old.scores_file)
    if name == "report":
        assert command(name, old.path) == 2
        assert "scores.parquet lacks columns of a Scores table; run `mmeval score`" in capsys.readouterr().err
        score_again(old)
    assert command(name, old.path) == 0
    shown = capsys.readouterr()
    assert f"{old.path}: its files are unverified (its run.json has schema 1, which has no digests).\n" in shown.err
    assert "│ mean " in shown.out
    for page in (old.readme_file, old.report_path):
        assert "The files of this run are unverified" in page.read_text(encoding="utf-8")
    key = ("task", "slice", "language", "metric", "seed")
    now, then = (
        {tuple(row[column] for column in key): row["value"] for row in table.to_pylist() if row["metric"] == "top1"}
        for table in (read_scores(old.scores_file), before)
    )
    assert {name: now[name] for name in then} == pytest.approx(then, nan_ok=True)
    assert old.report_path.is_file()
    # Reading an unverified folder doesn't verify it.
    assert json.loads(old.record_file.read_text())["schema_version"] == 1


def test_a_finished_run_of_schema_1_is_not_changed(
    finished: RunFolder, ask: Ask, manager_with: ManagerWith, capsys: Capture
) -> None:
    def to_schema_1(record: dict[str, Any]) -> None:
        del record["files"], record["seal"]
        record["schema_version"] = 1

    edit(finished.record_file, to_schema_1)
    for seed in (0, 1):
        edit(finished.facts_file(seed), lambda facts: [facts.pop(name) for name in ("files", "seal")] and None)
    before = {path: path.read_bytes() for path in files_of(finished)}
    capsys.readouterr()
    run(ask(seeds=2), manager_with())
    assert "a finished run of this plan, with its files unverified" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in files_of(finished)} == before


@pytest.mark.parametrize(("name", "flips"), [("score", 1), ("report", 4), ("run", 1)])
def test_no_flipped_bit_changes_a_score_or_ends_in_a_traceback(
    finished: RunFolder, tmp_path: Path, name: str, flips: int, ask: Ask, manager_with: ManagerWith
) -> None:
    """A sample of `benchmarks/bit_flips.py`: a command refuses the folder, or its scores are unchanged."""
    rng, calls = random.Random(name), {"score": score_again, "report": report_again}
    content = finished.content()
    scores = text(content.scores)
    for path in files_of(finished):
        for _ in range(flips):
            copy = RunFolder(tmp_path / "copy" / "run")
            shutil.copytree(finished.path, copy.path)
            flip(copy.path / path.relative_to(finished.path), rng.randrange(8 * path.stat().st_size))
            try:
                if name == "run":
                    run(ask(seeds=2, output=copy.path), manager_with())
                else:
                    calls[name](copy)
            except UserError:
                pass
            else:
                after = copy.content()
                assert text(after.scores) == scores, path
                assert after.gallery == content.gallery, path
                if name != "run":
                    assert after.record.model_dump(exclude={"files"}) == content.record.model_dump(exclude={"files"})
            shutil.rmtree(copy.path.parent)


def test_damaged_parquet_without_digests_is_refused_in_one_sentence(finished: RunFolder) -> None:
    """Run folders of schema 1 have no digests; page checksums and validation find the damage."""
    readers = [
        (finished.predictions_file(0), read_predictions),
        (finished.scores_file, read_scores),
        (finished.gallery_file, read_gallery),
    ]
    rng = random.Random(1)
    for path, read in readers:
        original = path.read_bytes()
        for _ in range(150):
            flip(path, rng.randrange(8 * len(original)))
            with contextlib.suppress(RunFolderError):  # anything else fails the test
                read(path)  # type: ignore[operator]
            path.write_bytes(original)

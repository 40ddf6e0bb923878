"""A run folder vouches for itself: what was changed since is named, and nothing that was changed is used."""

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
from mmeval.runs.pipeline import run
from mmeval.runs.request import Request
from mmeval.runs.scoring import report_again, score_again

Ask = Callable[..., Request]
Offer = Callable[..., Manager]
Command = Callable[..., int]
Capture = pytest.CaptureFixture[str]
OLD = Path(__file__).parent / "schema_1"


def files_of(folder: RunFolder) -> list[Path]:
    return sorted(path for path in folder.path.rglob("*") if path.is_file())


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


def test_files_of_somebody_else_are_not_described(finished: RunFolder) -> None:
    """Notes that somebody keeps in a run folder may change."""
    (finished.path / "notes.txt").write_text("mine")
    report_again(finished)
    assert "notes.txt" not in finished.record.files


def test_edited_scores_are_refused_by_report_and_made_again_by_score(finished: RunFolder) -> None:
    whole = read_scores(finished.scores_file)
    table = whole.set_column(whole.schema.get_field_index("value"), "value", pa.array([0.99] * len(whole)))
    pq.write_table(table, finished.scores_file)
    assert refusal(report_again, finished) == (
        f"{finished.path} is not as its run left it: scores.parquet (was changed); "
        f"`mmeval score {finished.path}` makes it again."
    )
    score_again(finished)
    assert read_scores(finished.scores_file).equals(whole)
    report_again(finished)


@pytest.mark.parametrize("call", [score_again, report_again])
def test_predictions_that_were_cut_are_refused(finished: RunFolder, call: Callable[..., object]) -> None:
    path = finished.predictions_file(0)
    table = pq.read_table(path)
    pq.write_table(table.slice(0, 30), path)
    pq.write_table(pq.read_table(finished.predictions_file(1)).slice(0, 30), finished.predictions_file(1))
    assert refusal(call, finished) == (
        f"{finished.path} is not as its run left it: predictions/seed-0.parquet (was changed), "
        f"predictions/seed-1.parquet (was changed); "
        f"repeat its `mmeval run` with --output {finished.path} to make it anew."
    )


def test_missing_and_changed_models_are_said_by_report(finished: RunFolder, capsys: Capture) -> None:
    """A report needs no model, but whoever gets the folder should know."""
    (finished.model_folder(0) / "model.safetensors").unlink()
    flip(finished.model_folder(1) / "model.safetensors", 4000)
    report_again(finished)
    said = capsys.readouterr().err
    assert "models/seed-0/model.safetensors (is missing), models/seed-1/model.safetensors (was changed); repeat" in said
    report_again(finished)
    assert "models/seed-0/model.safetensors (is missing)" in capsys.readouterr().err


def test_an_edited_page_is_said_and_made_again(finished: RunFolder, capsys: Capture) -> None:
    before = finished.readme_file.read_bytes()
    finished.readme_file.write_text("state of the art")
    report_again(finished)
    assert f"{finished.path}: README.md (was changed); made again.\n" in capsys.readouterr().err
    assert finished.readme_file.read_bytes() == before
    report_again(finished)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("damage", ["flip", "cut", "gone"])
@pytest.mark.parametrize(
    "name", ["predictions/seed-1.parquet", "models/seed-1/model.safetensors", "models/seed-1/config.json"]
)
def test_a_run_with_a_damaged_seed_is_not_finished(
    finished: RunFolder, name: str, damage: str, ask: Ask, offer: Offer, capsys: Capture
) -> None:
    """It is trained again; the seeds that are whole are not."""
    path, before = finished.path / name, pq.read_table(finished.predictions_file(1))
    kept = (finished.model_folder(0) / "model.safetensors").stat().st_mtime_ns
    if damage == "gone":
        path.unlink()
    elif damage == "cut":
        path.write_bytes(path.read_bytes()[:-40])
    else:
        flip(path, 8 * (path.stat().st_size // 2))
    capsys.readouterr()
    run(ask(seeds=2), offer())
    said = capsys.readouterr().err
    how = "is missing" if damage == "gone" else "was changed"
    assert f"holds this run, but not as it was finished: {name} ({how}); what is needed is made again.\n" in said
    assert "it goes on after seed 0.\n" in said
    assert pq.read_table(finished.predictions_file(1)).equals(before)
    assert (finished.model_folder(0) / "model.safetensors").stat().st_mtime_ns == kept
    report_again(finished)


@pytest.mark.parametrize("name", ["scores.parquet", "gallery.parquet", "report.html", "README.md", "plan.json"])
def test_damaged_views_are_made_again_without_training(
    finished: RunFolder, name: str, ask: Ask, offer: Offer, capsys: Capture
) -> None:
    path = finished.path / name
    before = path.read_bytes()
    flip(path, 100)
    capsys.readouterr()
    run(ask(seeds=2), offer())
    said = capsys.readouterr().err
    assert f"not as it was finished: {name} (was changed); what is needed is made again.\n" in said
    assert "Training" not in said
    if name != "README.md" and name != "report.html":  # which say how long it took
        assert path.read_bytes() == before
    assert finished.state is State.FINISHED


def test_an_edited_record_is_refused_and_written_anew_by_run(
    finished: RunFolder, ask: Ask, offer: Offer, capsys: Capture
) -> None:
    edit(finished.record_file, lambda record: record.update(device="a faster one"))
    for call in (score_again, report_again):
        assert refusal(call, finished) == (
            f"{finished.record_file} was changed since it was written: its seal is not that of its content; "
            f"repeat its `mmeval run` with --output {finished.path} to write it anew."
        )
    run(ask(seeds=2), offer())
    assert "Training" not in capsys.readouterr().err
    assert finished.record.device != "a faster one"


@pytest.mark.parametrize("name", ["scores.parquet", "gallery.parquet", "predictions/seed-1.parquet"])
def test_a_record_that_leaves_a_file_out_is_refused(finished: RunFolder, name: str) -> None:
    """Else a forger would only have to empty the list."""
    edit(finished.record_file, lambda record: record["files"].pop(name), seal=True)
    assert refusal(report_again, finished).startswith(f"{finished.record_file} says nothing of {name}, which every")


def test_the_advice_after_damage_fits_what_is_left(finished: RunFolder) -> None:
    finished.record_file.write_bytes(b"\xff")
    assert refusal(lambda: finished.record) == (
        f"{finished.record_file} can't be used: it is not UTF-8; it was changed, or made by another version of mmeval; "
        f"repeat its `mmeval run` with --output {finished.path} to write it anew."
    )
    finished.plan_file.unlink()
    assert refusal(lambda: finished.record).endswith("; run it anew with another --output.")


def test_another_order_or_indentation_of_run_json_is_no_change(finished: RunFolder) -> None:
    data = json.loads(finished.record_file.read_text())
    finished.record_file.write_text(json.dumps(dict(reversed(data.items()))))
    assert finished.record.plan.plugin.name == "embracenet"


@pytest.mark.parametrize("text", ['{"a": 1}', "[]", "3", "null", "\xff", "{", '{"seconds": "long"}', "[" * 100_000])
def test_a_damaged_fit_file_means_training_again(
    finished: RunFolder, text: str, ask: Ask, offer: Offer, capsys: Capture
) -> None:
    """D5: `{"a": 1}` in fit.json was a traceback."""
    finished.facts_file(1).write_bytes(text.encode("latin-1"))
    run(ask(seeds=2), offer())
    said = capsys.readouterr().err
    assert f"{finished.path}: models/seed-1/fit.json was changed, or written by another version; seed 1 is not" in said
    assert "Training (seed 1)" in said
    assert "Training (seed 0)" not in said


def test_an_unfinished_run_trusts_no_changed_file(finished: RunFolder, ask: Ask, offer: Offer, capsys: Capture) -> None:
    """Without run.json, fit.json vouches for the files of its seed."""
    finished.record_file.unlink()
    flip(finished.predictions_file(0), 8 * 900)
    run(ask(seeds=2), offer())
    said = capsys.readouterr().err
    assert "predictions/seed-0.parquet (was changed); seed 0 is not used as it is.\n" in said
    assert "it goes on after seed 1.\n" in said


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
def test_a_forged_record_is_one_sentence(
    finished: RunFolder, change: Callable[[dict[str, Any]], None], schema: int, command: Command, capsys: Capture
) -> None:
    """D5, D10: with the right digest too, which anyone can compute, and as schema 1, which has none."""

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
    """A run folder of schema 1, made by the version before there were digests."""
    shutil.copytree(OLD, tmp_path / "old")
    return RunFolder(tmp_path / "old")


@pytest.mark.parametrize("name", ["score", "report"])
def test_run_folders_of_schema_1_are_read_and_said_to_be_unverified(
    old: RunFolder, name: str, command: Command, capsys: Capture
) -> None:
    before = read_scores(old.scores_file)
    assert command(name, old.path) == 0
    shown = capsys.readouterr()
    assert f"{old.path}: its files are unverified (its run.json is of schema 1, which has no digests).\n" in shown.err
    assert "mean of all" in shown.out
    for page in (old.readme_file, old.report_path):
        assert "The files of this run are unverified" in page.read_text(encoding="utf-8")
    assert read_scores(old.scores_file).drop_columns("run").equals(before.drop_columns("run"))
    assert old.report_path.is_file()
    # What was never verified doesn't become so by being read.
    assert json.loads(old.record_file.read_text())["schema_version"] == 1


def test_a_finished_run_of_schema_1_is_left_as_it_is(
    finished: RunFolder, ask: Ask, offer: Offer, capsys: Capture
) -> None:
    def age(record: dict[str, Any]) -> None:
        del record["files"], record["seal"]
        record["schema_version"] = 1

    edit(finished.record_file, age)
    for seed in (0, 1):
        edit(finished.facts_file(seed), lambda facts: [facts.pop(name) for name in ("files", "seal")] and None)
    before = {path: path.read_bytes() for path in files_of(finished)}
    capsys.readouterr()
    run(ask(seeds=2), offer())
    assert "finished, with its files unverified" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in files_of(finished)} == before


@pytest.mark.parametrize(("name", "flips"), [("score", 4), ("report", 4), ("run", 1)])
def test_no_flipped_bit_changes_a_score_or_ends_in_a_traceback(
    finished: RunFolder, tmp_path: Path, name: str, flips: int, ask: Ask, offer: Offer
) -> None:
    """A few of the many that `benchmarks/bit_flips.py` tries: a command refuses, or shows what it would have shown."""
    rng, again = random.Random(name), {"score": score_again, "report": report_again}
    content = finished.content()
    for path in files_of(finished):
        for _ in range(flips):
            copy = RunFolder(tmp_path / "copy" / "run")
            shutil.copytree(finished.path, copy.path)
            flip(copy.path / path.relative_to(finished.path), rng.randrange(8 * path.stat().st_size))
            try:
                if name == "run":
                    run(ask(seeds=2, output=copy.path), offer())
                else:
                    again[name](copy)
            except UserError:
                pass
            else:
                after = copy.content()
                assert after.scores.equals(content.scores), path
                assert after.gallery == content.gallery, path
                if name != "run":
                    assert after.record.model_dump(exclude={"files"}) == content.record.model_dump(exclude={"files"})
            shutil.rmtree(copy.path.parent)


def test_damaged_parquet_without_digests_is_one_sentence(finished: RunFolder) -> None:
    """Page checksums and strict reading are what is left where run.json has no digests (schema 1)."""
    readers = [
        (finished.predictions_file(0), read_predictions),
        (finished.scores_file, read_scores),
        (finished.gallery_file, read_gallery),
    ]
    rng = random.Random(1)
    for path, read in readers:
        whole = path.read_bytes()
        for _ in range(150):
            flip(path, rng.randrange(8 * len(whole)))
            with contextlib.suppress(RunFolderError):  # anything else fails the test
                read(path)  # type: ignore[operator]
            path.write_bytes(whole)

"""Loading a run's model: digests, plugins, versions, runs without a model."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

import mmeval
from mmeval import RunFolder, UserError
from mmeval.integrity import with_seal
from tests.even import EVEN


def rewrite(run: RunFolder, change: Callable[[dict[str, object]], None]) -> None:
    """Change a record and seal it again."""
    record = json.loads(run.record_file.read_text())
    change(record)
    run.record_file.write_text(json.dumps(with_seal(record)))


def test_damaged_weights_are_refused(run: RunFolder) -> None:
    weights = run.model_folder(0) / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(bytes(data))
    with pytest.raises(UserError, match=r"the model of seed 0 can't be used: models/seed-0/model.safetensors \(was ch"):
        mmeval.load(run, seed=0)
    assert mmeval.load(run, seed=1)
    weights.unlink()
    with pytest.raises(UserError, match=r"model.safetensors \(is missing\)"):
        mmeval.load(run.path, seed=0)


def test_damaged_validation_predictions_are_refused(run: RunFolder) -> None:
    path = run.validation_predictions_file(0)
    path.write_bytes(path.read_bytes()[:-1])
    classifier = mmeval.load(run, seed=0)
    with pytest.raises(UserError, match=r"predictions/seed-0.validation.parquet \(was changed\)"):
        classifier.predict_one(text="red")
    assert classifier.predict_one(text="red", calibrated=False).label


def test_what_is_no_run_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="there is no such folder"):
        mmeval.load(tmp_path / "none")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(UserError, match=r"There is no folder acme/none. As a repository on the Hub: "):
        mmeval.load("acme/none")
    with pytest.raises(UserError, match="Name a run folder"):
        mmeval.load([])


def test_scored_predictions_have_no_model(tmp_path: Path) -> None:
    rows = [{"id": str(n), "language": "de", "true": "ab"[n % 2], "predicted": "a"} for n in range(8)]
    folder = mmeval.score_predictions(rows, output=tmp_path / "scored")
    with pytest.raises(UserError, match="holds predictions that another tool made, so it has no model"):
        mmeval.load(folder)


def test_a_missing_plugin_is_named_with_its_pip_line(run: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MMEVAL_PLUGINS", "tfidf")
    message = "needs the plugin embracenet, which is not installed; run: pip install 'mmeval-multilingual=="
    with pytest.raises(UserError, match=message):
        mmeval.load(run, seed=0)


def test_another_version_of_the_plugin_is_noted(run: RunFolder, capsys: pytest.CaptureFixture[str]) -> None:
    def change(record: dict[str, object]) -> None:
        record["plan"]["plugin"]["version"] = "0.0.9"  # type: ignore[index]

    rewrite(run, change)
    assert mmeval.load(run, seed=0).predict_one(text="red").label
    assert "the run used version 0.0.9 of the plugin embracenet, and " in capsys.readouterr().err


def test_a_model_that_another_version_can_not_load_is_refused(run: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    from mmeval.inference import member

    def change(record: dict[str, object]) -> None:
        record["plan"]["plugin"]["version"] = "0.0.9"  # type: ignore[index]

    def fail(*_: object) -> None:
        raise UserError("names don't match.")

    rewrite(run, change)
    monkeypatch.setattr(member, "load_model", fail)
    with pytest.raises(UserError, match=r"can't be loaded: the run used version 0.0.9 .* install version 0.0.9"):
        mmeval.load(run, seed=0)


def test_a_one_file_plugin_runs_only_if_the_user_names_it(tmp_path: Path) -> None:
    file = tmp_path / "even.py"
    file.write_text(EVEN, encoding="utf-8")
    table = tmp_path / "t.csv"
    table.write_text("text,label\n" + "".join(f"word{n},{'ab'[n % 2]}\n" for n in range(60)))
    folder = mmeval.run(file, f"table:{table}", output=tmp_path / "run", device="cpu")
    file.unlink()
    with pytest.raises(UserError, match=r"mmeval runs no file that only a run folder names; if you trust it, add --pl"):
        mmeval.load(folder)
    other = tmp_path / "moved.py"
    other.write_text(EVEN, encoding="utf-8")
    classifier = mmeval.load(folder, plugin=other)
    assert classifier.predict_one(text="red").probability == pytest.approx(0.5)
    assert classifier.predict([{"text": "red"}, {"text": ""}])["rejected"].to_pylist() == [
        None,
        "neither text nor image",
    ]
    other.write_text(EVEN.replace('name="even"', 'name="odd"'), encoding="utf-8")
    with pytest.raises(UserError, match=r"this file has the model odd, but the run .* is of even; name its file"):
        mmeval.load(folder, plugin=other)


def test_runs_of_other_classes_are_not_averaged(run: RunFolder, tmp_path: Path) -> None:
    file, table = tmp_path / "even.py", tmp_path / "t.csv"
    file.write_text(EVEN, encoding="utf-8")
    table.write_text("text,category\n" + "".join(f"word{n},{'ab'[n % 2]}\n" for n in range(60)))
    other = mmeval.run(file, f"table:{table}", output=tmp_path / "other", device="cpu")
    with pytest.raises(UserError, match="mmeval runs no file"):
        mmeval.load([run, other], ensemble=True)
    with pytest.raises(UserError, match=r"--plugin .*: the run .* has the plugin embracenet; leave --plugin out"):
        mmeval.load(run, plugin=file)
    with pytest.raises(UserError, match="can't be averaged: one has the tasks category, the other category and size"):
        mmeval.load([other, run], ensemble=True, plugin=file)

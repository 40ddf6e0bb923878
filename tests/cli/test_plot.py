"""``mmeval plot``: a figure and a caption for every kind, and the refusals."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.report.score_runs import scored_run

Command = Callable[..., int]
Capture = pytest.CaptureFixture[str]
HEADS = {".svg": b"<?xml", ".png": b"\x89PNG", ".pdf": b"%PDF"}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    base = tmp_path_factory.mktemp("runs")
    accuracies = (("late-fusion", 0.95), ("clip", 0.6), ("embracenet", 0.62))
    return [scored_run(base / name, accuracy, seed).path for seed, (name, accuracy) in enumerate(accuracies)]


@pytest.mark.parametrize(
    ("kind", "count", "suffix", "caption"),
    [
        ("languages", 1, ".svg", "top-1 of item by language"),
        ("languages", 3, ".pdf", "late-fusion, clip, embracenet"),
        ("reliability", 1, ".png", "Reliability of late-fusion"),
        ("reliability", 2, ".svg", "Reliability of late-fusion, clip"),
        ("confusion", 1, ".svg", "Confusion matrix of late-fusion"),
        ("comparison", 2, ".svg", "late-fusion minus clip"),
        ("comparison", 3, ".svg", "Black bars join models that can't be told apart"),
    ],
)
def test_each_kind_is_written_and_its_caption_printed(
    kind: str,
    count: int,
    suffix: str,
    caption: str,
    command: Command,
    runs: list[Path],
    tmp_path: Path,
    capsys: Capture,
) -> None:
    path = tmp_path / "figures" / f"f{suffix}"
    assert command("plot", *runs[:count], "--kind", kind, "--output", path) == 0
    assert path.read_bytes().startswith(HEADS[suffix])
    out = capsys.readouterr().out
    assert caption in out
    assert out.endswith(f"Figure: {path}\n")


def test_a_run_without_a_history_of_epochs_has_no_learning_curve(
    command: Command, runs: list[Path], tmp_path: Path, capsys: Capture
) -> None:
    assert command("plot", runs[0], "--kind", "learning", "--output", tmp_path / "f.svg") == 2
    assert "has no history of epochs, so there is no learning curve to draw" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_the_history_in_the_record_becomes_learning_curves(command: Command, tmp_path: Path, capsys: Capture) -> None:
    run = scored_run(tmp_path / "run", 0.8)
    history = [{"epoch": epoch, "loss": 1 / epoch, "validation": 0.5 + epoch / 10} for epoch in (1, 2, 3)]
    facts = {"seconds": 1.0, "epochs": 3, "best_epoch": 2, "history": history}
    run.finish(run.record.model_copy(update={"seeds": {"0": facts}}), [])
    assert command("plot", run.path, "--kind", "learning", "--output", tmp_path / "f.svg") == 0
    assert "Learning curves of run" in capsys.readouterr().out


def test_changed_predictions_are_refused(command: Command, tmp_path: Path, capsys: Capture) -> None:
    run = scored_run(tmp_path / "run", 0.8)
    run.predictions_file(0).write_bytes(b"changed")
    for kind in ("confusion", "reliability"):
        assert command("plot", run.path, "--kind", kind, "--output", tmp_path / "f.svg") == 2
        assert "seed-0.parquet" in capsys.readouterr().err


def test_predictions_without_probabilities_have_no_reliability(
    command: Command, tmp_path: Path, capsys: Capture
) -> None:
    run = scored_run(tmp_path / "labels", 0.8, labels_only=True)
    assert command("plot", run.path, "--kind", "reliability", "--output", tmp_path / "f.svg") == 2
    assert "item has no probabilities, so there is no confidence to draw" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("count", "words", "says"),
    [
        (1, ["--kind", "pie"], "--kind pie: the kinds are languages, reliability, confusion, learning, comparison."),
        (1, ["--output", "f.gif"], "--output f.gif: the name must end in .svg, .png or .pdf."),
        (1, ["--output", "f"], "--output f: the name must end in .svg, .png or .pdf."),
        (2, ["--kind", "confusion"], "--kind confusion shows one run, but there are 2"),
        (1, ["--kind", "comparison"], "--kind comparison needs at least two runs"),
        (1, ["--width", "5"], "--width 5: write millimetres from 50 to 600."),
        (1, ["--task", "colour"], "--task colour: "),
        (1, ["--metric", "bleu"], "--metric bleu: "),
        (1, ["--kind", "confusion", "--metric", "top1"], "--kind confusion has no metric"),
        (1, ["--kind", "learning", "--task", "item"], "leave --task out"),
    ],
)
def test_a_wrong_option_is_refused_in_one_sentence(
    count: int, words: list[str], says: str, command: Command, runs: list[Path], tmp_path: Path, capsys: Capture
) -> None:
    output = [] if "--output" in words else ["--output", tmp_path / "f.svg"]
    assert command("plot", *runs[:count], *output, *words) == 2
    assert says in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_more_runs_than_markers_are_refused(
    command: Command, runs: list[Path], tmp_path: Path, capsys: Capture
) -> None:
    assert command("plot", *runs * 3, "--output", tmp_path / "f.svg") == 2
    assert "9 runs can't be told apart in one figure; name at most 8" in capsys.readouterr().err


def test_without_matplotlib_the_message_names_the_extra(
    command: Command, runs: list[Path], tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *more: None if name == "matplotlib" else find(name))
    assert command("plot", runs[0], "--output", tmp_path / "f.svg") == 2
    assert "run: pip install 'mmeval-multilingual[plot]'" in capsys.readouterr().err


def test_the_command_line_does_not_import_matplotlib() -> None:
    code = "import sys, mmeval.cli.main; assert not {'matplotlib', 'scipy', 'torch'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)

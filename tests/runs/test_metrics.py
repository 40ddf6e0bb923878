"""`--metric`: a plugin's metric stands wherever the built-in ones do, and is found again when a run is scored anew."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from mmeval.runs.folder import RunFolder

Command = Callable[..., int]
Capture = pytest.CaptureFixture[str]
Refused = Callable[..., str]
METRIC = '''"""Measures."""
import mmeval
import numpy as np


def truth(labels, probabilities):
    return probabilities[np.arange(len(labels)), labels].astype(float)


@mmeval.hookimpl
def register_metrics(register):
    register(mmeval.MetricSpec(name="{name}", summary="probability of the true class", per_example={function}))
'''


@pytest.fixture
def metric(tmp_path: Path) -> Callable[..., Path]:
    """Writes a metric as a file."""

    def write(name: str, function: str = "truth") -> Path:
        path = tmp_path / f"{name}.py"
        path.write_text(METRIC.format(name=name, function=function))
        return path

    return write


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    return RunFolder(tmp_path / "run")


@pytest.fixture
def start(even: Path, installed: None, command: Command, folder: RunFolder) -> Callable[..., int]:
    """Calls `mmeval run` of the small model on the small data set."""

    def call(*words: object) -> int:
        return command(
            "run", "--plugin", even, "--dataset", "colours", "--device", "cpu", "--output", folder.path, *words
        )

    return call


@pytest.fixture
def refused(command: Command, capsys: Capture, folder: RunFolder) -> Refused:
    """Scores the run with these words, which must be refused and leave the run as it was; returns the sentence."""

    def call(*words: object) -> str:
        before = {path: path.read_bytes() for path in folder.path.rglob("*") if path.is_file()}
        capsys.readouterr()
        assert command("score", folder.path, *words) == 2
        assert {path: path.read_bytes() for path in folder.path.rglob("*") if path.is_file()} == before
        (line,) = [one for one in capsys.readouterr().err.splitlines() if one.startswith("error: ")]
        return line.removeprefix("error: ")

    return call


def scored(folder: RunFolder, metric: str) -> dict[tuple[str, ...], tuple[float, float, float, int]]:
    keys, values = ("task", "language", "slice", "seed"), ("value", "low", "high", "n")
    rows: list[dict[str, Any]] = pq.read_table(folder.scores_file).to_pylist()
    own = [row for row in rows if row["metric"] == metric]
    return {tuple(row[key] for key in keys): tuple(row[value] for value in values) for row in own}


def test_a_metric_stands_wherever_the_built_in_ones_do(
    start: Command, metric: Callable[..., Path], even: Path, folder: RunFolder, capsys: Capture
) -> None:
    """Every task, language, slice and aggregate, with an interval; in each view; and in the record."""
    path = metric("truth")
    assert start("--metric", path, "--seeds", 2) == 0
    own, top1 = scored(folder, "truth"), scored(folder, "top1")
    assert own.keys() == top1.keys()
    for task, share in (("colour", 1 / 3), ("shade", 1 / 2)):
        for language in ("de", "en", "ja", "macro", "worst", "all"):
            value, low, high, n = own[task, language, "all", "mean"]
            assert (value, low, high) == pytest.approx((share,) * 3)
            assert n == top1[task, language, "all", "mean"][3]
        assert own[task, "gap", "all", "mean"][0] == pytest.approx(0)
    assert "<th>truth</th>" in folder.report_path.read_text()
    assert " | truth |" in folder.readme_file.read_text()
    assert "0.333 [0.333–0.333]" in folder.readme_file.read_text()
    shown = capsys.readouterr().out
    assert "\ncolour: truth, mean 0.333 (0.333–0.333), worst 0.333 (0.333–0.333)\n" in shown
    assert "\nshade: truth, mean 0.500 (0.500–0.500), worst 0.500 (0.500–0.500)\n" in shown
    record = json.loads(folder.record_file.read_text())
    assert (record["plugin"], record["dataset"]) == (str(even), "colours")
    assert (record["metric_plugins"], record["metrics"]) == ([str(path)], ["truth"])
    assert f" --metric {path} " in record["command"]


def test_what_a_text_model_is_shown_needs_no_saying(start: Command, folder: RunFolder) -> None:
    """Without --inputs a model gets all that it uses: of this one, texts."""
    assert start() == 0
    plan = folder.record.plan
    assert plan.protocol.inputs.value == "text"
    assert "|text|" in plan.signature
    assert "--inputs" not in folder.record.command
    assert set(pq.read_table(folder.scores_file)["inputs"].to_pylist()) == {"text"}


def test_a_run_without_metrics_records_none(start: Command, folder: RunFolder) -> None:
    assert start() == 0
    assert (folder.record.metric_plugins, folder.record.metrics) == ([], [])


def test_a_metric_is_asked_for_by_name(
    start: Command, metric: Callable[..., Path], install: Callable[[str, str, str], None], folder: RunFolder
) -> None:
    """An installed one; two at once stand side by side."""
    install("metrics", "sure", METRIC.format(name="sure", function="lambda labels, p: p.max(1).astype(float)"))
    path = metric("truth")
    assert start("--metric", "sure", "--metric", path) == 0
    assert folder.record.metric_plugins == ["sure", str(path)]
    assert folder.record.metrics == ["sure", "truth"]
    assert scored(folder, "sure").keys() == scored(folder, "truth").keys() == scored(folder, "top1").keys()


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("sur", 'No metric is named "sur". Did you mean "sure"? `mmeval plugins` lists all.'),
        ("./gone.py", "--metric gone.py: there is no such file."),
    ],
)
def test_an_unknown_metric_is_found_before_the_work_begins(
    word: str,
    said: str,
    start: Command,
    install: Callable[[str, str, str], None],
    folder: RunFolder,
    capsys: Capture,
) -> None:
    """Not after hours of training."""
    install("metrics", "sure", METRIC.format(name="sure", function="truth"))
    assert start("--metric", word) == 2
    assert capsys.readouterr().err == f"error: {said}\n"
    assert not folder.path.exists()


def test_a_metric_is_added_to_a_finished_run(
    start: Command, metric: Callable[..., Path], command: Command, folder: RunFolder, capsys: Capture
) -> None:
    """A new idea of what to measure costs no training, and a later `mmeval score` keeps it."""
    first = metric("first")
    assert start("--metric", first) == 0
    shutil.rmtree(folder.path / "models")
    before = {name: scored(folder, name) for name in ("top1", "first")}
    second = metric("second", "lambda labels, p: p.min(1).astype(float)")
    assert command("score", folder.path, "--metric", first, "--metric", second) == 0
    assert "colour: second, mean 0.333" in capsys.readouterr().out
    assert {name: scored(folder, name) for name in before} == before
    assert scored(folder, "second").keys() == before["top1"].keys()
    record = folder.record
    assert (record.metric_plugins, record.metrics) == ([str(first), str(second)], ["first", "second"])
    views = [path.read_bytes() for path in (folder.scores_file, folder.report_path, folder.readme_file)]
    for words in (["--metric", first, "--metric", second], ["--metric", second, "--metric", first]):
        assert command("score", folder.path, *words) == 0
        assert [path.read_bytes() for path in (folder.scores_file, folder.report_path, folder.readme_file)] == views
        assert folder.record == record


def test_a_metric_of_its_own_needs_no_model_to_be_scored(
    start: Command, metric: Callable[..., Path], command: Command, folder: RunFolder, even: Path
) -> None:
    """The predictions and the metric are enough, on a machine that has neither the plugin nor the data set."""
    assert start() == 0
    even.unlink()
    path = metric("truth")
    assert command("score", folder.path, "--metric", path) == 0
    assert command("score", folder.path, "--metric", path) == 0
    assert scored(folder, "truth").keys() == scored(folder, "top1").keys()


def test_a_metric_that_is_gone_is_named(
    start: Command, metric: Callable[..., Path], refused: Refused, even: Path
) -> None:
    """Not dropped without a word: the report would lack a column that was sent to somebody."""
    path = metric("truth")
    assert start("--metric", path) == 0
    path.write_text(METRIC.format(name="renamed", function="truth"))
    said = refused("--metric", path)
    assert said == f'The metric "truth" of this run is no longer registered by {even} and {path}.'
    path.unlink()
    assert refused("--metric", path) == f"--metric {path}: there is no such file."


def test_a_metric_that_is_unknown_changes_nothing(start: Command, refused: Refused) -> None:
    assert start() == 0
    assert refused("--metric", "zzz") == 'No metric is named "zzz". `mmeval plugins` lists all.'


@pytest.mark.parametrize(
    ("function", "said"),
    [
        ("lambda labels, p: 1 / 0", r'The metric "bad" \(.*bad\.py\) failed: ZeroDivisionError: division by zero'),
        (
            "lambda labels, p: p",
            r'The metric "bad" \(.*bad\.py\) must return an array of shape \(42,\), but returned \(42, 3\)\.',
        ),
        (
            "lambda labels, p: labels * float('nan')",
            r'The metric "bad" \(.*bad\.py\) must return finite values, but returned nan',
        ),
    ],
)
def test_a_metric_that_fails_changes_nothing(
    function: str, said: str, start: Command, metric: Callable[..., Path], refused: Refused
) -> None:
    """NaN too: languages that have one would be left out of the mean, and it would look better than it is."""
    assert start() == 0
    assert re.search(said, refused("--metric", metric("bad", function)))


@pytest.mark.parametrize("change", ["labels.fill(0)", "p.fill(0)"])
def test_a_metric_can_not_change_what_others_see(
    change: str, start: Command, metric: Callable[..., Path], refused: Refused
) -> None:
    """Some compute in place; top-1 and the metrics after them must not be of what they leave behind."""
    assert start() == 0
    path = metric("greedy", f"lambda labels, p: [{change}, p.max(1)][1]")
    said = refused("--metric", path)
    assert said == f'The metric "greedy" ({path}) failed: ValueError: assignment destination is read-only'


def test_a_finished_run_says_how_a_metric_is_added(
    start: Command, metric: Callable[..., Path], folder: RunFolder, capsys: Capture
) -> None:
    """Repeating the command with one more --metric would otherwise end well, and without it."""
    assert start() == 0
    before = folder.record_file.read_bytes()
    path = metric("truth")
    capsys.readouterr()
    assert start("--metric", path) == 2
    assert capsys.readouterr().err.splitlines()[-1] == (
        f"error: {folder.path} holds this run, finished, without the metric {path}; "
        f"run `mmeval score {folder.path} --metric {path}` to add it."
    )
    assert folder.record_file.read_bytes() == before


def test_values_are_those_of_the_predictions(
    finished: RunFolder, metric: Callable[..., Path], command: Command
) -> None:
    """Of a model that has learned something: the mean over the examples of a language, nothing else."""
    assert command("score", finished.path, "--metric", metric("truth")) == 0
    rows = pq.read_table(finished.predictions_file(0)).to_pylist()
    classes = ("red", "green", "blue")
    own = [row["colour:probabilities"][classes.index(row["colour"])] for row in rows if row["language"] == "ja"]
    assert scored(finished, "truth")["colour", "ja", "all", "0"][0] == pytest.approx(np.mean(own))


def test_the_record_says_which_text_of_a_metric_scored(
    start: Command, metric: Callable[..., Path], command: Command, folder: RunFolder, capsys: Capture
) -> None:
    """An edited file gives other values under the same name, so it is said."""
    path = metric("truth")
    assert start("--metric", path) == 0
    before = folder.record.metric_origins
    assert list(before) == ["truth"]
    assert re.fullmatch(re.escape(str(path)) + r"\+[0-9a-f]{8}", before["truth"])
    path.write_text(path.read_text().replace("astype(float)", "astype(float) / 2"))
    capsys.readouterr()
    assert command("score", folder.path, "--metric", path) == 0
    now = folder.record.metric_origins
    assert now != before
    said = f"The metric truth was {before['truth']} when this run was scored; now it is {now['truth']}.\n"
    assert said in capsys.readouterr().err

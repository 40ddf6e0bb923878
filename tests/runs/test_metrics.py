"""`--metric`: plugin metrics in scores and reports, and in later calls of `mmeval score`."""

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
    """Return a function that writes a metric as a Python file."""

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
    """Return a function that calls `mmeval run` with the small model on the small data set."""

    def call(*words: object) -> int:
        return command(
            "run", "--plugin", even, "--dataset", "colours", "--device", "cpu", "--output", folder.path, *words
        )

    return call


@pytest.fixture
def refused(command: Command, capsys: Capture, folder: RunFolder) -> Refused:
    """Return a function that calls `mmeval score`, which must fail without changes; it returns the message."""

    def call(*words: object) -> str:
        before = {path: path.read_bytes() for path in folder.path.rglob("*") if path.is_file()}
        capsys.readouterr()
        assert command("score", folder.path, *words) == 2
        assert {path: path.read_bytes() for path in folder.path.rglob("*") if path.is_file()} == before
        (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
        return line.removeprefix("error: ")

    return call


def scored(folder: RunFolder, metric: str) -> dict[tuple[str, ...], tuple[float, float, float, int]]:
    keys, values = ("task", "language", "slice", "seed"), ("value", "low", "high", "n")
    rows: list[dict[str, Any]] = pq.read_table(folder.scores_file).to_pylist()
    # Scripts and families of languages have top-1 only.
    own = [row for row in rows if row["metric"] == metric and not row["slice"].startswith(("script", "family"))]
    return {tuple(row[key] for key in keys): tuple(row[value] for value in values) for row in own}


def test_a_plugin_metric_is_in_every_table_view_and_record(
    start: Command, metric: Callable[..., Path], even: Path, folder: RunFolder, capsys: Capture
) -> None:
    """It has a value and an interval for every task, language, slice and aggregate."""
    path = metric("truth")
    assert start("--metric", path, "--seeds", 2) == 0
    own, top1 = scored(folder, "truth"), scored(folder, "top1")
    assert own.keys() == top1.keys()
    for task, share in (("colour", 1 / 3), ("shade", 1 / 2)):
        for language in ("de", "en", "ja", "macro", "worst", "all"):
            value, low, high, n = own[task, language, "all", "mean"]
            assert value == pytest.approx(share)
            assert low < value < high
            assert n == top1[task, language, "all", "mean"][3]
        assert own[task, "gap", "all", "mean"][0] == pytest.approx(0)
    assert "<th>truth</th>" in folder.report_path.read_text()
    assert " | truth |" in folder.readme_file.read_text()
    assert re.search(r"0\.333 \[0\.\d{3}–0\.\d{3}\*\]", folder.readme_file.read_text())
    shown = capsys.readouterr().out
    assert re.search(r"\ncolour: truth, mean 0\.333 \(.*\), worst 0\.333 \(.*\)\n", shown)
    assert re.search(r"\nshade: truth, mean 0\.500 \(.*\), worst 0\.500 \(.*\)\n", shown)
    record = json.loads(folder.record_file.read_text())
    assert (record["plugin"], record["dataset"]) == (str(even), "colours")
    assert (record["metric_plugins"], record["metrics"]) == ([str(path)], ["truth"])
    assert f" --metric {path} " in record["command"]


def test_a_text_model_needs_no_inputs_option(start: Command, folder: RunFolder) -> None:
    """Without --inputs a model gets all inputs that it uses."""
    assert start() == 0
    plan = folder.record.plan
    assert plan.protocol.inputs.value == "text"
    assert "|text|" in plan.signature
    assert "--inputs" not in folder.record.command
    assert set(pq.read_table(folder.scores_file)["inputs"].to_pylist()) == {"text"}


def test_a_run_without_metrics_records_none(start: Command, folder: RunFolder) -> None:
    assert start() == 0
    assert (folder.record.metric_plugins, folder.record.metrics) == ([], [])


def test_metrics_are_named_by_plugin_or_file(
    start: Command, metric: Callable[..., Path], install: Callable[[str, str, str], None], folder: RunFolder
) -> None:
    install("metrics", "sure", METRIC.format(name="sure", function="lambda labels, p: p.max(1).astype(float)"))
    path = metric("truth")
    assert start("--metric", "sure", "--metric", path) == 0
    assert folder.record.metric_plugins == ["sure", str(path)]
    assert folder.record.metrics == ["sure", "truth"]
    assert scored(folder, "sure").keys() == scored(folder, "truth").keys() == scored(folder, "top1").keys()


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("sur", 'No metric is named "sur". Did you mean "sure"? `mmeval plugins` lists all.'),
        ("./gone.py", "--metric gone.py: there is no such file."),
    ],
)
def test_an_unknown_metric_is_refused_before_training(
    word: str,
    expected: str,
    start: Command,
    install: Callable[[str, str, str], None],
    folder: RunFolder,
    capsys: Capture,
) -> None:
    install("metrics", "sure", METRIC.format(name="sure", function="truth"))
    assert start("--metric", word) == 2
    assert capsys.readouterr().err == f"error: {expected}\n"
    assert not folder.path.exists()


def test_a_metric_is_added_to_a_finished_run(
    start: Command, metric: Callable[..., Path], command: Command, folder: RunFolder, capsys: Capture
) -> None:
    """A new metric needs no training, and later calls of `mmeval score` keep it."""
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


def test_score_needs_neither_model_nor_data_set_for_a_metric(
    start: Command, metric: Callable[..., Path], command: Command, folder: RunFolder, even: Path
) -> None:
    assert start() == 0
    even.unlink()
    path = metric("truth")
    assert command("score", folder.path, "--metric", path) == 0
    assert command("score", folder.path, "--metric", path) == 0
    assert scored(folder, "truth").keys() == scored(folder, "top1").keys()


def test_a_missing_metric_is_refused(start: Command, metric: Callable[..., Path], refused: Refused, even: Path) -> None:
    """Otherwise the new report would silently lack a column."""
    path = metric("truth")
    assert start("--metric", path) == 0
    path.write_text(METRIC.format(name="renamed", function="truth"))
    message = refused("--metric", path)
    assert message == f'The metric "truth" of this run is no longer registered by {even} and {path}.'
    path.unlink()
    assert refused("--metric", path) == f"--metric {path}: there is no such file."


def test_an_unknown_metric_changes_nothing(start: Command, refused: Refused) -> None:
    assert start() == 0
    assert refused("--metric", "zzz") == 'No metric is named "zzz". `mmeval plugins` lists all.'


@pytest.mark.parametrize(
    ("function", "expected"),
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
def test_a_failing_metric_changes_nothing(
    function: str, expected: str, start: Command, metric: Callable[..., Path], refused: Refused
) -> None:
    """NaN is refused too: a language with NaN would be left out of the mean, which might then be too high."""
    assert start() == 0
    assert re.search(expected, refused("--metric", metric("bad", function)))


@pytest.mark.parametrize("change", ["labels.fill(0)", "p.fill(0)"])
def test_a_metric_cannot_change_its_arguments(
    change: str, start: Command, metric: Callable[..., Path], refused: Refused
) -> None:
    """Later metrics get the same arrays."""
    assert start() == 0
    path = metric("greedy", f"lambda labels, p: [{change}, p.max(1)][1]")
    message = refused("--metric", path)
    assert message == f'The metric "greedy" ({path}) failed: ValueError: assignment destination is read-only'


def test_run_with_a_new_metric_on_a_finished_run_names_score(
    start: Command, metric: Callable[..., Path], folder: RunFolder, capsys: Capture
) -> None:
    """Otherwise the command would succeed without adding the metric."""
    assert start() == 0
    before = folder.record_file.read_bytes()
    path = metric("truth")
    capsys.readouterr()
    assert start("--metric", path) == 2
    assert capsys.readouterr().err.splitlines()[-1] == (
        f"error: The finished run {folder.path} lacks the metric {path}; "
        f"run `mmeval score {folder.path} --metric {path}` to add it."
    )
    assert folder.record_file.read_bytes() == before


def test_metric_values_are_means_over_examples(
    finished: RunFolder, metric: Callable[..., Path], command: Command
) -> None:
    assert command("score", finished.path, "--metric", metric("truth")) == 0
    rows = pq.read_table(finished.predictions_file(0)).to_pylist()
    classes = ("red", "green", "blue")
    own = [row["colour:probabilities"][classes.index(row["colour"])] for row in rows if row["language"] == "ja"]
    assert scored(finished, "truth")["colour", "ja", "all", "0"][0] == pytest.approx(np.mean(own))


def test_a_changed_metric_file_is_noted(
    start: Command, metric: Callable[..., Path], command: Command, folder: RunFolder, capsys: Capture
) -> None:
    """An edited file may give other values under the same name."""
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
    expected = f"The metric truth was {before['truth']} when this run was scored; now it is {now['truth']}.\n"
    assert expected in capsys.readouterr().err

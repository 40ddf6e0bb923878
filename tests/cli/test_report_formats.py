"""``mmeval report --format``: what it prints and writes, that the run folder stays as it is, and its refusals."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from mmeval.runs.folder import RunFolder
from tests.report.score_runs import scored_run

Command = Callable[..., int]
Capture = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    base = tmp_path_factory.mktemp("runs")
    return [scored_run(base / name, accuracy).path for name, accuracy in (("late-fusion", 0.95), ("clip", 0.6))]


def files(folder: Path) -> dict[str, tuple[bytes, int]]:
    return {str(path): (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("kind", "has"),
    [
        ("md", "# late-fusion on shop"),
        ("html", "<!doctype html>"),
        ("csv", "run,model,dataset"),
        ("json", '"schema_version": 1'),
        ("latex", "\\begin{tabular}"),
    ],
)
def test_each_format_is_printed_and_leaves_the_run_as_it_is(
    kind: str, has: str, command: Command, runs: list[Path], capsys: Capture
) -> None:
    before = files(runs[0])
    assert command("report", runs[0], "--format", kind) == 0
    assert has.casefold() in capsys.readouterr().out.casefold()
    assert files(runs[0]) == before


@pytest.mark.parametrize(("name", "has"), [("t.tex", "booktabs"), ("t.json", "{"), ("t.md", "# "), ("t.csv", "run,")])
def test_the_ending_of_the_output_names_the_format(
    name: str, has: str, command: Command, runs: list[Path], tmp_path: Path, capsys: Capture
) -> None:
    path = tmp_path / "paper" / name
    assert command("report", runs[0], "--output", path) == 0
    assert has in path.read_text(encoding="utf-8")
    assert capsys.readouterr().out == f"Report: {path}\n"


def test_several_runs_become_a_table_with_bold_from_paired_tests(
    command: Command, runs: list[Path], capsys: Capture
) -> None:
    assert command("report", *runs, "--format", "latex") == 0
    text = capsys.readouterr().out
    assert "late-fusion & " in text
    assert "\\textbf" in text
    assert command("report", runs[0], "--format", "latex") == 0
    assert "\\textbf" not in capsys.readouterr().out


def test_json_of_several_runs_has_their_comparison(command: Command, runs: list[Path], capsys: Capture) -> None:
    assert command("report", *runs, "--format", "json", "--metric", "macro_f1") == 0
    data = json.loads(capsys.readouterr().out)
    assert [run["run"] for run in data["runs"]] == ["late-fusion", "clip"]
    (comparison,) = data["comparisons"]
    assert (comparison["a"], comparison["metric"], comparison["task"]) == ("late-fusion", "macro_f1", "item")
    assert {score["metric"] for run in data["runs"] for score in run["scores"]} == {"macro_f1"}


def test_task_and_metric_narrow_the_table(command: Command, runs: list[Path], capsys: Capture) -> None:
    words = ("--format", "md", "--task", "item", "--metric", "macro_f1", "--metric", "ece")
    assert command("report", runs[0], *words) == 0
    text = capsys.readouterr().out
    assert "| language | n | macro-F1 | calibration error |" in text
    assert "# " not in text


def test_without_a_format_the_report_in_the_folder_is_rebuilt(
    command: Command, tmp_path: Path, capsys: Capture
) -> None:
    run = scored_run(tmp_path / "run", 0.8)
    assert command("report", run.path) == 0
    assert "Report:" in capsys.readouterr().out
    assert run.report_path.is_file()
    assert not RunFolder(run.path).content().warnings


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--format", "pdf"], "--format pdf: the formats are md, html, csv, json, latex."),
        (["--output", "table.doc"], "--output table.doc: its ending names no format"),
        (["--format", "md", "--task", "colour"], "--task colour: "),
        (["--format", "csv", "--metric", "bleu"], "--metric bleu: "),
        (["--format", "html", "--metric", "top1"], "--metric: the HTML report has every task and metric"),
        (["--metric", "top1"], "--metric: add --format md, csv, json or latex."),
    ],
)
def test_a_wrong_option_is_refused_in_one_sentence(
    words: list[str], says: str, command: Command, runs: list[Path], capsys: Capture
) -> None:
    assert command("report", runs[0], *words) == 2
    assert says in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ([], "Several runs: add --format md, csv, json or latex"),
        (["--format", "html"], "--format html shows one run"),
        (["--format", "md", "--metric", "top1", "--metric", "ece"], "--metric ece: a table of several runs has one"),
    ],
)
def test_several_runs_need_a_format_with_a_table(
    words: list[str], says: str, command: Command, runs: list[Path], capsys: Capture
) -> None:
    assert command("report", *runs, *words) == 2
    assert says in capsys.readouterr().err


@pytest.mark.parametrize("kind", ["md", "json", "latex"])
def test_runs_without_a_common_task_are_refused(
    kind: str, command: Command, runs: list[Path], tmp_path: Path, capsys: Capture
) -> None:
    file = tmp_path / "colours.csv"
    file.write_text("id,language,true,predicted\n" + "".join(f"{row},de,{'ab'[row % 2]},a\n" for row in range(10)))
    assert command("score", file, "--task", "colour", "--output", tmp_path / "colours") == 0
    assert command("report", runs[0], tmp_path / "colours", "--format", kind) == 2
    assert "late-fusion has the task item; colours has the task colour." in capsys.readouterr().err


def test_a_file_of_the_run_is_not_overwritten(command: Command, runs: list[Path], capsys: Capture) -> None:
    before = files(runs[0])
    for name in ("run.json", "scores.parquet"):
        assert command("report", runs[0], "--format", "json", "--output", runs[0] / name) == 2
        assert "is a file of the run itself" in capsys.readouterr().err
    assert files(runs[0]) == before


def test_changed_scores_are_refused(command: Command, tmp_path: Path, capsys: Capture) -> None:
    run = scored_run(tmp_path / "run", 0.8)
    run.scores_file.write_bytes(b"changed")
    assert command("report", run.path, "--format", "csv") == 2
    assert "scores.parquet" in capsys.readouterr().err


def test_a_folder_that_is_no_run_is_refused(command: Command, tmp_path: Path, capsys: Capture) -> None:
    assert command("report", tmp_path / "none", "--format", "csv") == 2
    assert "there is no such folder" in capsys.readouterr().err

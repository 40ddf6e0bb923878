"""``mmeval compare``: what it prints, and its exit status."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from mmeval.record import Efficiency
from tests.comparison.run_folders import CLASSES, examples, guesses, write_run


@pytest.fixture
def runs(tmp_path: Path) -> list[Path]:
    table = examples()
    return [
        write_run(tmp_path / name, table, {0: guesses(table["true"], accuracy, seed)}).path
        for seed, (name, accuracy) in enumerate((("late-fusion", 0.9), ("embracenet", 0.6), ("clip", 0.61)))
    ]


def test_two_runs_get_a_table_and_a_sentence_per_language(
    command: Callable[..., int], runs: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert command("compare", *runs[:2]) == 0
    out = capsys.readouterr().out
    assert "late-fusion minus embracenet, top-1 of item" in out
    assert "Holm over 3 languages · 1 seed each" in out
    assert "predictions differ in " in out
    assert "German (de): late-fusion is better by " in out
    assert "Mean over languages: late-fusion is better (" in out
    assert "this checkpoint, not this method" in out
    assert "Ranks" not in out


def test_more_runs_get_ranks(command: Callable[..., int], runs: list[Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert command("compare", *runs) == 0
    out = capsys.readouterr().out
    assert "Ranks by the mean over languages of top-1 (Holm over all pairs)" in out
    assert "Can't be told apart: clip, embracenet." in out or "Can't be told apart: embracenet, clip." in out


def test_json_is_all_that_goes_to_standard_output(
    command: Callable[..., int], runs: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command("compare", *runs, "--json", "--output", tmp_path / "out", "--correction", "bh") == 0
    data = json.loads(capsys.readouterr().out)
    assert (data["a"], data["b"], data["metric"], data["correction"]) == ("late-fusion", "embracenet", "top1", "bh")
    assert len(data["pairs"]) == len(data["ranks"]) == 3
    assert json.loads((tmp_path / "out" / "comparison.json").read_bytes()) == data
    assert (tmp_path / "out" / "comparison.parquet").is_file()


def test_a_repeated_run_has_identical_predictions(
    command: Callable[..., int], runs: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert command("compare", runs[0], runs[0]) == 0
    assert "\nidentical predictions\n" in capsys.readouterr().out.replace(" \n", "\n")


def test_one_run_is_refused(command: Callable[..., int], runs: list[Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert command("compare", runs[0]) == 2
    assert "needs at least two runs" in capsys.readouterr().err


def test_a_missing_folder_is_refused(
    command: Callable[..., int], runs: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command("compare", runs[0], tmp_path / "nothing") == 2
    assert "there is no such folder" in capsys.readouterr().err


def test_forced_differences_are_printed(
    command: Callable[..., int], runs: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = examples()
    other = write_run(tmp_path / "words", table, {0: guesses(table["true"], 0.5, 9)}, inputs="text").path
    assert command("compare", runs[0], other) == 2
    assert "the inputs of words are text, but those of late-fusion are image+text" in capsys.readouterr().err
    assert command("compare", runs[0], other, "--force") == 0
    assert "Forced: the inputs of words are text" in capsys.readouterr().out


def test_the_cost_of_the_models_stands_beside_their_ranks(
    command: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = examples()
    size = Efficiency(parameters=48_400_000, flops_per_example=1.2e9, device_seconds=12)
    paths = [
        write_run(tmp_path / name, table, {0: guesses(table["true"], 0.7, seed)}, efficiency=cost).path
        for seed, (name, cost) in enumerate((("large", size), ("unknown", None)))
    ]
    assert command("compare", *paths) == 0
    out = capsys.readouterr().out
    assert "48.4 M" in out
    assert command("compare", *paths, "--json") == 0
    runs = json.loads(capsys.readouterr().out)["runs"]
    assert runs[0]["efficiency"]["parameters"] == 48_400_000
    assert runs[1]["efficiency"] is None


def test_predictions_of_another_tool_are_compared_with_a_run(
    command: Callable[..., int], runs: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A CSV file of labels, without clusters, becomes a run by ``score`` and is compared in one more command."""
    table = examples()
    predicted = guesses(table["true"], 0.6, 1)
    lines = [
        f"{id_},{language},{CLASSES[true]},{CLASSES[own]}"
        for id_, language, true, own in zip(table["id"], table["language"], table["true"], predicted, strict=True)
    ]
    (tmp_path / "tool.csv").write_text("\n".join(["id,language,true,predicted", *lines]) + "\n", encoding="utf-8")
    assert command("score", tmp_path / "tool.csv", "--output", tmp_path / "tool", "--task", "item") == 0
    capsys.readouterr()
    assert command("compare", runs[1], tmp_path / "tool", "--json") == 0
    data = json.loads(capsys.readouterr().out)
    assert data["identical"]
    assert data["forced"] == []
    assert any("tool has a cluster of its own for every row" in note for note in data["notes"])


def test_a_margin_in_points_is_explained(
    command: Callable[..., int], runs: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert command("compare", *runs[:2], "--margin", "5") == 2
    assert "--margin 5: top1 lies between 0 and 1; write 0.05 for 5 points." in capsys.readouterr().err

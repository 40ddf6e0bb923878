"""The command ``mmeval predict``: options, messages, several runs, scores."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest

import mmeval
from mmeval import RunFolder

WORDS = '''"""Gives a text the class that it names first; every class a share where it names none."""
import numpy as np

import mmeval


class Words:
    def __init__(self, config, context):
        self.tasks = context.tasks

    def fit(self, train, validation, context):
        return {}

    def predict(self, examples, context):
        block = {}
        for task in self.tasks:
            named = np.array([[name in text for name in task.classes] for text in examples.texts], np.float32)
            block[task.name] = 0.1 + 0.8 * named
            if not task.multilabel:
                block[task.name] /= block[task.name].sum(1, keepdims=True)
        yield block

    def save(self, folder):
        pass

    def load(self, folder):
        pass


@mmeval.hookimpl
def register_models(register):
    register(mmeval.ModelSpec(name="words", summary="s", config=mmeval.ModelConfig, build=Words,
        version="1", inputs=("text",), paper="none", licence="MIT", presets={"tiny": {}}))
'''


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model in a single file."""
    path = tmp_path_factory.mktemp("plugin") / "words.py"
    path.write_text(WORDS, encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def trained(words: Path, tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A run with a task of one class per row, and a task of several."""
    folder = tmp_path_factory.mktemp("runs")
    table = folder / "shop.jsonl"
    lines = [
        {
            "id": f"p{n}",
            "text": f"{('red', 'green', 'blue')[n % 3]} {('round', 'flat', 'round and flat')[n % 3]} {n}",
            "language": ("de", "en")[n % 2],
            "colour": ("red", "green", "blue")[n % 3],
            "shape": (["round"], ["flat"], ["round", "flat"])[n % 3],
        }
        for n in range(90)
    ]
    table.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MMEVAL_HOME", str(tmp_path_factory.getbasetemp() / "home"))
        return mmeval.run(words, f"table:{table}", columns="label=colour+shape", output=folder / "run", device="cpu")


@pytest.fixture
def week(tmp_path: Path) -> Path:
    """New products."""
    path = tmp_path / "week.jsonl"
    lines = [
        {"id": "a", "text": "a red round thing", "language": "de", "colour": "red", "shape": ["round"]},
        {"id": "b", "text": "blue and flat", "language": "sw", "colour": "green", "shape": ["flat", "round"]},
        {"id": "b", "text": "a thing", "language": "sw", "colour": "violet", "shape": []},
        {"id": "c", "text": "", "language": "de"},
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return path


def test_predict_writes_the_classes_of_each_task(
    command: Callable[..., int],
    trained: RunFolder,
    words: Path,
    week: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    output = tmp_path / "out.parquet"
    options = ("--plugin", words, "--uncalibrated", "--top-k", 2, "--output", output)
    assert command("predict", trained.path, week, *options) == 0
    rows = pq.read_table(output).to_pylist()
    assert [row["id"] for row in rows] == ["a", "b", "b", "c"]
    assert [row["colour"] for row in rows] == ["red", "blue", "blue", None]
    assert [row["shape"] for row in rows] == [["round"], ["flat"], [], None]
    assert rows[0]["shape:probability"] == pytest.approx([0.9])
    assert rows[0]["shape:top"] == ["round", "flat"]
    assert rows[0]["shape:top_probabilities"] == pytest.approx([0.9, 0.1])
    assert rows[3]["rejected"] == "neither text nor image"
    captured = capsys.readouterr()
    assert f"Predictions: {output} (4 rows, 1 rejected)" in captured.out
    assert "Rejected: 1 of 4 rows (column rejected), for example week.jsonl, row 4: neither text" in captured.err


def test_min_confidence_abstains_where_a_class_is_uncertain(
    command: Callable[..., int], trained: RunFolder, words: Path, week: Path, tmp_path: Path
) -> None:
    output = tmp_path / "out.parquet"
    options = ("--plugin", words, "--uncalibrated", "--min-confidence", 0.8, "--output", output)
    assert command("predict", trained.path, week, *options) == 0
    rows = pq.read_table(output).to_pylist()
    assert [row["colour:abstained"] for row in rows] == [False, False, True, None]
    assert [row["shape:abstained"] for row in rows] == [False, False, False, None]
    assert rows[2]["colour"] is None


def test_scores_are_computed_only_if_asked(
    command: Callable[..., int],
    trained: RunFolder,
    words: Path,
    week: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    output, scored = tmp_path / "out.csv", tmp_path / "scored"
    options = ("--plugin", words, "--output", output, "--score", scored)
    assert command("predict", trained.path, week, *options) == 0
    captured = capsys.readouterr()
    unknown = 'Not scored in colour: 1 row with a label that the model does not know: "violet" (1)'
    assert unknown in captured.err
    assert captured.out.count(unknown) == 1
    folder = RunFolder(scored)
    assert folder.record.data_check.rejected.rows == 1
    assert folder.record.data["warnings"] == [unknown]
    predictions = folder.predictions()
    assert predictions["id"].to_pylist() == ["a", "b/sw/1", "b/sw/2"]
    assert predictions["cluster"].to_pylist() == ["a", "b", "b"]
    assert predictions["colour"].to_pylist() == ["red", "green", None]
    assert predictions["shape"].to_pylist() == [["round"], ["flat", "round"], []]
    top1 = [
        row["value"]
        for row in folder.scores.to_pylist()
        if (row["task"], row["metric"], row["language"], row["slice"]) == ("colour", "top1", "all", "all")
    ]
    assert top1[:1] == [0.5]
    assert command("predict", trained.path, week, *options) == 2
    assert f"--score {scored} exists already; name a new folder" in capsys.readouterr().err


def test_scores_of_rows_that_the_model_was_selected_on_are_warned_about(
    command: Callable[..., int], trained: RunFolder, words: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    known = trained.predictions(split="validation")["id"].to_pylist()
    lines = [{"id": name, "text": "red round", "colour": "red"} for name in [*known, "new"]]
    table = tmp_path / "catalogue.jsonl"
    table.write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    options = ("--plugin", words, "--output", tmp_path / "out.csv", "--score", tmp_path / "scored")
    assert command("predict", trained.path, table, *options) == 0
    warning = (
        f"{len(known)} of {len(lines)} rows of catalogue.jsonl have ids of the validation split of "
        f"{trained.name}, so the table probably has its training rows, too"
    )
    assert warning in capsys.readouterr().err
    assert warning in RunFolder(tmp_path / "scored").record.data["warnings"][0]


def test_labels_that_are_no_class_at_all_are_one_sentence(
    command: Callable[..., int],
    trained: RunFolder,
    words: Path,
    week: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    output = tmp_path / "out.csv"
    options = ("--plugin", words, "--output", output, "--score", tmp_path / "scored", "--columns", "label=id")
    assert command("predict", trained.path, week, *options) == 2
    assert "no row of week.jsonl has a label that the model knows" in capsys.readouterr().err
    assert output.is_file()
    assert not (tmp_path / "out.csv.unfinished").exists()
    unlabelled = tmp_path / "none.jsonl"
    unlabelled.write_text('{"text": "red"}\n')
    assert command("predict", trained.path, unlabelled, "--plugin", words, "--output", output, "--score", "x") == 2
    assert "none.jsonl has no column of labels called colour or shape; name it with" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words_after", "message"),
    [
        (("--output", "out.xlsx"), "out.xlsx: its name must end in .csv, .jsonl or .parquet"),
        (("--output", "out.csv", "--shard", "3/2"), "--shard 3/2: write I/N"),
        (("--output", "out.csv", "--top-k", "0"), "--top-k 0"),
        (("--output", "out.csv", "--min-confidence", "2"), "--min-confidence 2.0"),
        (("--output", "out.csv"), "mmeval runs no file that only a run folder names; if you trust it, add --plugin"),
        ((), "--output"),
    ],
)
def test_mistakes_are_one_sentence(
    words_after: tuple[str, ...],
    message: str,
    command: Callable[..., int],
    trained: RunFolder,
    week: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert command("predict", trained.path, week, *words_after) == 2
    assert message in capsys.readouterr().err


def test_the_table_is_required(
    command: Callable[..., int], trained: RunFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command("predict", trained.path, "--output", tmp_path / "out.csv") == 2
    assert "name the run, and then the table to classify" in capsys.readouterr().err

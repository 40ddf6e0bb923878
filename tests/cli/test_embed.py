"""The commands ``mmeval embed`` and ``mmeval export``, and ``--engine``, with a plain model in a single file."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest

import mmeval
from mmeval import RunFolder

COUNTS = '''"""Counts letters: the counts are its vector, and the first decides."""
import numpy as np

import mmeval


class Counts:
    def __init__(self, config, context):
        self.tasks = context.tasks

    def predict(self, examples, context):
        yield {task.name: np.full((len(examples), len(task.classes)), 1 / len(task.classes), np.float32)
               for task in self.tasks}

    def embed(self, examples, context):
        yield np.array([[text.count(letter) for letter in "abc"] for text in examples.texts], np.float32).reshape(-1, 3)

    def save(self, folder):
        (folder / "letters.txt").write_text("abc")

    def load(self, folder):
        pass


@mmeval.hookimpl
def register_models(register):
    register(mmeval.ModelSpec(name="counts", summary="s", config=mmeval.ModelConfig, build=Counts,
        version="1", inputs=("text",), paper="none", licence="MIT", presets={"tiny": {}}))
'''


def write(path: Path, texts: list[str], **labels: str) -> Path:
    lines = [{"id": f"p{n}", "text": text, "language": "en", **labels} for n, text in enumerate(texts)]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def plugin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model in a single file."""
    path = tmp_path_factory.mktemp("plugin") / "counts.py"
    path.write_text(COUNTS, encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def trained(plugin: Path, tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A run of that model."""
    folder = tmp_path_factory.mktemp("runs")
    table = folder / "shop.jsonl"
    lines = [{"id": f"p{n}", "text": f"{'abc'[n % 3]} {n}", "language": "en", "label": "xy"[n % 2]} for n in range(40)]
    table.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MMEVAL_HOME", str(tmp_path_factory.getbasetemp() / "home"))
        return mmeval.run(plugin, f"table:{table}", output=folder / "run", device="cpu")


def test_embed_writes_vectors_and_neighbours(
    command: Callable[..., int], trained: RunFolder, plugin: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = write(tmp_path / "week.jsonl", ["aab", "c", "aabb", ""])
    output = tmp_path / "out.parquet"
    options = ("--plugin", plugin, "--neighbours", 1, "--output", output)
    assert command("embed", trained.path, table, *options) == 0
    rows = pq.read_table(output).to_pylist()
    assert [row["embedding"] for row in rows] == [[2, 1, 0], [0, 0, 1], [2, 2, 0], None]
    assert [row["neighbour_ids"] for row in rows] == [["p2"], ["p0"], ["p0"], []]
    assert rows[0]["neighbour_similarities"] == pytest.approx([6 / 40**0.5], abs=1e-6)
    assert rows[3]["rejected"] == "neither text nor image"
    assert f"Embeddings: {output} (4 rows, 1 rejected)" in capsys.readouterr().out


def test_embed_finds_neighbours_in_another_table(
    command: Callable[..., int], trained: RunFolder, plugin: Path, tmp_path: Path
) -> None:
    table, reference = write(tmp_path / "week.jsonl", ["aab"]), write(tmp_path / "all.jsonl", ["c", "ab", "aaabb"])
    output = tmp_path / "out.parquet"
    options = ("--plugin", plugin, "--neighbours", 2, "--reference", reference, "--output", output)
    assert command("embed", trained.path, table, *options) == 0
    assert pq.read_table(output)["neighbour_ids"].to_pylist() == [["p2", "p1"]]
    assert pq.read_table(tmp_path / "out.reference.parquet")["id"].to_pylist() == ["p0", "p1", "p2"]


def test_export_of_a_plain_model_is_one_sentence(
    command: Callable[..., int], trained: RunFolder, plugin: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command("export", trained.path, "--plugin", plugin, "--output", tmp_path / "onnx") == 2
    message = " ".join(capsys.readouterr().err.split())
    assert "counts is no torch model, which alone can become ONNX; use `mmeval predict` or mmeval.load." in message
    assert not (tmp_path / "onnx").exists()


def test_an_engine_that_does_not_exist_is_one_sentence(
    command: Callable[..., int], trained: RunFolder, plugin: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = write(tmp_path / "week.jsonl", ["a"])
    options = ("--plugin", plugin, "--engine", "spark", "--output", tmp_path / "out.parquet")
    assert command("embed", trained.path, table, *options) == 2
    assert command("predict", trained.path, table, *options) == 2
    assert capsys.readouterr().err.count("--engine spark: write process or ray.") == 2

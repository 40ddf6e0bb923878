"""Each data set from its archive to a report, with the documented commands."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from mmeval.runs.folder import RunFolder
from tests.archives import abo, art4apps, fashion_products, fashiongen, food, glami

Command = Callable[..., int]
WRITERS: dict[str, Callable[[Path], Path]] = {
    "abo": abo.write,
    "art4apps": art4apps.write,
    "art4apps:glami12": art4apps.write,
    "fashion-product-images": fashion_products.write,
    "fashiongen": fashiongen.write,
    "food101": food.write,
    "food101:title-masked": food.write,
    "glami1m": glami.write,
    "glami1m:paper": glami.write,
}
FAST = [
    "image_encoder=small-cnn:32",
    "image_tuning.frozen=false",
    "text_encoder=char-ngrams:2048x16",
    "recipe.epochs=1",
]


@pytest.fixture
def fresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache folder and an empty working folder."""
    monkeypatch.setenv("MMEVAL_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("name", WRITERS)
def test_from_the_archive_to_the_report(
    name: str, command: Command, fresh: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Only the first command names the archive; the others name the data set."""
    (fresh / "given").mkdir()
    source = WRITERS[name](fresh / "given")
    assert command("data", "prepare", name, "--source", source, "--allow-mismatch") == 0
    assert command("data", "verify", name) == 0
    capsys.readouterr()
    assert command("data", "stats", name, "--json") == 0
    counted = json.loads(capsys.readouterr().out)
    assert counted["name"] == f"{name}-mismatched"
    assert set(counted["splits"]) == {"train", "validation", "test"}
    assert all(sum(item["splits"][split] for item in counted["languages"]) > 10 for split in ("train", "test"))
    assert command("data", "show", name) == 0
    assert command("data", "audit", name, "--output", fresh / "audit") == 0
    assert (fresh / "audit" / "audit.html").is_file()
    assert command("data", "card", name) == 0
    words = ["--plugin", "embracenet", "--preset", "tiny", *(word for item in FAST for word in ("--set", item))]
    assert command("run", "--dataset", name, *words, "--limit", 60, "--device", "cpu", "--output", fresh / "run") == 0
    assert command("report", fresh / "run") == 0
    folder = RunFolder(fresh / "run")
    record = folder.record
    assert record.plan.signature.startswith(f"{name}-mismatched:")
    assert any("is not the published data" in item for item in record.data["warnings"])
    scores = pq.read_table(folder.scores_file)
    assert set(scores["task"].to_pylist()) == {item["task"] for item in counted["tasks"]}
    assert "is not the published data" in folder.report_path.read_text(encoding="utf-8")


def test_the_label_source_reaches_a_model_only_on_request(
    command: Command, fresh: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An input that no real use has must be used only on request, and reported."""
    (fresh / "given").mkdir()
    source = glami.write(fresh / "given")
    assert command("data", "prepare", "glami1m", "--source", source, "--allow-mismatch") == 0
    words = [word for item in FAST for word in ("--set", item)]
    for name in ("glami1m", "glami1m:paper"):
        run = ["--dataset", name, *words, "--limit", 40, "--device", "cpu", "--output", fresh / name.replace(":", "-")]
        assert command("run", *run) == 0
    plain, paper = RunFolder(fresh / "glami1m"), RunFolder(fresh / "glami1m-paper")
    inputs = [
        json.loads((item.model_folder(0) / "config.json").read_text())["context"]["attributes"]
        for item in (plain, paper)
    ]
    assert inputs[0] == {}
    assert "unknown" in inputs[1]["label_source"]
    message = "see label_source, also in testing: "
    assert message in paper.report_path.read_text(encoding="utf-8")
    assert message in paper.readme_file.read_text(encoding="utf-8")
    assert message in capsys.readouterr().out
    assert message not in plain.report_path.read_text(encoding="utf-8")

"""A run on a multi-label table: trained, scored and reported like any other."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import mmeval
from mmeval import RunFolder, UserError
from mmeval.audit import audit
from mmeval.metrics.scores import read_scores
from mmeval.runs.gallery import read_gallery

WORDS = {
    "de": {"rot": "red", "holz": "wood", "groß": "big", "neu": "new"},
    "en": {"red": "red", "wooden": "wood", "big": "big", "new": "new"},
}
COLUMNS = {"text": "title", "label": ["tags", "kind"], "label_separator": "|"}


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A catalogue in two languages, whose texts name the tags of each product."""
    rng, folder = np.random.default_rng(0), tmp_path_factory.mktemp("shop")
    rows = []
    for number in range(240):
        language = ("de", "en")[number % 2]
        chosen = [word for word in WORDS[language] if rng.random() < 0.4]
        colour = (200 if "red" in (WORDS[language][word] for word in chosen) else 40, 60, 60)
        Image.new("RGB", (16, 16), colour).save(folder / f"{number}.png")
        rows.append(
            {
                "title": " ".join([*chosen, "stuhl", str(number)]),
                "tags": "|".join(WORDS[language][word] for word in chosen) or "|",
                "kind": ("chair", "table")[number % 3 == 0],
                "lang": language,
            }
        )
    rows[5]["tags"] = ""
    with (folder / "shop.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return folder / "shop.csv"


def run(table: Path, folder: Path, plugin: str, **options: Any) -> RunFolder:
    return mmeval.run(plugin, f"table:{table}", columns=COLUMNS, output=folder, device="cpu", **options)


def scores_of(folder: RunFolder) -> dict[tuple[str, str, str], float]:
    """Values by task, language and metric, of all rows and the mean over seeds."""
    rows = read_scores(folder.scores_file).to_pylist()
    seed = "mean" if any(row["seed"] == "mean" for row in rows) else "0"
    return {
        (row["task"], row["language"], row["metric"]): row["value"]
        for row in rows
        if (row["seed"], row["slice"], row["class"]) == (seed, "all", "")
    }


def test_tfidf_learns_the_tags_of_each_language(table: Path, tmp_path: Path) -> None:
    folder = run(table, tmp_path / "run", "tfidf", seeds=2)
    scores = scores_of(folder)
    for language in ("de", "en", "all", "macro", "weighted", "worst"):
        for metric in ("map", "micro_f1", "macro_f1", "subset_accuracy"):
            assert scores["tags", language, metric] > 0.9, (language, metric)
    assert scores["tags", "gap", "map"] < 0.1
    assert "top1" in {metric for task, _, metric in scores if task == "kind"}
    assert "top1" not in {metric for task, _, metric in scores if task == "tags"}
    report = (folder.path / "README.md").read_text(encoding="utf-8")
    assert "| language | n | mAP | micro-F1 | macro-F1 | exact match |" in report
    assert "of tags" in report
    page = (folder.path / "report.html").read_text(encoding="utf-8")
    assert "mAP per language: tags" in page
    assert "Top-1 per language: kind" in page


@pytest.mark.parametrize(
    ("plugin", "options"),
    [
        (
            "unimodal",
            {
                "text_encoder": "char-ngrams:4096x32",
                "tuning": {"frozen": False},
                "recipe": {"epochs": 30, "learning_rate": 0.03},
            },
        ),
        (
            "late-fusion",
            {"text_encoder": "char-ngrams:4096x32", "text_tuning": {"frozen": False}, "image_encoder": "pixels:8"}
            | {"recipe": {"epochs": 25, "learning_rate": 0.03}},
        ),
    ],
)
def test_torch_models_learn_the_tags_and_are_selected_by_map(
    plugin: str, options: dict[str, Any], table: Path, tmp_path: Path
) -> None:
    folder = run(table, tmp_path / "run", plugin, **options)
    assert scores_of(folder)["tags", "macro", "map"] > 0.8
    facts = json.loads((folder.path / "run.json").read_bytes())["seeds"]["0"]
    assert facts["validation_map"] > 0.8
    assert "validation_top1" not in facts
    for example in read_gallery(folder.gallery_file):
        assert (example["true"] != example["predicted"]) == (example["kind"] == "mistake") or example[
            "kind"
        ] == "unsure"
        assert 0.5 <= example["confidence"] <= 1


def test_scores_are_computed_again_from_the_predictions(table: Path, tmp_path: Path, command: Any) -> None:
    folder = run(table, tmp_path / "run", "tfidf")
    before = read_scores(folder.scores_file)
    folder.scores_file.unlink()
    assert command("score", folder.path) == 0
    assert repr(read_scores(folder.scores_file).to_pylist()) == repr(before.to_pylist())


def test_zero_shot_clip_refuses_a_multi_label_task_in_one_sentence(table: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError) as error:
        run(table, tmp_path / "run", "clip", mode="zero-shot")
    assert "no probability of each class of tags, a multi-label task; set mode=linear." in str(error.value)
    with pytest.raises(UserError, match=r"head_init=prompts .* add head_init=random"):
        run(table, tmp_path / "other", "clip", head_init="prompts", projection=0)


def test_audits_compare_sets_of_classes(table: Path, tmp_path: Path) -> None:
    store = mmeval.open_dataset(f"table:{table}", columns=COLUMNS).store
    result = audit(store, tmp_path / "audit")
    assert [balance.task for balance in result.class_balance] == ["kind"]
    assert {rule.task for rule in result.label_leakage} == {"kind"}
    assert "multi-label tasks" in (tmp_path / "audit" / "audit.html").read_text(encoding="utf-8")


def test_power_is_of_tasks_with_one_class_per_example(
    table: Path, command: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("data", "power", f"table:{table}", "--columns", "text=title,label=tags+kind,label_separator=|", "--task")
    assert command(*words, "tags") == 2
    assert "tags of shop is a multi-label task, whose power is not known; choose another --task." in " ".join(
        capsys.readouterr().err.split()
    )
    assert command(*words, "kind") == 0

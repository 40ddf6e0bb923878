"""The run pipeline from a request to a run folder, with plugins of every kind."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray

import mmeval
from mmeval import DatasetSpec, Examples, FitContext, MetricSpec, ModelConfig, ModelContext, ModelSpec, UserError
from mmeval.data.prepare.prepare import prepare
from mmeval.errors import RunFolderError
from mmeval.plugin.manager import Manager
from mmeval.protocol import Inputs
from mmeval.record import Record
from mmeval.runs.folder import RunFolder
from mmeval.runs.pipeline import run
from mmeval.runs.request import Request
from mmeval.runs.train import load_model

Ask = Callable[..., Request]
ManagerWith = Callable[..., Manager]
SEED_FILES = {f"models/seed-0/{name}" for name in ("model.safetensors", "config.json", "fit.json")}
FILES = {"run.json", "plan.json", "predictions/seed-0.parquet", "predictions/seed-0.validation.parquet"}
FILES |= {"scores.parquet", "gallery.parquet", "report.html", "README.md"}

COLUMNS = ("task", "language", "slice", "metric")
KEY = ("colour", "all", "all", "top1")


class Uniform:
    """A model without torch and without ``fit``: the same probability for every class."""

    def __init__(self, _config: ModelConfig, context: ModelContext) -> None:
        self.context = context

    def predict(self, examples: Examples, _context: FitContext) -> Iterator[Mapping[str, NDArray[np.float32]]]:
        for size in (len(examples) // 2, len(examples) - len(examples) // 2):
            yield {t.name: np.full((size, len(t.classes)), 1 / len(t.classes), np.float32) for t in self.context.tasks}

    def save(self, folder: Path) -> None:
        """Nothing was learned."""

    def load(self, folder: Path) -> None:
        """Nothing was learned."""


class Prior(Uniform):
    """A model that predicts the class frequencies of the training split."""

    def fit(self, train: Examples, _validation: Examples, _context: FitContext) -> Mapping[str, Any]:
        counts = {task.name: np.bincount(train.labels(task.name) + 1)[1:] for task in self.context.tasks}
        self.shares = {name: (count / count.sum()).tolist() for name, count in counts.items()}
        return {"shares": self.shares}

    def predict(self, examples: Examples, _context: FitContext) -> Iterator[Mapping[str, NDArray[np.float32]]]:
        yield {name: np.tile(np.float32(shares), (len(examples), 1)) for name, shares in self.shares.items()}

    def save(self, folder: Path) -> None:
        (folder / "shares.json").write_text(json.dumps(self.shares))

    def load(self, folder: Path) -> None:
        self.shares = json.loads((folder / "shares.json").read_text())


def spec(model: type, inputs: tuple[str, ...] = ("image", "text")) -> ModelSpec:
    name = model.__name__.lower()
    return ModelSpec(
        name=name,
        summary="plain",
        config=ModelConfig,
        build=model,
        version="1.0",
        inputs=inputs,
        paper="none",
        licence="MIT",
        presets={"tiny": {}},
    )


def files(folder: RunFolder) -> set[str]:
    return {path.relative_to(folder.path).as_posix() for path in folder.path.rglob("*") if path.is_file()}


def scores(folder: RunFolder) -> list[dict[str, Any]]:
    return pq.read_table(folder.scores_file).to_pylist()


def predictions(folder: RunFolder, seed: int = 0) -> dict[str, list[Any]]:
    return pq.read_table(folder.predictions_file(seed)).to_pydict()


def test_a_run_folder_has_exactly_the_documented_files(ask: Ask, manager_with: ManagerWith) -> None:
    folder = run(ask(), manager_with())
    assert files(folder) == FILES | SEED_FILES
    record = json.loads(folder.record_file.read_text())
    assert list(record) == list(Record.model_fields)
    assert record["plan"]["signature"].startswith(f"colours:{record['data']['fingerprint'][:8]}|test|image+text|")
    assert record["plan"]["config"]["recipe"]["epochs"] == 1
    assert record["data"]["splits"] == {"train": 72, "validation": 18, "test": 42}
    assert record["seeds"]["0"]["best_epoch"] == 1
    assert record["versions"]["torch"] != "not installed"
    assert record["command"].startswith("mmeval run --plugin embracenet --dataset colours --set image_encoder=")


def test_seeds_are_scored_one_by_one_and_as_a_mean(finished: RunFolder) -> None:
    rows = scores(finished)
    assert {row["seed"] for row in rows} == {"0", "1", "mean"}
    values = [row["value"] for row in rows if tuple(row[key] for key in COLUMNS) == KEY]
    assert values[2] == pytest.approx((values[0] + values[1]) / 2)
    assert "|seeds:2|" in finished.record.plan.signature
    assert predictions(finished, 0) != predictions(finished, 1)


def test_the_same_seed_predicts_the_same(
    finished: RunFolder, ask: Ask, manager_with: ManagerWith, tmp_path: Path
) -> None:
    again = run(ask(output=tmp_path / "again", seed=1), manager_with())
    assert predictions(again, 1) == predictions(finished, 1)


def test_validation_predictions_are_of_the_selected_model(finished: RunFolder, manager_with: ManagerWith) -> None:
    manager = manager_with()
    model = load_model(finished, 0, manager.model("embracenet"))
    validation = Examples(prepare(manager.dataset("colours")), "validation")
    blocks = list(model.predict(validation, FitContext(0, "cpu", finished.path)))
    again = np.concatenate([block["shade"] for block in blocks])
    table = finished.predictions(0, split="validation")
    assert table["id"].to_pylist() == validation.ids
    np.testing.assert_array_equal(again, np.array(table["shade:probabilities"].to_pylist(), np.float32))


def test_a_run_without_a_validation_split_has_no_validation_predictions(
    ask: Ask, colours: Callable[..., DatasetSpec]
) -> None:
    dataset = colours(validation=0, images=38)
    source = type(dataset.source())
    unselected = dataset.model_copy(update={"source": lambda: source({"train": 24, "test": 14})})

    class Plugin:
        @mmeval.hookimpl
        def register_datasets(self, register: Callable[[DatasetSpec], None]) -> None:
            register(unselected)

        @mmeval.hookimpl
        def register_models(self, register: Callable[[ModelSpec], None]) -> None:
            register(spec(Uniform))

    manager = Manager()
    manager.add(Plugin(), "test")
    folder = run(ask(plugin="uniform"), manager)
    assert not folder.validation_predictions_file(0).exists()
    assert folder.predictions().num_rows == 42
    with pytest.raises(RunFolderError, match="no predictions of the validation split"):
        folder.predictions(split="validation")


def test_a_saved_model_predicts_what_the_run_predicted(finished: RunFolder, manager_with: ManagerWith) -> None:
    manager = manager_with()
    model = load_model(finished, 1, manager.model("embracenet"))
    test = Examples(prepare(manager.dataset("colours")), "test")
    blocks = list(model.predict(test, FitContext(1, "cpu", finished.path)))
    again = np.concatenate([block["colour"] for block in blocks])
    np.testing.assert_array_equal(again, np.array(predictions(finished, 1)["colour:probabilities"], np.float32))


@pytest.mark.parametrize("inputs", [Inputs.IMAGE, Inputs.TEXT])
def test_a_model_is_trained_and_tested_on_one_modality(inputs: Inputs, ask: Ask, manager_with: ManagerWith) -> None:
    """Examples that differ only in the hidden modality must get the same prediction."""
    folder = run(ask(inputs=inputs), manager_with())
    assert f"|{inputs.value}|" in folder.record.plan.signature
    assert {row["inputs"] for row in scores(folder)} == {inputs.value}
    assert f"--inputs {inputs.value}" in folder.record.command
    rows = predictions(folder)
    prediction = dict(zip(rows["id"], rows["colour:probabilities"], strict=True))
    same_image = prediction["test1/de"] == prediction["test1/en"]
    assert same_image is (inputs is Inputs.IMAGE)


def test_a_limited_run_is_marked_as_a_trial(ask: Ask, manager_with: ManagerWith) -> None:
    folder = run(ask(limit=9, plugin="prior"), manager_with(spec(Prior)))
    assert "|limit:9|" in folder.record.plan.signature
    assert len(predictions(folder)["id"]) == 9
    assert "Limited to 9 examples of each split: a trial, not a result." in folder.report_path.read_text()
    assert "9 examples of each split: a trial, not a result" in folder.readme_file.read_text()
    assert "--limit 9" in folder.record.command


@pytest.mark.parametrize("model", [Prior, Uniform])
def test_a_model_without_torch_is_trained_saved_and_loaded(model: type, ask: Ask, manager_with: ManagerWith) -> None:
    manager = manager_with(spec(model))
    folder = run(ask(plugin=model.__name__.lower()), manager)
    own = {"models/seed-0/shares.json"} if model is Prior else set()
    assert files(folder) == FILES | (SEED_FILES - {"models/seed-0/model.safetensors"}) | own
    assert next(row["n"] for row in scores(folder) if tuple(row[key] for key in COLUMNS) == KEY) == 42
    back = load_model(folder, 0, manager.model(model.__name__.lower()))
    blocks = back.predict(Examples(prepare(manager.dataset("colours")), "test"), FitContext(0, "cpu", folder.path))
    again = np.concatenate([block["colour"] for block in blocks]).tolist()
    assert again == predictions(folder)["colour:probabilities"]


def test_facts_that_fit_returns_are_recorded(ask: Ask, manager_with: ManagerWith) -> None:
    folder = run(ask(plugin="prior"), manager_with(spec(Prior)))
    assert folder.record.seeds["0"]["shares"]["colour"] == pytest.approx([1 / 3] * 3)


def test_a_plugin_metric_is_in_scores_and_reports(ask: Ask, manager_with: ManagerWith) -> None:
    def confidence(labels: NDArray[np.int64], probabilities: NDArray[np.float32]) -> NDArray[np.float64]:
        return probabilities.max(1).astype(np.float64)

    metric = MetricSpec(name="sureness", summary="mean probability of the guess", per_example=confidence)
    folder = run(ask(plugin="uniform"), manager_with(spec(Uniform), metric))
    rows = [row for row in scores(folder) if row["metric"] == "sureness" and row["task"] == "colour"]
    assert {row["language"] for row in rows} == {"de", "en", "ja", "all", "macro", "weighted", "worst", "gap"}
    assert next(row["value"] for row in rows if row["language"] == "macro") == pytest.approx(1 / 3)
    assert "<th>sureness</th>" in folder.report_path.read_text()
    assert "| sureness |" in folder.readme_file.read_text()


def test_hooks_are_called_before_and_after_a_run(ask: Ask, manager_with: ManagerWith) -> None:
    seen: list[str] = []

    class Watcher:
        @mmeval.hookimpl
        def before_run(self, run: Any) -> None:
            seen.append(f"before {run.protocol.dataset}")

        @mmeval.hookimpl
        def after_run(self, run: Any) -> None:
            seen.append(f"after {run.record.plan.protocol.dataset} {run.report_path.is_file()}")

    manager = manager_with(spec(Uniform))
    manager.add(Watcher(), "watcher")
    run(ask(plugin="uniform"), manager)
    assert seen == ["before colours", "after colours True"]


def test_a_hook_can_stop_a_run_before_training(ask: Ask, manager_with: ManagerWith, tmp_path: Path) -> None:
    class Guard:
        @mmeval.hookimpl
        def before_run(self, run: Any) -> None:
            raise UserError(f"Not on {run.protocol.dataset}.")

    manager = manager_with(spec(Prior))
    manager.add(Guard(), "guard")
    with pytest.raises(UserError, match=r"^Not on colours\.$"):
        run(ask(plugin="prior"), manager)
    assert not (tmp_path / "run" / "models").exists()


def test_inputs_that_the_model_does_not_use_are_refused(ask: Ask, manager_with: ManagerWith) -> None:
    manager = manager_with(spec(Prior, inputs=("text",)))
    with pytest.raises(UserError) as caught:
        run(ask(plugin="prior", inputs=Inputs.IMAGE_TEXT), manager)
    assert str(caught.value) == "--inputs image+text: prior uses text only; leave --inputs out."
    assert run(ask(plugin="prior"), manager).record.plan.protocol.inputs is Inputs.TEXT

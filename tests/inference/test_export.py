"""Export of a run to ONNX: the program predicts as torch does, and its folder says how to use it."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import mmeval
from mmeval import ModelContext, Task
from mmeval.data.examples import Examples
from mmeval.errors import MissingExtraError, PluginError, UserError
from mmeval.inference import export as exporting
from mmeval.inference.export import Exported, Verification, export
from mmeval.inference.onnx import ExportedModel, Program, convert
from mmeval.nn import NestedTasks, Output, TorchModel
from mmeval.protocol import Inputs
from mmeval.runs.folder import RunFolder


@pytest.fixture(scope="module")
def exported(trained: RunFolder, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """The export of the trained run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MMEVAL_HOME", str(tmp_path_factory.getbasetemp() / "home"))
        return export(trained, tmp_path_factory.mktemp("export") / "onnx", seed=0, rows=10)


def test_the_program_predicts_as_mmeval_predict_does(
    exported: Exported, trained: RunFolder, new_products: Callable[..., Path]
) -> None:
    """On new rows, some without image or text, in batches of other sizes than the traced one."""
    classifier = mmeval.load(trained, seed=0, device="cpu")
    new = classifier.rows(new_products(20))
    program = Program(exported.folder / "model.onnx")
    for own in classifier.classify(new):
        examples = Examples(own.chunk.store, "predict")
        module = ExportedModel(classifier.members[0].model.model, Inputs.IMAGE_TEXT, {}).eval()  # type: ignore[attr-defined]
        for rows in (np.arange(1), np.arange(1, len(examples))):
            outputs = program(module.names, module.tensors(examples, rows))
            np.testing.assert_allclose(outputs[0], own.probabilities["category"][rows], atol=1e-5)
            np.testing.assert_allclose(outputs[1], own.probabilities["size"][rows], atol=1e-5)


def test_the_description_says_how_to_prepare_inputs(exported: Exported, trained: RunFolder) -> None:
    description = json.loads((exported.folder / "inputs.json").read_text("utf-8"))
    assert list(description["inputs"]) == ["has_image", "images", "has_text", "text_ids", "text_mask"]
    images, tokens = description["inputs"]["images"], description["inputs"]["text_ids"]
    assert (images["type"], images["shape"], images["crop"]) == ("uint8", ["batch", 3, 32, 32], 0.0)
    assert images["normalization"] == {"in_the_model": True, "mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]}
    assert tokens["shape"] == ["batch", "tokens"]
    assert tokens["max_length"] == 512
    assert tokens["tokenizer"]["in_mmeval"] == "mmeval.nn.text_encoder('char-ngrams:512x16').tokenize(texts)"
    category = description["outputs"]["probabilities:category"]
    temperatures = mmeval.load(trained, seed=0, device="cpu").members[0].temperatures
    assert category["classes"] == ["blue", "green", "red"]
    assert category["temperature"] == temperatures["category"]
    assert description["outputs"]["embedding"]["shape"] == ["batch", 16]
    assert description["verified"]["rows"] == exported.verification.rows == 10


def test_the_readme_names_every_input_and_output(exported: Exported) -> None:
    page = (exported.folder / "README.md").read_text("utf-8")
    for name in ("has_image", "images", "text_ids", "probabilities:category", "probabilities:size", "embedding"):
        assert f"`{name}`" in page
    assert "Verified on 10 rows of the split validation of shop" in page


def test_a_program_that_differs_from_torch_is_refused(trained: RunFolder) -> None:
    member = mmeval.load(trained, seed=0, device="cpu").members[0]
    exact = Verification("rows", 5, 1e-6, 1e-6, 1e-3)
    exporting._require_close(exact, member)
    for wrong in ({"probabilities": 0.01}, {"embedding": float("inf")}, {"probabilities": float("nan")}):
        with pytest.raises(
            PluginError,
            match=r"of the ONNX program differ from torch by up to .* on rows, more than 0\.0+1, so nothing",
        ):
            exporting._require_close(replace(exact, **wrong), member)  # type: ignore[arg-type]


def test_a_plain_model_is_refused(trained: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    classifier = mmeval.load(trained, seed=0, device="cpu")
    classifier.members[0].model = object()  # type: ignore[assignment]
    monkeypatch.setattr(exporting, "load", lambda *_, **__: classifier)
    with pytest.raises(
        UserError, match="embracenet is no torch model, which alone can become ONNX; use `mmeval predict`"
    ):
        export(trained, tmp_path / "onnx")
    assert not (tmp_path / "onnx").exists()


def test_a_run_whose_data_set_is_gone_asks_for_a_table(
    trained: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(*_: object) -> None:
        raise UserError("There is no file shop.csv.")

    monkeypatch.setattr(exporting, "open_data", gone)
    with pytest.raises(
        UserError, match=r"can't be opened \(There is no file shop\.csv\); name a table of examples with"
    ):
        export(trained, tmp_path / "onnx", seed=0)


def test_a_folder_with_other_files_is_not_replaced(trained: RunFolder, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(UserError, match="exists and is no export; name a new folder"):
        export(trained, tmp_path)
    with pytest.raises(UserError, match="--format torchscript: there is onnx"):
        export(trained, tmp_path / "new", format="torchscript")


def test_a_missing_package_is_named_with_the_pip_line(
    trained: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(MissingExtraError, match=r"pip install 'mmeval-multilingual\[onnx\]'"):
        export(trained, tmp_path / "new")


def test_a_model_with_nested_tasks_is_traced() -> None:
    """Whether tasks are nested depends on counts among the weights, which have no values while a model is traced."""
    tasks = (Task("coarse", ("animal", "food")), Task("fine", ("cat", "dog", "pear")))
    nested = NestedTasks(ModelContext(tasks, {"coarse": (2, 1), "fine": (1, 1, 1)}))
    logits = {"coarse": torch.zeros(3, 2), "fine": torch.randn(3, 3)}
    nested(logits, {"coarse": torch.tensor([0, 0, 1]), "fine": torch.tensor([0, 1, 2])})
    expected = nested.eval()(logits, {})
    with torch.no_grad():
        program = torch.export.export(nested, (logits, {}))
    actual = program.module()(logits, {})
    torch.testing.assert_close(actual["coarse"], expected["coarse"])
    assert not torch.equal(actual["coarse"], logits["coarse"])


class Branching(TorchModel):
    """Its forward pass depends on the values of the batch, or reads what is no tensor."""

    def __init__(self, model: TorchModel, how: str) -> None:
        super().__init__(model.config, model.context)
        self.how, self.layer = how, nn.Linear(1, len(model.context.tasks[0].classes))

    def forward(self, batch: mmeval.Batch) -> Output:
        x = batch.has_text.float()[:, None]
        if self.how == "values" and batch.has_text.sum() > 1:
            x = x + 1
        if self.how == "languages" and "de" in batch.languages:
            x = x + 1
        return Output({task.name: self.layer(x)[:, : len(task.classes)] for task in self.context.tasks})


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("values", r"its forward pass can't be traced \("),
        ("languages", "its forward pass reads the languages of the batch, which are no input of a program"),
    ],
)
def test_a_model_that_can_not_be_traced_says_why(trained: RunFolder, tmp_path: Path, how: str, message: str) -> None:
    classifier = mmeval.load(trained, seed=0, device="cpu")
    rows = [{"title": "red shoes", "body": "", "photo": ""}] * 4
    (own,) = classifier.classify(classifier.rows(rows, None))
    model = Branching(classifier.members[0].model.model, how).eval()  # type: ignore[attr-defined]
    module = ExportedModel(model, Inputs.TEXT, {}).eval()
    with pytest.raises(PluginError, match=message):
        convert(module, Examples(own.chunk.store, "predict"), tmp_path / "model.onnx")

"""Three models on a GPU: they train in bf16, agree with the CPU, and load on a CPU.

``benchmarks/gpu.py`` runs all tests marked ``gpu``; their models need no published weights.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from mmeval import Examples, FitContext, ModelContext
from mmeval.data.store import Store
from mmeval.engine.cost import Cost, measure
from mmeval.engine.embeddings import image_embeddings
from mmeval.engine.runner import TorchRunner, as_model
from mmeval.nn import image_encoder
from mmeval.plugin.configure import configure
from mmeval.plugin.manager import Manager
from mmeval.runs.efficiency import Measurements
from mmeval.testing import Verdict, check_plugin

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]
SMALL = ("image_encoder=small-cnn:32", "image_tuning.frozen=false")
TRUNK = ("trunk=small-bert:2x64", "text_encoder=", *SMALL)
MODELS = {
    "embracenet": ("text_encoder=char-ngrams:4096x32", *SMALL),
    "mmbt": TRUNK,
    "imagebert": TRUNK,
}
EXACT = 1e-3
"""Largest difference of float32 between a GPU, whose convolutions round to TF32, and a CPU."""


@pytest.fixture(autouse=True)
def _one_seed() -> Iterator[None]:
    torch.manual_seed(0)
    yield
    torch.cuda.empty_cache()


def built(name: str, context: ModelContext, *changes: str) -> TorchRunner:
    spec = Manager().model(name)
    config = configure(spec.config, spec.name, spec.presets["tiny"], (*MODELS[name], "recipe.epochs=2", *changes))
    model = as_model(spec.build(config, context))
    assert isinstance(model, TorchRunner)
    return model


def probabilities(model: TorchRunner, examples: Examples, context: FitContext) -> np.ndarray:
    return np.concatenate([block["colour"] for block in model.predict(examples, context)])


@pytest.mark.parametrize("name", MODELS)
def test_bf16_on_a_gpu_keeps_the_contract(name: str) -> None:
    (result,) = check_plugin(name, changes=MODELS[name], device="cuda", only=["bf16"])
    assert (result.message, result.verdict) == ("", Verdict.PASSED)


@pytest.mark.parametrize("name", MODELS)
def test_model_trained_in_bf16_loads_on_a_cpu(name: str, store: Store, context: ModelContext, tmp_path: Path) -> None:
    gpu, cpu = FitContext(0, "cuda:0", tmp_path), FitContext(0, "cpu", tmp_path)
    model = built(name, context)
    facts = model.fit(Examples(store, "train"), Examples(store, "validation"), gpu)
    assert facts["precision"] == "bf16"
    model.save(tmp_path)
    on_gpu = probabilities(model, Examples(store, "test"), gpu)
    loaded = built(name, context, "recipe.precision=fp32")
    loaded.load(tmp_path)
    assert np.abs(on_gpu - probabilities(loaded, Examples(store, "test"), cpu)).max() < 0.1


@pytest.mark.parametrize("name", MODELS)
def test_operations_on_a_gpu_are_those_on_a_cpu(name: str, store: Store, context: ModelContext) -> None:
    model, one = built(name, context, "recipe.precision=fp32"), Examples(store, "test", limit=1)
    on_cpu, on_gpu = measure(model, one, "cpu"), measure(model, one, "cuda:0")
    assert on_gpu.flops == on_cpu.flops
    assert on_gpu.parameters == on_cpu.parameters


def test_peak_memory_and_energy_of_a_gpu() -> None:
    with Measurements("cuda:0") as before:
        torch.zeros(64 << 20, dtype=torch.uint8, device="cuda:0")
    with Measurements("cuda:0") as measurements:
        pass
    first, second = before.result(Cost()), measurements.result(Cost())
    assert first.peak_device_memory_bytes is not None
    assert second.peak_device_memory_bytes is not None
    assert first.peak_device_memory_bytes >= 64 << 20 > second.peak_device_memory_bytes
    # The energy is known only with nvidia-ml-py.
    assert (first.energy_joules is None) == (first.energy_source == "")


@pytest.mark.parametrize("name", MODELS)
def test_float32_predictions_match_the_cpu(name: str, store: Store, context: ModelContext, tmp_path: Path) -> None:
    model = built(name, context, "recipe.precision=fp32")
    cpu, gpu = (
        probabilities(model, Examples(store, "test"), FitContext(0, device, tmp_path)) for device in ("cpu", "cuda:0")
    )
    np.testing.assert_allclose(gpu, cpu, atol=EXACT)


def test_embeddings_match_the_cpu(store: Store) -> None:
    encoder = image_encoder("small-cnn:32").freeze()
    rows = np.arange(5)
    cpu, gpu = (
        image_embeddings(encoder, store, rows, torch.device(device)).gather(rows) for device in ("cpu", "cuda:0")
    )
    np.testing.assert_allclose(gpu, cpu, atol=EXACT)

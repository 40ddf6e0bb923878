"""Every model computes on the device that it was moved to, tested without a GPU.

Fake tensors have a shape and a device but no content. torch computes with them as if they were on a GPU, and refuses to
mix them with tensors on the CPU, as a GPU would.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

from mmeval import Batch
from mmeval.engine.collate import Collate, _tokens_per_image
from mmeval.engine.fit import task_loss
from mmeval.nn import image_encoder
from mmeval.nn.model import TorchModel
from mmeval.testing.plugin_under_test import PluginUnderTest

ROWS = 16
LEARN = ("image_tuning.frozen=false", "text_tuning.frozen=false")
MODELS = {
    "clip": ("mode=fine-tune", "contrastive_weight=1", *LEARN),
    "cma-clip": LEARN,
    "coca": LEARN,
    "embracenet": LEARN,
    "imagebert": ("pretraining_weight=1", "text_encoder=", *LEARN),
    "kaleidobert": ("pretraining_weight=1", "text_encoder=", "patch_source=crops", *LEARN),
    "late-fusion": LEARN,
    "mmbt": ("missing_image=grey", *LEARN),
    "perceiver": LEARN,
    "perceiver bytes": ("image_input=patches", "image_size=32", "text_input=bytes", "missing=token"),
    "unimodal": ("tuning.frozen=false",),
    "unimodal image": ("modality=image", "tuning.frozen=false"),
}
"""Options by which each model's encoders compute within the training step; the key names the model and the variant."""


@pytest.mark.parametrize("case", MODELS)
def test_training_step_mixes_no_devices(case: str) -> None:
    plugin = PluginUnderTest(case.split()[0], changes=MODELS[case])
    model = plugin.torch_model()
    batch = Collate(plugin.examples("train"), model, torch.device("cpu"), labels=True)(np.arange(ROWS))
    with FakeTensorMode(allow_non_fake_inputs=True), AllTrue():
        _move_model(model)
        moved = _move_batch(batch)
        model.train()
        assert task_loss(model(moved), moved.labels, 0.1).device.type == "cuda"
        model.eval()
        out = model(dataclasses.replace(moved, labels={}))
    assert {logits.device.type for logits in out.logits.values()} == {"cuda"}


def test_tensor_left_on_the_cpu_raises() -> None:
    """Shows that the test above can fail."""
    on_cpu = torch.ones(3)
    with FakeTensorMode(allow_non_fake_inputs=True), AllTrue(), pytest.raises(RuntimeError, match="device"):
        torch.empty(3, device="cuda") + on_cpu


def test_frozen_encoder_can_be_loaded_after_moving_to_a_device() -> None:
    """Otherwise loading the best weights of a model with frozen tokens fails on a GPU."""
    encoder = image_encoder("small-cnn:32").freeze()
    assert _tokens_per_image(encoder, torch.device("meta")) == 4
    assert not any(value.is_inference() for value in encoder.state_dict().values())


class AllTrue(TorchDispatchMode):
    """Gives fake tensors values where torch needs them: every number read is 1, and every mask selects all rows."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        aten = torch.ops.aten
        if func is aten._local_scalar_dense.default:
            return {torch.bool: True, torch.int64: 1}.get(args[0].dtype, 1.0)
        if func is aten.nonzero.default:
            return args[0].new_empty((args[0].numel(), args[0].ndim), dtype=torch.int64)
        if func in (aten.index.Tensor, aten.index_put.default, aten.index_put_.default):
            indices = []
            for index in args[1]:
                indices += _rows(index) if index is not None and index.dtype == torch.bool else [index]
            args = (args[0], indices, *args[2:])
        return func(*args, **(kwargs or {}))


def _rows(mask: torch.Tensor) -> list[torch.Tensor]:
    return [mask.new_empty(mask.numel(), dtype=torch.int64) for _ in range(mask.ndim)]


def _move_model(model: TorchModel) -> None:
    """Move a model as ``model.to("cuda")`` would, which fails without a GPU."""
    moved: dict[int, torch.nn.Parameter] = {}  # shared parameters stay shared
    for module in model.modules():
        for name, p in module._parameters.items():
            if p is not None:
                fresh = torch.nn.Parameter(_on_gpu(p), p.requires_grad)
                module._parameters[name] = moved.setdefault(id(p), fresh)
        module._buffers.update({name: _on_gpu(b) for name, b in module._buffers.items() if b is not None})


def _move_batch(batch: Batch) -> Batch:
    fields = {field.name: getattr(batch, field.name) for field in dataclasses.fields(batch)}
    return Batch(**{name: _move_value(value) for name, value in fields.items()})


def _move_value(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _move_value(item) for key, item in value.items()}
    return _on_gpu(value) if isinstance(value, torch.Tensor) else value


def _on_gpu(tensor: torch.Tensor) -> torch.Tensor:
    return torch.empty(tensor.shape, dtype=tensor.dtype, device="cuda")

"""Prediction with a torch model, and the checks of what its ``forward`` returns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mmeval.api.task import Task
from mmeval.console import Advance
from mmeval.data.batch import Batch
from mmeval.data.loader import batches
from mmeval.engine.collate import Collate
from mmeval.errors import PluginError
from mmeval.nn.model import Output, TorchModel

Block = dict[str, NDArray[np.float32]]
"""Probabilities ``[n, classes]`` of consecutive examples, by task."""


class Placement(Protocol):
    """Where a model computes and in which precision: an Accelerator, or ``mmeval.engine.device.Inference``."""

    @property
    def device(self) -> torch.device:
        """The device."""

    def autocast(self) -> AbstractContextManager[Any]:
        """Return a context in which torch computes in the chosen precision."""


class Prediction(NamedTuple):
    """The output of a model for consecutive examples."""

    probabilities: Block
    """``[n, classes]`` by task."""
    embedding: NDArray[np.float32] | None
    """The fused vectors ``[n, D]``; None if the model has none."""


def predict(
    model: TorchModel, collate: Collate, placement: Placement, batch_size: int, advance: Advance | None = None
) -> Iterator[Block]:
    """Yield probabilities ``{task: [n, classes]}`` batch by batch, in the order of the examples.

    Raises:
        PluginError: logits are missing, have a wrong shape, or are not finite.
    """
    model.eval()
    for batch in batches(np.arange(len(collate.examples)), batch_size, collate):
        yield predict_batch(model, batch, placement).probabilities
        if advance:
            advance(len(batch))


def predict_batch(model: TorchModel, batch: Batch, placement: Placement) -> Prediction:
    """Return probabilities and embedding of a batch; the model is in evaluation mode.

    Raises:
        PluginError: logits are missing, have a wrong shape, or are not finite; so for the embedding.
    """
    with torch.inference_mode(), placement.autocast():
        output = model(batch.to(placement.device))
    logits = check_logits(output, model.context.tasks, len(batch))
    block = {task.name: _probabilities(logits[task.name], task) for task in model.context.tasks}
    for name, values in block.items():
        if not np.isfinite(values).all():
            raise PluginError(f"its logits of {name} hold NaN or infinity.")
    return Prediction(block, _embedding(output.embedding, batch))


def _embedding(embedding: object, batch: Batch) -> NDArray[np.float32] | None:
    """Return the fused vectors ``[n, D]``, zero for examples without any input; None if the model has none."""
    size = len(batch)
    if embedding is None:
        return None
    if not isinstance(embedding, Tensor):
        raise PluginError(f"its embedding must be a tensor, it is a {type(embedding).__name__}.")
    if embedding.ndim != 2 or len(embedding) != size:
        raise PluginError(f"its embedding must have the shape ({size}, D), it has {tuple(embedding.shape)}.")
    shown = batch.has_input().to(embedding.device)
    vectors: NDArray[np.float32] = torch.where(shown[:, None], embedding.detach().float(), 0).cpu().numpy()
    if not np.isfinite(vectors).all():
        raise PluginError("its embedding holds NaN or infinity.")
    return vectors


def _probabilities(logits: Tensor, task: Task) -> NDArray[np.float32]:
    """Return the softmax of logits ``[n, classes]``, or their sigmoid for a multi-label task."""
    logits = logits.float()
    probabilities: NDArray[np.float32] = (logits.sigmoid() if task.multilabel else logits.softmax(-1)).cpu().numpy()
    return probabilities


def check_logits(output: object, tasks: Sequence[Task], size: int) -> Mapping[str, Tensor]:
    """Return the logits of a model's output for ``size`` examples, after checking types and shapes.

    Raises:
        PluginError: the output is no ``Output``, its logits are no mapping of tensors, a task is missing, or a shape is
            wrong.
    """
    if not isinstance(output, Output):
        raise PluginError(f"forward must return a mmeval.nn.Output, it returned a {type(output).__name__}.")
    logits = output.logits
    if not isinstance(logits, Mapping):
        raise PluginError(f"its logits must be a mapping by task, they are a {type(logits).__name__}.")
    for task in tasks:
        if task.name not in logits:
            names = f"only of {', '.join(map(str, logits))}" if logits else "nor of any other"
            raise PluginError(f'it gives no logits of the task "{task.name}", {names}.')
        own, expected = logits[task.name], (size, len(task.classes))
        if not isinstance(own, Tensor):
            raise PluginError(f"its logits of {task.name} must be a tensor, they are a {type(own).__name__}.")
        if tuple(own.shape) != expected:
            raise PluginError(
                f"its logits of {task.name} must have the shape {expected}, they have {tuple(own.shape)}."
            )
    return logits

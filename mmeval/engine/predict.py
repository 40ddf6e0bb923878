"""Examples -> probabilities."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from accelerate import Accelerator
from numpy.typing import NDArray

from mmeval.console import Advance
from mmeval.data.loader import batches
from mmeval.engine.collate import Collate
from mmeval.errors import PluginError
from mmeval.nn.model import TorchModel

Block = dict[str, NDArray[np.float32]]


def predict(
    model: TorchModel, collate: Collate, accelerator: Accelerator, batch_size: int, advance: Advance | None = None
) -> Iterator[Block]:
    """Yield probabilities ``{task: [n, classes]}`` block by block, in the order of the examples.

    Raises:
        PluginError: logits of a wrong shape, or without a task.
    """
    model.eval()
    for batch in batches(np.arange(len(collate.examples)), batch_size, collate):
        with torch.inference_mode(), accelerator.autocast():
            logits = model(batch.to(accelerator.device)).logits
        block = {}
        for task in model.context.tasks:
            expected = (len(batch), len(task.classes))
            if task.name not in logits or tuple(logits[task.name].shape) != expected:
                has = tuple(logits[task.name].shape) if task.name in logits else "none"
                raise PluginError(f"{type(model).__name__}: logits of {task.name} must be {expected}, got {has}.")
            block[task.name] = logits[task.name].float().softmax(-1).cpu().numpy()
        yield block
        if advance:
            advance(len(batch))

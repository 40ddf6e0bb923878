"""Parameters and floating-point operations of a trained model, and the time that its frozen encoders take."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from mmeval.console import note, quiet
from mmeval.data.examples import Examples
from mmeval.data.images import decode_batch
from mmeval.data.loader import batches
from mmeval.engine.collate import Collate
from mmeval.engine.model import Model, ModelSize
from mmeval.engine.runner import TorchRunner
from mmeval.nn.build import image_encoder, text_encoder
from mmeval.nn.encoder import ImageEncoder, TextEncoder
from mmeval.nn.model import TorchModel

SAMPLE = {"cpu": 8, "cuda": 128}
"""Number of examples that are measured, by kind of device."""
BATCH = 32
"""Examples that a frozen encoder encodes at once."""

Inputs = tuple[torch.Tensor, ...]
"""The input of an encoder: decoded images, or token ids and their mask."""


@dataclass(frozen=True)
class Cost:
    """Size and cost of a model; None marks a number that is not known."""

    parameters: int | None = None
    """All parameters, those of frozen encoders included."""
    trained: int | None = None
    """Parameters that training changes."""
    flops: float | None = None
    """Floating-point operations per example, frozen encoders included."""
    flops_cached: float | None = None
    """The same with embeddings of frozen encoders from the cache."""
    encoder_seconds: float | None = None
    """Seconds per example of the encoders whose embeddings come from the cache; 0 without such encoders."""


def measure(model: Model, examples: Examples, device: str) -> Cost:
    """Measure a trained model on a few examples; an error of the model or of the counter leaves numbers unknown.

    Args:
        model: a model that ``as_model`` returned.
        examples: the examples of which a sample is measured: those with image and text, if there are any.
        device: a resolved device, ``cpu`` or ``cuda:N``.
    """
    place = torch.device(device)
    try:
        sample = _sample(examples, SAMPLE[place.type])
        if isinstance(model, TorchRunner):
            return _torch_cost(model.model, sample, place)
        return _plain_cost(model, sample, place)
    except Exception as error:
        note(f"The size of the model is not known: {_line(error)}")
        return Cost()


def count_flops(forward: Callable[[], object]) -> int:
    """Return the floating-point operations of a call: matrix products, convolutions and attention.

    torch counts two operations for a multiplication and an addition. Its counter knows no attention kernel of the CPU,
    and no fused transformer layer; both are turned off, so that their matrix products are counted.
    """
    fused = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
            forward()
    finally:
        torch.backends.mha.set_fastpath_enabled(fused)
    return int(counter.get_total_flops())


def parameter_count(module: nn.Module, *, trained: bool = False) -> int:
    """Return the number of parameters of a module, shared ones once; ``trained``: of those that learn."""
    return sum(p.numel() for p in module.parameters() if p.requires_grad or not trained)


def _line(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"


def _sample(examples: Examples, size: int) -> Examples:
    """Return examples from all over a split; complete ones, unless there are none."""
    shown = np.ones(len(examples), bool)
    for present in (examples.image_rows >= 0, np.array([bool(text.strip()) for text in examples.texts], bool)):
        if present.any():
            shown &= present
    rows = np.flatnonzero(shown) if shown.any() else np.arange(len(examples))
    rows = rows[np.unique(np.linspace(0, len(rows) - 1, min(size, len(rows))).astype(np.int64))]
    return Examples.of_table(examples.store, examples.table.take(rows), examples.split, examples.inputs)


def _torch_cost(model: TorchModel, sample: Examples, device: torch.device) -> Cost:
    parameters = {"parameters": parameter_count(model), "trained": parameter_count(model, trained=True)}
    with _inference(model.to(device)):
        with quiet():
            batch = Collate(sample, model, device, labels=False)(np.arange(len(sample))).to(device)
        try:
            cached = count_flops(lambda: model(batch)) / len(sample)
        except Exception as error:  # of the model, or of an operation that the counter can't follow
            note(f"The operations of the model can't be counted: {_line(error)}")
            return Cost(**parameters)
        images = model.image_encoder if batch.image_embeddings is not None else None
        texts = model.text_encoder if batch.text_embeddings is not None and bool(batch.has_text.any()) else None
        flops, seconds = _encoder_cost(images, texts, sample, device)
    return Cost(**parameters, flops=cached + flops, flops_cached=cached, encoder_seconds=seconds)


def _plain_cost(model: Model, sample: Examples, device: torch.device) -> Cost:
    """Return the cost of a plain model: what its ``size()`` states, and its frozen encoders."""
    if not callable(getattr(model, "size", None)):
        return Cost()
    size = model.size()  # type: ignore[attr-defined]
    if not isinstance(size, ModelSize):
        raise TypeError(f"size() must return a mmeval.ModelSize, it returned a {type(size).__name__}.")
    images = image_encoder(size.image_encoder, frozen=True) if size.image_encoder else None
    texts = text_encoder(size.text_encoder, frozen=True) if size.text_encoder else None
    fixed = size.fixed + sum(parameter_count(encoder) for encoder in (images, texts) if encoder)
    flops, seconds = _encoder_cost(
        images if (sample.image_rows >= 0).any() else None, texts if any(sample.texts) else None, sample, device
    )
    own = size.flops
    return Cost(size.trained + fixed, size.trained, None if own is None else own + flops, own, seconds)


def _encoder_cost(
    images: ImageEncoder | None, texts: TextEncoder | None, sample: Examples, device: torch.device
) -> tuple[float, float]:
    """Return operations and seconds per example of encoders that read images and texts, decoding included."""
    flops = seconds = 0.0
    for encoder in (images, texts):
        if encoder is not None:
            load = partial(_raw_inputs, encoder, sample)
            with _inference(encoder.to(device)):
                flops += sum(count_flops(partial(_encode, encoder, x, device)) for x in _batches(sample, load))
                _wait(device)
                started = time.perf_counter()
                for inputs in _batches(sample, load):
                    _encode(encoder, inputs, device)
                _wait(device)
                seconds += time.perf_counter() - started
    return flops / len(sample), seconds / len(sample)


def _batches(sample: Examples, load: Callable[[NDArray[np.int64]], Inputs]) -> Iterator[Inputs]:
    return batches(np.arange(len(sample)), BATCH, load)


def _raw_inputs(encoder: ImageEncoder | TextEncoder, sample: Examples, rows: NDArray[np.int64]) -> Inputs:
    if isinstance(encoder, TextEncoder):
        return encoder.tokenize([sample.texts[row] for row in rows])
    read = encoder.input
    encoded = sample.encoded_images(sample.image_rows[rows])
    return (decode_batch(encoded, (read.height, read.width), read.interpolation, read.crop),)


def _encode(encoder: ImageEncoder | TextEncoder, inputs: Inputs, device: torch.device) -> object:
    return encoder.encode(*(tensor.to(device) for tensor in inputs))


@contextmanager
def _inference(module: nn.Module) -> Iterator[None]:
    """Put a module into evaluation mode without gradients within the block.

    torch's counter fails for a parameter that is the input of a submodule and requires a gradient.
    """
    training, learning = module.training, [p for p in module.parameters() if p.requires_grad]
    module.eval()
    for parameter in learning:
        parameter.requires_grad_(False)
    try:
        with torch.no_grad():
            yield
    finally:
        module.train(training)
        for parameter in learning:
            parameter.requires_grad_(True)


def _wait(device: torch.device) -> None:
    """Wait until the device has finished its work."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)

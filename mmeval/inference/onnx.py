"""Torch models as ONNX programs: tensors of a batch in, probabilities and embedding out."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mmeval.api.task import Task
from mmeval.data.batch import Batch
from mmeval.data.examples import Examples
from mmeval.data.images import decode_batch
from mmeval.engine.collate import input_seed
from mmeval.errors import MissingExtraError, PluginError
from mmeval.nn.model import TorchModel
from mmeval.protocol import Inputs

ATTRIBUTE = "attribute:"
"""Prefix of the names of inputs beside image and text."""
PROBABILITIES = "probabilities:"
"""Prefix of the outputs of the tasks."""
EMBEDDING = "embedding"
TEXT = ("text_ids", "text_mask")
_LOGGERS = ("onnxscript", "onnx_ir", "torch.onnx", "torch.export", "torch._dynamo", "torch.fx")
_EXAMPLES, _TOKENS = 3, 7
"""Rows, and tokens at least, of the example batch: torch would take 0 and 1 as constants, and equal sizes as one."""


class ExportedModel(nn.Module):
    """A model as a function of tensors, which is what an ONNX program can be."""

    def __init__(self, model: TorchModel, inputs: Inputs, temperatures: Mapping[str, float]) -> None:
        """Wrap ``model``, which must be in evaluation mode.

        Args:
            model: the model.
            inputs: the inputs that it was trained with; only these are inputs of the program.
            temperatures: divides the logits, by task; 1 where a task is not named.
        """
        super().__init__()
        self.model, self.inputs, self.temperatures = model, inputs, dict(temperatures)
        self.tasks = model.context.tasks
        image, text = inputs.image and model.image_encoder is not None, inputs.text and model.text_encoder is not None
        self.names = (
            *(["has_image"] if inputs.image else []),
            *(["images"] if image else []),
            *(["has_text"] if inputs.text else []),
            *(TEXT if text else []),
            *(ATTRIBUTE + name for name in model.context.attributes),
            "seeds",
        )
        if model.text_encoder is not None and not text:
            # The tokens of an empty text, which the model masks.
            for name, tokens in zip(TEXT, model.text_encoder.tokenize([""]), strict=True):
                self.register_buffer(f"blank_{name}", tokens, persistent=False)

    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        """Return the probabilities ``[B, classes]`` of each task, then the embedding ``[B, D]`` if the model has one.

        ``tensors``: those that :attr:`names` lists, as in a :class:`Batch`.
        """
        given = dict(zip(self.names, tensors, strict=True))
        rows = tensors[0]
        for name in ("has_image", "has_text"):
            given.setdefault(name, torch.zeros_like(rows, dtype=torch.bool))
        if hasattr(self, "blank_text_ids"):
            given |= {name: self.get_buffer(f"blank_{name}").expand(rows.shape[0], -1) for name in TEXT}
        attributes = {
            name.removeprefix(ATTRIBUTE): given.pop(name) for name in self.names if name.startswith(ATTRIBUTE)
        }
        batch = Batch(languages=_Unavailable(), labels={}, attributes=attributes, **given)
        output = self.model(batch)
        probabilities = [self._probabilities(output.logits[task.name], task) for task in self.tasks]
        if output.embedding is None:
            return tuple(probabilities)
        return (*probabilities, torch.where(batch.has_input()[:, None], output.embedding.float(), 0))

    def _probabilities(self, logits: Tensor, task: Task) -> Tensor:
        scaled = logits.float() / self.temperatures.get(task.name, 1.0)
        return scaled.sigmoid() if task.multilabel else scaled.softmax(-1)

    def tensors(self, examples: Examples, rows: NDArray[np.int64], text_length: int | None = None) -> list[Tensor]:
        """Return the input of the program for ``rows`` of ``examples``, in the order of :attr:`names`.

        ``text_length``: the number of tokens that texts are padded to; by default the longest text's.
        """
        model, image_rows = self.model, examples.image_rows[rows]
        texts = [examples.texts[row] for row in rows]
        digests = examples.image_digests(image_rows)
        given = {
            "has_image": torch.from_numpy(image_rows >= 0),
            "has_text": torch.tensor([bool(text.strip()) for text in texts]),
            "seeds": torch.tensor(
                [
                    input_seed(text, examples.languages[row], digest)
                    for text, row, digest in zip(texts, rows, digests, strict=True)
                ]
            ),
        }
        if "images" in self.names and model.image_encoder is not None:
            read = model.image_encoder.input
            encoded, size = examples.encoded_images(image_rows), (read.height, read.width)
            given["images"] = decode_batch(encoded, size, read.interpolation, read.crop).contiguous()
        if "text_ids" in self.names and model.text_encoder is not None:
            given |= zip(TEXT, _padded(*model.text_encoder.tokenize(texts), text_length), strict=True)
        for name, values in model.context.attributes.items():
            place = {value: number for number, value in enumerate(values)}
            own = examples.attribute(name)
            given[ATTRIBUTE + name] = torch.tensor([place.get(own[row], -1) for row in rows])
        return [given[name] for name in self.names]


class _Unavailable(tuple[str, ...]):
    """The languages of a batch, which are no tensor: a model that reads them can't be exported."""

    __slots__ = ()

    def _refuse(self, *_: object) -> Any:  # noqa: ANN401 - it never returns
        raise PluginError("its forward pass reads the languages of the batch, which are no input of a program.")

    __iter__ = __getitem__ = __len__ = __contains__ = count = index = _refuse


def _padded(ids: Tensor, mask: Tensor, length: int | None) -> tuple[Tensor, Tensor]:
    """Pad ids ``[B, T, ...]`` and mask ``[B, T]`` with zeros to ``length`` tokens."""
    missing = 0 if length is None else length - ids.shape[1]
    if missing <= 0:
        return ids, mask
    pad = [0, 0] * (ids.ndim - 2)
    return nn.functional.pad(ids, (*pad, 0, missing)), nn.functional.pad(mask, (0, missing))


def convert(module: ExportedModel, examples: Examples, path: Path, opset: int | None = None) -> int | None:
    """Write an ONNX program to ``path``; weights of more than 2 GB go into a file beside it.

    The number of rows is free, and so is the number of tokens where the model allows it.

    Args:
        module: the model.
        examples: examples, of which the first are traced.
        path: the file.
        opset: version of ONNX's operators; by default the exporter's.

    Returns:
        The fixed number of tokens; None if it is free.

    Raises:
        MissingExtraError: a package of the extra ``onnx`` is not installed.
        PluginError: the model can't be converted.
    """
    require_onnx()
    encoder = module.model.text_encoder
    longest = encoder.input.length if encoder is not None and "text_ids" in module.names else 0
    fixed = encoder is not None and encoder.input.padding == "length"
    # Tracing without strictness supports more libraries, with it more of Python.
    free = [(False, None), (True, None)]
    attempts = [(False, longest)] if longest and fixed else free + [(False, longest)] * bool(longest)
    rows, first = np.arange(_EXAMPLES) % len(examples), None
    for strict, length in attempts:
        tensors = module.tensors(examples, rows, min(_TOKENS, longest) if length is None else length)
        shapes = [_free_dimensions(name, length is None) for name in module.names]
        try:
            with _silent(), torch.no_grad():
                program = torch.export.export(module, tuple(tensors), dynamic_shapes=(tuple(shapes),), strict=strict)
                converted = torch.onnx.export(program, dynamo=True, verbose=False, opset_version=opset)
                _name(converted.model.graph, module)  # type: ignore[union-attr]
                converted.save(str(path))  # type: ignore[union-attr]
        except PluginError:
            raise
        except OSError:
            raise
        except Exception as error:  # of torch, onnxscript or the model; of many classes
            first = first or error
        else:
            return length
    raise PluginError(f"its forward pass can't be traced ({_reason(first)}).") from first


class Program:
    """An ONNX program that runs on the CPU."""

    def __init__(self, path: Path) -> None:
        """Load the file ``path``.

        Raises:
            MissingExtraError: ``onnxruntime`` is not installed.
        """
        try:
            import onnxruntime
        except ImportError:
            raise MissingExtraError("Running an ONNX model", "onnxruntime", "onnx") from None
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3  # errors only
        options.intra_op_num_threads = torch.get_num_threads()
        self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        self.inputs = {value.name: (value.type, value.shape) for value in self._session.get_inputs()}
        """Type and shape of each input, by name."""
        self.outputs = {value.name: (value.type, value.shape) for value in self._session.get_outputs()}

    def __call__(self, names: Sequence[str], tensors: Sequence[Tensor]) -> list[NDArray[np.float32]]:
        """Return the outputs for tensors with these names; tensors that are no input of the program are left out."""
        given = dict(zip(names, tensors, strict=True))
        outputs: list[NDArray[np.float32]] = self._session.run(
            None, {name: given[name].numpy() for name in self.inputs}
        )
        return outputs


def require_onnx() -> None:
    """Check that the packages of the extra ``onnx`` are installed.

    Raises:
        MissingExtraError: one of them is not.
    """
    for package in ("onnx", "onnxscript", "onnxruntime"):
        if importlib.util.find_spec(package) is None:
            raise MissingExtraError("Exporting to ONNX", package, "onnx")


def _free_dimensions(name: str, free_length: bool) -> dict[int, Any]:
    """Return the dimensions of an input that may have any size: the rows, and the tokens of texts."""
    dynamic = torch.export.Dim.DYNAMIC
    return {0: dynamic, 1: dynamic} if name in TEXT and free_length else {0: dynamic}


def _name(graph: Any, module: ExportedModel) -> None:  # noqa: ANN401 - of onnx_ir, which has no stable types
    """Name inputs, outputs and free dimensions of a graph, and remove the inputs that it does not use."""
    values = list(graph.inputs)
    names = [*module.names, *(PROBABILITIES + task.name for task in module.tasks), EMBEDDING]
    computed = [output for node in graph for output in node.outputs]
    for value in (*graph.initializers.values(), *computed):
        if value.name in names:
            value.name = f"{value.name}.inner"  # a name must be unique in the graph
    dimensions: dict[str, str] = {}
    for name, value in zip(module.names, values, strict=True):
        value.name = name
        for size, label in zip(value.shape, ("batch", "tokens"), strict=False):
            if not isinstance(size, int):
                dimensions[str(size)] = label
    for name, value in zip(names[len(values) :], graph.outputs, strict=False):
        value.name = name
    for value in (*values, *computed):
        if value.shape is not None:
            for axis, size in enumerate(value.shape):
                if not isinstance(size, int) and str(size) in dimensions:
                    value.shape[axis] = dimensions[str(size)]
    for value in values:
        if not value.uses():
            graph.inputs.remove(value)


@contextlib.contextmanager
def _discarded_output() -> Iterator[None]:
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        yield


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """Suppress the warnings and log lines of the exporter, which are about its own steps."""
    loggers = [logging.getLogger(name) for name in _LOGGERS]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.CRITICAL)
        with warnings.catch_warnings(), _discarded_output():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _reason(error: Exception | None) -> str:
    """Return the first line of the error at the root of a chain."""
    while error is not None and isinstance(error.__cause__, Exception):
        error = error.__cause__
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0].rstrip('.') if lines else ''}"

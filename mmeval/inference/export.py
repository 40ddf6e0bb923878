"""Export of a run's model to ONNX, verified against torch, with a description of its inputs and outputs."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from mmeval.console import progress
from mmeval.data.examples import Examples
from mmeval.data.open.resolve import open_data
from mmeval.engine.collate import Collate
from mmeval.engine.device import Inference
from mmeval.engine.predict import predict_batch
from mmeval.engine.runner import TorchRunner
from mmeval.errors import PluginError, UserError
from mmeval.escaping import code_span, json_text, markdown
from mmeval.files import atomic_folder, partial_of
from mmeval.inference.chunk import chunks
from mmeval.inference.classifier import Classifier
from mmeval.inference.load import load
from mmeval.inference.member import Member
from mmeval.inference.onnx import ATTRIBUTE, EMBEDDING, PROBABILITIES, ExportedModel, Program, convert, require_onnx
from mmeval.inference.rows import RowOptions
from mmeval.nn.encoder import ImageInput, TextEncoder
from mmeval.nn.encoders.huggingface.bert import BertEncoder
from mmeval.nn.encoders.tokens import ByteTokenizer
from mmeval.plugin.manager import Manager
from mmeval.runs.attribution import attributed
from mmeval.runs.folder import VALIDATION, RunFolder
from mmeval.runs.repeat import Named, dataset_of
from mmeval.version import __version__

FORMATS = ("onnx",)
MODEL, DESCRIPTION, TOKENIZER = "model.onnx", "inputs.json", "tokenizer.json"
ROWS = 256
"""Rows on which a program is verified, unless the user sets another number."""
TOLERANCE = 1e-4
"""Largest difference of a probability from torch."""
EMBEDDING_TOLERANCE = 1e-3
"""Largest difference of a feature, relative to the largest one: the precision in which `mmeval embed` writes it."""
_BATCH = 32


@dataclass(frozen=True)
class Verification:
    """The differences between the program and torch."""

    against: str
    """The rows that both predicted."""
    rows: int
    probabilities: float
    """Largest absolute difference of a probability, from torch on the same tensors."""
    embedding: float | None
    """Largest absolute difference of a feature, relative to the largest feature; None without embedding."""
    predict: float
    """Largest absolute difference of a probability from `mmeval predict`, which keeps the tokens of frozen encoders in
    half precision."""


@dataclass(frozen=True)
class Exported:
    """An exported model."""

    folder: Path
    verification: Verification


def export(
    run: str | Path | RunFolder,
    output: str | Path,
    *,
    format: str = "onnx",  # noqa: A002 - the name of the option
    seed: int | None = None,
    plugin: str | Path | None = None,
    calibrated: bool = True,
    rows: int = ROWS,
    table: str | Path | None = None,
    options: RowOptions = RowOptions(),  # noqa: B008 - frozen
    opset: int | None = None,
) -> Exported:
    """Write the model of a run as an ONNX program, after verifying that it predicts as torch does.

    The folder gets ``model.onnx``, ``inputs.json`` (how to prepare its inputs, and what its outputs are), a
    ``README.md``, and ``tokenizer.json`` where the tokenizer is one.

    Args:
        run: the run folder.
        output: the new folder; an earlier export in it is replaced.
        format: ``onnx``.
        seed: the training seed; by default the first one.
        plugin: the Python file of the model, for a run whose model is a one-file plugin.
        calibrated: whether the probabilities are those at the temperatures of the run.
        rows: number of rows to verify on.
        table: a table to verify on, instead of the validation split of the run's data set.
        options: the columns of that table.
        opset: version of ONNX's operators; by default the exporter's.

    Raises:
        UserError: the model can't be exported, or the program predicts something else; then nothing is written.
    """
    if format not in FORMATS:
        raise UserError(f"--format {format}: there is {' and '.join(FORMATS)}.")
    require_onnx()
    output = Path(output)
    _require_replaceable(output)
    classifier = load(run, seed=seed, device="cpu", plugin=plugin)
    (member,) = classifier.members
    if not isinstance(member.model, TorchRunner):
        raise UserError(
            f"{member.folder.path}: {member.spec.name} is no torch model, which alone can become ONNX; use `mmeval "
            "predict` or mmeval.load."
        )
    examples, against = _examples(classifier, rows, table, options)
    temperatures = member.temperatures if calibrated else {}
    module = ExportedModel(member.model.model, member.inputs, temperatures).eval()
    with atomic_folder(output) as folder:
        with attributed(member.spec, "when it was exported"):
            length = convert(module, examples, folder / MODEL, opset)
        program = Program(folder / MODEL)
        verification = _verify(program, module, member, examples, against, length)
        _require_close(verification, member)
        description = _describe(program, module, member, verification, length)
        description["inputs"].get("text_ids", {}).get("tokenizer", {}).update(_write_tokenizer(module, folder))
        (folder / DESCRIPTION).write_text(json_text(description) + "\n", encoding="utf-8")
        (folder / "README.md").write_text(_readme(description), encoding="utf-8")
        if output.exists():
            shutil.rmtree(output)
    return Exported(output, verification)


def _require_replaceable(output: Path) -> None:
    """Check that ``output`` is free, empty, or holds an earlier export.

    Raises:
        UserError: it holds something else.
    """
    if output.is_dir():
        names = [path.name for path in output.iterdir() if partial_of(path.name) is None]
        if not names or DESCRIPTION in names:
            return
    elif not output.exists():
        return
    raise UserError(f"--output {output} exists and is no export; name a new folder.")


def _examples(
    classifier: Classifier, count: int, table: str | Path | None, options: RowOptions
) -> tuple[Examples, str]:
    """Return the rows to verify on, spread over their split, and their description.

    Raises:
        UserError: the data set of the run is not here or has changed, or the table can't be read.
    """
    (member,) = classifier.members
    if table is not None:
        new = classifier.rows(table, options)
        parsed = new.parsed(0, count)
        for chunk in chunks(parsed, classifier.tasks, new.attributes, images=new.reads_images, size=count):
            examples = Examples(chunk.store, "predict", member.inputs)
            if len(examples):
                return examples, f"the first rows of {Path(table).name}"
        raise UserError(f"{table} holds no row that the model can read.")
    protocol = member.record.plan.protocol
    try:
        store = open_data(dataset_of(member.folder, Named()), Manager()).store
    except UserError as error:
        raise UserError(
            f"{member.folder.path}: the data set {protocol.dataset}, on which the export is verified, can't be opened "
            f"({str(error).rstrip('.')}); name a table of examples with --table."
        ) from None
    if store.fingerprint != protocol.fingerprint:
        raise UserError(
            f"{member.folder.path}: the data set {protocol.dataset} has changed since the run; name a table of "
            "examples with --table, on which the export is verified."
        )
    examples = Examples(store, VALIDATION, member.inputs, protocol.limit)
    chosen = np.linspace(0, len(examples) - 1, min(count, len(examples))).round().astype(np.int64)
    picked = Examples.of_table(store, examples.table.take(chosen), VALIDATION, member.inputs)
    return picked, f"rows of the split {VALIDATION} of {protocol.dataset}"


def _verify(
    program: Program, module: ExportedModel, member: Member, examples: Examples, against: str, length: int | None
) -> Verification:
    """Compare the program with torch on the same tensors, and with `mmeval predict`, in batches of several sizes."""
    model = module.model
    collate = Collate(examples, model, torch.device("cpu"), labels=False)
    placement = Inference(torch.device("cpu"), "fp32")
    names, differences = [task.name for task in module.tasks], []
    with progress("Verifying", len(examples), "rows") as advance:
        for rows in _batches(len(examples)):
            tensors = module.tensors(examples, rows, length)
            with torch.inference_mode():
                expected = [output.numpy() for output in module(*tensors)]
            actual = program(module.names, tensors)
            predicted = predict_batch(model, collate(rows), placement).probabilities
            calibrated = member.calibrated(predicted) if module.temperatures else predicted
            scale = [1.0] * len(names) + [max(float(np.abs(x).max()), 1.0) for x in expected[len(names) :]]
            own = [_difference(a, b) / s for a, b, s in zip(actual, expected, scale, strict=True)]
            predict = max(_difference(a, calibrated[name]) for a, name in zip(actual, names, strict=False))
            differences.append([max(own[: len(names)]), predict, *own[len(names) :]])
            advance(len(rows))
    probabilities, predict, *embedding = np.max(differences, 0).tolist()
    return Verification(against, len(examples), probabilities, embedding[0] if embedding else None, predict)


def _batches(count: int) -> list[NDArray[np.int64]]:
    """Return the rows 0 to ``count`` in batches: the first one alone, as a service would ask for it."""
    return [rows for rows in np.split(np.arange(count), [1, *range(1 + _BATCH, count, _BATCH)]) if len(rows)]


def _difference(actual: NDArray[np.float32], expected: NDArray[np.float32]) -> float:
    """Return the largest absolute difference; infinite where only one of the two is a number, or shapes differ."""
    if actual.shape != expected.shape:
        return float("inf")
    difference = float(np.abs(actual.astype(np.float64) - expected).max(initial=0.0))
    return difference if np.isfinite(difference) else float("inf")


def _require_close(verification: Verification, member: Member) -> None:
    for largest, tolerance, what in (
        (verification.probabilities, TOLERANCE, "probabilities"),
        (verification.embedding or 0.0, EMBEDDING_TOLERANCE, "embeddings"),
    ):
        if largest <= tolerance:  # not of NaN
            continue
        raise PluginError(
            f"{member.folder.path}: {what} of the ONNX program differ from torch by up to {largest:.2g} on "
            f"{verification.against}, more than {tolerance:g}, so nothing was written; use mmeval.load instead."
        )


def _describe(
    program: Program, module: ExportedModel, member: Member, verification: Verification, length: int | None
) -> dict[str, Any]:
    """Return the content of ``inputs.json``."""
    outputs: dict[str, Any] = {}
    for task in module.tasks:
        name = PROBABILITIES + task.name
        outputs[name] = _tensor(program.outputs[name]) | {
            "task": task.name,
            "multilabel": task.multilabel,
            "classes": list(task.classes),
            "temperature": module.temperatures.get(task.name, 1.0),
        }
    if EMBEDDING in program.outputs:
        outputs[EMBEDDING] = _tensor(program.outputs[EMBEDDING])
    return {
        "format": "onnx",
        "model": MODEL,
        "mmeval": __version__,
        "run": member.folder.name,
        "plugin": {"name": member.spec.name, "version": member.spec.version},
        "seed": member.seed,
        "inputs": {name: _tensor(kind) | _input(name, module, length) for name, kind in program.inputs.items()},
        "outputs": outputs,
        "verified": asdict(verification),
    }


def _tensor(kind: tuple[str, list[int | str]]) -> dict[str, Any]:
    """Return type and shape of an input or output, from ONNX Runtime's ``tensor(float)``."""
    name, shape = kind
    return {"type": name.removeprefix("tensor(").removesuffix(")"), "shape": shape}


def _input(name: str, module: ExportedModel, length: int | None) -> dict[str, Any]:
    """Return how to prepare an input."""
    image, text = module.model.image_encoder, module.model.text_encoder
    if name == "images" and image is not None:
        return _image(image.input)
    if name == "text_ids" and text is not None:
        return _text(text, length)
    if name.startswith(ATTRIBUTE):
        values = module.model.context.attributes[name.removeprefix(ATTRIBUTE)]
        return {"meaning": "index of the value in values, -1 for any other", "values": list(values)}
    return {
        "meaning": {
            "has_image": "whether the row has an image; images is 0 where it has none",
            "has_text": "whether the row has a text that is not blank",
            "text_mask": "true for tokens, false for padding",
            "seeds": "the same number for the same row each time, such as a hash of text and image",
        }[name]
    }


def _image(read: ImageInput) -> dict[str, Any]:
    resize = f"stretch the whole image to {read.height} x {read.width}"
    if read.crop:
        side = round(min(read.height, read.width) / read.crop)
        resize = f"resize the shorter side to {side}, and crop the centre to {read.height} x {read.width}"
    return {
        "meaning": "RGB pixels from 0 to 255, channels first; transparency on white",
        "resize": f"{resize}; {read.interpolation}, antialiased",
        "height": read.height,
        "width": read.width,
        "crop": read.crop,
        "interpolation": read.interpolation,
        "normalization": {"in_the_model": True, "mean": list(read.mean), "std": list(read.std)},
    }


def _text(encoder: TextEncoder, length: int | None) -> dict[str, Any]:
    """Return how to tokenize texts for an encoder."""
    tokenizer: dict[str, Any] = {
        "name": encoder.input.tokenizer,
        "in_mmeval": f"mmeval.nn.text_encoder({encoder.name!r}).tokenize(texts)",
    }
    own = getattr(encoder, "tokenizer", None)
    if isinstance(own, ByteTokenizer):
        tokenizer["bytes"] = "each byte of the UTF-8 text plus 6"
    if (special := getattr(own, "special", None)) is not None:
        tokenizer["special"] = special._asdict()
        framed = not isinstance(encoder, BertEncoder) or encoder.specials
        tokenizer["special_tokens"] = "cls before and sep behind each text" if framed else "none around the text"
    return {
        "meaning": "token ids of the text",
        "prefix": encoder.input.prefix,
        "max_length": encoder.input.length,
        "padding": f"to {length} tokens" if length else "to the longest text of the batch",
        "tokenizer": tokenizer,
    }


def _write_tokenizer(module: ExportedModel, folder: Path) -> dict[str, str]:
    """Write ``tokenizer.json`` if the tokenizer is one of the library ``tokenizers``; returns the entry for it."""
    tokenizer = getattr(module.model.text_encoder, "tokenizer", None)
    backend = getattr(tokenizer, "backend", None)
    if "text_ids" not in module.names or backend is None:
        return {}
    backend.save(str(folder / TOKENIZER))
    return {"file": TOKENIZER}


def _readme(description: Mapping[str, Any]) -> str:
    """Return the page that a user of the program reads first."""
    verified, inputs, outputs = description["verified"], description["inputs"], description["outputs"]
    lines = [
        f"# {markdown(description['plugin']['name'])}, exported to ONNX",
        "",
        f"From the run {code_span(description['run'])}, seed {description['seed']}, by mmeval {description['mmeval']}. "
        f"{code_span(DESCRIPTION)} says in full how to prepare the inputs, and lists the classes of each task.",
        "",
        "| input | type | shape | content |",
        "|---|---|---|---|",
        *(
            f"| {code_span(name)} | {own['type']} | {_shape(own)} | {markdown(own['meaning'])} |"
            for name, own in inputs.items()
        ),
        "",
        "| output | type | shape | content |",
        "|---|---|---|---|",
        *(
            f"| {code_span(name)} | {own['type']} | {_shape(own)} | "
            f"{'fused vector' if name == EMBEDDING else 'probability of each class'} |"
            for name, own in outputs.items()
        ),
        "",
    ]
    if images := inputs.get("images"):
        lines += [f"Images: {images['resize']}. The model itself normalizes the pixels.", ""]
    if text := inputs.get("text_ids"):
        prefix = f", after the prefix {code_span(text['prefix'])}" if text["prefix"] else ""
        lines += [
            f"Texts: at most {text['max_length']} tokens of {markdown(text['tokenizer']['name'])}{prefix}, padded "
            f"{text['padding']}; in Python, {code_span(text['tokenizer']['in_mmeval'])} gives ids and mask.",
            "",
        ]
    lines += [
        "```python",
        "import onnxruntime",
        "",
        f'session = onnxruntime.InferenceSession("{MODEL}")',
        f"outputs = session.run(None, {{{', '.join(f'{json_text(name)}: ...' for name in inputs)}}})",
        "```",
        "",
        f"Verified on {verified['rows']:,} {markdown(verified['against'])}: no probability differs from torch by more "
        f"than {verified['probabilities']:.1e}, nor from `mmeval predict` by more than {verified['predict']:.1e}.",
        "",
    ]
    return "\n".join(lines)


def _shape(tensor: Mapping[str, Any]) -> str:
    return " x ".join(map(str, tensor["shape"]))

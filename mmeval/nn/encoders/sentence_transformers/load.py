"""Loading of ``sentence-transformers`` models: text encoders, and the two towers of CLIP and SigLIP."""

from __future__ import annotations

import contextlib
import logging
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from torch import nn

from mmeval.errors import MissingExtraError, UserError
from mmeval.nn.encoder import ImageEncoder, TextEncoder
from mmeval.nn.encoders import stand_in
from mmeval.nn.encoders.architectures import SENTENCE_TRANSFORMERS, Architecture
from mmeval.nn.encoders.huggingface import pretrained
from mmeval.nn.encoders.name import EncoderName
from mmeval.nn.encoders.sentence_transformers.models import TWO_TOWERS, SentenceImage, SentenceText, SentenceTower
from mmeval.nn.encoders.weights import WeightsSource, fetching


def build_image(name: EncoderName, frozen: bool) -> ImageEncoder:  # noqa: ARG001 - built alike either way
    """Build the image tower of ``st:OWNER/NAME`` (options ``revision`` and ``weights``), or of a folder.

    Raises:
        UserError: the model takes no images, its preprocessing is not supported, or it lacks an option of the name.
        MissingWeightsError: the weights could not be loaded.
        MissingExtraError: the package is not installed.
    """
    source = _source(name)
    if architecture := _random_architecture(source):
        if architecture.images is None:
            raise UserError(f'"{source.name}": it takes no images.')
        return SentenceImage(source.name, [_random_clip(source, architecture)])
    model = _load(source)
    if _model_type(model) not in TWO_TOWERS:
        raise UserError(
            f'"{source.name}": it has no image tower of CLIP or SigLIP; for images alone take hf: or timm:.'
        )
    encoder = SentenceImage(source.name, list(model))
    encoder.published = source.published
    return encoder


def build_text(name: EncoderName, frozen: bool) -> TextEncoder:  # noqa: ARG001 - built alike either way
    """Build the text encoder of ``st:OWNER/NAME``; the option ``prompt`` names one of the model's prompts, or ``none``.

    By default the model's default prompt, if any, is put before each text. Errors are those of :func:`build_image`.
    """
    source = _source(name, "prompt")
    if architecture := _random_architecture(source):
        if architecture.images is None:
            return SentenceText(source.name, _random_modules(source, architecture))
        return SentenceTower(source.name, [_random_clip(source, architecture)])
    model = _load(source)
    prompt = _prompt(name, model)
    if _model_type(model) in TWO_TOWERS:
        encoder: TextEncoder = SentenceTower(source.name, list(model), prompt)
    elif type(model[0]).__name__ != "Transformer" or model[0].module_output_name != "token_embeddings":
        raise UserError(f'"{source.name}" is no model that mmeval supports; of st: it supports transformers and CLIP.')
    else:
        encoder = SentenceText(source.name, list(model), prompt)
    encoder.published = source.published
    return encoder


def _model_type(model: Any) -> str:  # noqa: ANN401 - sentence_transformers' own class
    """Return transformers' ``model_type`` of a model that takes texts and images; empty for other models."""
    multimodal = type(model[0]).__name__ in ("Transformer", "CLIPModel") and {"text", "image"} <= set(model.modalities)
    return str(model[0].model.config.model_type) if multimodal else ""


def _prompt(name: EncoderName, model: Any) -> str:  # noqa: ANN401 - sentence_transformers' own class
    prompt = name.options.get("prompt", model.default_prompt_name or "none")
    if prompt == "none":
        return ""
    if prompt not in model.prompts:
        names = ", ".join(key for key, text in model.prompts.items() if text) or "none"
        raise UserError(f'"{name.full}": the model has no prompt "{prompt}"; it has {names}.')
    return str(model.prompts[prompt])


def _source(name: EncoderName, *options: str) -> WeightsSource:
    local = name.kind == "local" or (bool(name.argument) and Path(name.argument).expanduser().is_dir())
    name.check_options(*options, *([] if local else ["revision", "weights"]))
    if not name.argument:
        raise UserError(f'"{name.full}": write st:OWNER/NAME.')
    location = str(Path(name.argument).expanduser()) if local else name.argument
    return WeightsSource(name.full, location, name.options.get("revision"), local, name.has_random_weights)


def _random_architecture(source: WeightsSource) -> Architecture | None:
    """Return the architecture of a model that is to have random weights; None for published weights.

    Raises:
        UserError: mmeval does not know its architecture.
    """
    if not source.random:
        return None
    if source.location not in SENTENCE_TRANSFORMERS:
        raise UserError(f'"{source.name}": weights=random is supported for {", ".join(SENTENCE_TRANSFORMERS)} only.')
    return SENTENCE_TRANSFORMERS[source.location]


def _random_clip(source: WeightsSource, architecture: Architecture) -> Any:  # noqa: ANN401
    """Return a substitute for CLIP's first module with random weights: model, tokenizer and preprocessing."""
    model = pretrained.transformers(f"The encoder {source.name}").AutoModel.from_config(architecture.config()).eval()
    tokenizer = stand_in.tokenizer(architecture.words, architecture.vocabulary)
    return SimpleNamespace(model=model, tokenizer=tokenizer, max_seq_length=None, images=architecture.images)


def _random_modules(source: WeightsSource, architecture: Architecture) -> list[nn.Module]:
    """Return the modules of a text model with random weights, as the library would load them."""
    try:
        from sentence_transformers.sentence_transformer import modules as models
    except ImportError:
        raise MissingExtraError(f"The encoder {source.name}", "sentence-transformers", "models") from None
    auto = pretrained.transformers(f"The encoder {source.name}").AutoModel

    class RandomTransformer(models.Transformer):  # type: ignore[misc, unused-ignore]
        """The library's first module, without loading weights."""

        def _load_model(self, *_: Any, **__: Any) -> Any:  # noqa: ANN401
            return auto.from_config(architecture.config(), dtype=torch.float32).eval()

    with fetching(source), _without_logging(), tempfile.TemporaryDirectory() as folder:
        architecture.config().save_pretrained(folder)
        stand_in.save_tokenizer(Path(folder), architecture.words, architecture.vocabulary)
        first = RandomTransformer(folder)
    first.processor = stand_in.tokenizer(architecture.words, architecture.vocabulary)
    parts: list[nn.Module] = [first]
    for name, options in architecture.modules:
        if name == "Pooling":
            parts.append(models.Pooling(first.get_embedding_dimension(), "mean"))
        else:
            parts.append(models.Dense(**options, activation_function=nn.Identity()))
    return parts


def _load(source: WeightsSource) -> Any:  # noqa: ANN401 - sentence_transformers' own class
    try:
        from sentence_transformers import SentenceTransformer
    except ImportError:
        raise MissingExtraError(f"The encoder {source.name}", "sentence-transformers", "models") from None
    with fetching(source), _without_logging(), torch.random.fork_rng(devices=[]):
        try:
            model = SentenceTransformer(
                source.location, device="cpu", revision=source.revision, trust_remote_code=False
            )
            return model.float()
        except (ValueError, KeyError, AttributeError) as error:
            if "trust_remote_code" in str(error):
                raise UserError(f'"{source.name}": {pretrained.OWN_CODE}.') from error
            reason = str(error).strip().splitlines()[0].rstrip(".")
            raise UserError(f'"{source.name}": sentence-transformers can\'t load it ({reason}).') from error


@contextlib.contextmanager
def _without_logging() -> Iterator[None]:
    logger = logging.getLogger("sentence_transformers")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)

"""Models of ``sentence-transformers``: texts, and the two towers of its CLIP and SigLIP."""

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
from mmeval.nn.encoders.name import Named
from mmeval.nn.encoders.sentence_transformers.models import KINDS, SentenceImage, SentenceText, SentenceTower
from mmeval.nn.encoders.weights import Source, fetching


def image(named: Named, frozen: bool) -> ImageEncoder:  # noqa: ARG001 - made alike either way
    """The image tower of ``st:OWNER/NAME``, or of a folder; on the Hub with the option ``revision``.

    Raises:
        UserError: it takes no images, or as we can't give them; another option.
        MissingWeightsError: the weights could not be had.
        MissingExtraError: the package isn't installed.
    """
    found = _source(named)
    if architecture := _drawn(found):
        if architecture.images is None:
            raise UserError(f'"{found.name}": it takes no images.')
        return SentenceImage(found.name, [_clip(found, architecture)])
    model = _load(found)
    if _kind(model) not in KINDS:
        raise UserError(f'"{found.name}": it has no image tower of CLIP or SigLIP; for images alone take hf: or timm:.')
    made = SentenceImage(found.name, list(model))
    made.published = found.published
    return made


def text(named: Named, frozen: bool) -> TextEncoder:  # noqa: ARG001 - made alike either way
    """The text encoder of the same; its option ``prompt`` names one of the model's own prompts, or ``none``.

    Without it the model's default prompt is put before each text, if it has one. Errors as in :func:`image`.
    """
    found = _source(named, "prompt")
    if architecture := _drawn(found):
        if architecture.images is None:
            return SentenceText(found.name, _parts(found, architecture))
        return SentenceTower(found.name, [_clip(found, architecture)])
    model = _load(found)
    prompt = _prompt(named, model)
    if _kind(model) in KINDS:
        made: TextEncoder = SentenceTower(found.name, list(model), prompt)
    elif type(model[0]).__name__ != "Transformer" or model[0].module_output_name != "token_embeddings":
        raise UserError(
            f'"{found.name}" is no model that mmeval can take apart; of st: it reads transformers and CLIP.'
        )
    else:
        made = SentenceText(found.name, list(model), prompt)
    made.published = found.published
    return made


def _kind(model: Any) -> str:  # noqa: ANN401 - sentence_transformers' own class
    """What a model that takes texts and images is called by transformers; empty where it doesn't."""
    two = type(model[0]).__name__ in ("Transformer", "CLIPModel") and {"text", "image"} <= set(model.modalities)
    return str(model[0].model.config.model_type) if two else ""


def _prompt(named: Named, model: Any) -> str:  # noqa: ANN401 - sentence_transformers' own class
    wanted = named.options.get("prompt", model.default_prompt_name or "none")
    if wanted == "none":
        return ""
    if wanted not in model.prompts:
        has = ", ".join(f"{one}" for one, written in model.prompts.items() if written) or "none"
        raise UserError(f'"{named.full}": the model has no prompt "{wanted}"; it has {has}.')
    return str(model.prompts[wanted])


def _source(named: Named, *options: str) -> Source:
    local = named.kind == "local" or (bool(named.rest) and Path(named.rest).expanduser().is_dir())
    named.only(*options, *([] if local else ["revision", "weights"]))
    if not named.rest:
        raise UserError(f'"{named.full}": write st:OWNER/NAME.')
    where = str(Path(named.rest).expanduser()) if local else named.rest
    random = named.choice("weights", "pretrained", "random") == "random"
    return Source(named.full, where, named.options.get("revision"), local, random)


def _drawn(found: Source) -> Architecture | None:
    """The sizes of a model whose weights are to be random; None where they are to be the published ones.

    Raises:
        UserError: its sizes are not known here.
    """
    if not found.random:
        return None
    if found.where not in SENTENCE_TRANSFORMERS:
        raise UserError(
            f'"{found.name}": its sizes are not known without its weights; those of '
            f"{', '.join(SENTENCE_TRANSFORMERS)} are."
        )
    return SENTENCE_TRANSFORMERS[found.where]


def _clip(found: Source, architecture: Architecture) -> Any:  # noqa: ANN401
    """What the towers read of the first module of a CLIP: model, tokenizer, preprocessing."""
    model = pretrained.transformers(f"The encoder {found.name}").AutoModel.from_config(architecture.config()).eval()
    tokenizer = stand_in.tokenizer(architecture.words, architecture.vocabulary)
    return SimpleNamespace(model=model, tokenizer=tokenizer, max_seq_length=None, images=architecture.images)


def _parts(found: Source, architecture: Architecture) -> list[nn.Module]:
    """The modules of a model of texts, with random weights, as the library itself would load them."""
    try:
        from sentence_transformers.sentence_transformer import modules as models
    except ImportError:
        raise MissingExtraError(f"The encoder {found.name}", "sentence-transformers", "models") from None
    auto = pretrained.transformers(f"The encoder {found.name}").AutoModel

    class Drawn(models.Transformer):  # type: ignore[misc, unused-ignore]
        """Its own first module, but that no weights are looked for."""

        def _load_model(self, *_: Any, **__: Any) -> Any:  # noqa: ANN401
            return auto.from_config(architecture.config(), dtype=torch.float32).eval()

    with fetching(found), _hushed(), tempfile.TemporaryDirectory() as folder:
        architecture.config().save_pretrained(folder)
        stand_in.written(Path(folder), architecture.words, architecture.vocabulary)
        first = Drawn(folder)
    first.processor = stand_in.tokenizer(architecture.words, architecture.vocabulary)
    parts: list[nn.Module] = [first]
    for name, options in architecture.modules:
        if name == "Pooling":
            parts.append(models.Pooling(first.get_embedding_dimension(), "mean"))
        else:
            parts.append(models.Dense(**options, activation_function=nn.Identity()))
    return parts


def _load(found: Source) -> Any:  # noqa: ANN401 - sentence_transformers' own class
    try:
        from sentence_transformers import SentenceTransformer
    except ImportError:
        raise MissingExtraError(f"The encoder {found.name}", "sentence-transformers", "models") from None
    with fetching(found), _hushed(), torch.random.fork_rng(devices=[]):
        try:
            own = SentenceTransformer(found.where, device="cpu", revision=found.revision, trust_remote_code=False)
            return own.float()
        except (ValueError, KeyError, AttributeError) as error:
            if "trust_remote_code" in str(error):
                raise UserError(f'"{found.name}": {pretrained.OWN_CODE}.') from error
            first = str(error).strip().splitlines()[0].rstrip(".")
            raise UserError(f'"{found.name}": sentence-transformers can\'t load it ({first}).') from error


@contextlib.contextmanager
def _hushed() -> Iterator[None]:
    logger = logging.getLogger("sentence_transformers")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)

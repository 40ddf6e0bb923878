"""Loading from ``transformers``, by repository or folder: configuration, weights, tokenizer, preprocessing."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import nn

from mmeval.errors import MissingExtraError, MissingWeightsError, UserError
from mmeval.nn.encoder import ImageInput
from mmeval.nn.encoders import stand_in
from mmeval.nn.encoders.architectures import TRANSFORMERS, Architecture
from mmeval.nn.encoders.weights import WeightsSource, fetching

OPTIONAL_WEIGHTS = ("pooler", "mask_token")
"""Parts that many checkpoints lack; no encoder uses them unasked."""
NO_CODE = {"trust_remote_code": False}
"""Without it transformers asks on standard input, and sentence-transformers before 6 runs code of a local folder."""
OWN_CODE = (
    "it comes with Python code of its own, which mmeval doesn't run; choose an encoder of the libraries' own classes"
)
BILINEAR = 2
"""Pillow's ``Resampling.BILINEAR``."""


def transformers(needed_by: str) -> Any:  # noqa: ANN401 - the module
    """Return the library transformers; the error message begins with ``needed_by``.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        import transformers
    except ImportError:
        raise MissingExtraError(needed_by, "transformers", "models") from None
    return transformers


def known_architecture(source: WeightsSource) -> Architecture | None:
    """Return the architecture that mmeval knows, so that random weights need no access to the Hub; else None.

    None too if the name has a revision: config and tokenizer then come from the Hub.
    """
    return TRANSFORMERS.get(source.location) if source.random and not source.local and source.revision is None else None


def configuration(source: WeightsSource) -> Any:  # noqa: ANN401 - transformers' own class
    """Return the model's configuration.

    Raises:
        UserError: the installed transformers lacks its architecture, or the repository brings code of its own.
        MissingWeightsError: it could not be loaded.
    """
    if architecture := known_architecture(source):
        return architecture.config()
    with fetching(source):
        try:
            auto = transformers(source.name).AutoConfig
            return auto.from_pretrained(source.location, revision=source.revision, **NO_CODE)
        except ValueError as error:
            if "trust_remote_code" in str(error):
                raise UserError(f'"{source.name}": {OWN_CODE}.') from error
            version = transformers(source.name).__version__
            raise UserError(f'"{source.name}": transformers {version} has no such architecture.') from error


def weights(source: WeightsSource, config: Any, kind: str = "AutoModel") -> Any:  # noqa: ANN401
    """Return the model in float32 and evaluation mode, with the checkpoint's or with random weights.

    ``kind`` is the auto class of transformers that creates it.

    Raises:
        UserError: ``transformers`` has no such model of this architecture.
        MissingWeightsError: its weights could not be loaded, do not fit the configuration, or are incomplete.
    """
    auto = getattr(transformers(source.name), kind)
    with fetching(source):
        try:
            if source.random:
                return auto.from_config(config, dtype=torch.float32).eval()
            model, report = auto.from_pretrained(
                source.location,
                config=config,
                revision=source.revision,
                dtype=torch.float32,  # the default is the checkpoint's type, which may be float16
                output_loading_info=True,
                **NO_CODE,
            )
        except ValueError as error:
            raise UserError(f'"{source.name}": transformers has no {kind} of {config.model_type}.') from error
        except RuntimeError as error:
            raise MissingWeightsError(source.name, "they don't fit the configuration beside them.") from error
    missing = sorted(key for key in report["missing_keys"] if not any(part in key for part in OPTIONAL_WEIGHTS))
    if missing:
        raise MissingWeightsError(source.name, f"the checkpoint lacks {len(missing)} of them, such as {missing[0]}.")
    return model


def tokenizer(source: WeightsSource) -> Any:  # noqa: ANN401 - transformers' own class
    """Return the published tokenizer, or the stand-in for a known architecture with random weights.

    Raises:
        UserError: transformers can't read a tokenizer there.
        MissingExtraError: it needs a package that is not installed.
        MissingWeightsError: it could not be loaded.
    """
    if architecture := known_architecture(source):
        return stand_in.tokenizer(architecture.words, architecture.vocabulary)
    with fetching(source):
        try:
            auto = transformers(source.name).AutoTokenizer
            return auto.from_pretrained(source.location, revision=source.revision, **NO_CODE)
        except ImportError as error:
            package = "sentencepiece" if "sentencepiece" in str(error).lower() else str(error.name or "tokenizers")
            raise MissingExtraError(f"The tokenizer of {source.name}", package, "models") from error
        except ValueError as error:
            raise UserError(f'"{source.name}": it comes without a tokenizer that transformers can read.') from error


def preprocessing(source: WeightsSource, config: Any) -> ImageInput:  # noqa: ANN401
    """Return the image input that ``preprocessor_config.json`` declares.

    Raises:
        UserError: transformers can't read that file.
        MissingWeightsError: it could not be loaded.
    """
    architecture = known_architecture(source)
    if architecture and architecture.images:
        return architecture.images
    with fetching(source):
        try:
            auto = transformers(source.name).AutoImageProcessor
            # The Pillow backend needs no torchvision; only its configuration is read.
            processor = auto.from_pretrained(
                source.location, revision=source.revision, config=config, backend="pil", **NO_CODE
            )
        except (ValueError, ImportError) as error:
            raise UserError(f'"{source.name}": it does not say how images are to be prepared.') from error
    return image_input(processor)


def scaling(model: Any) -> tuple[float | None, float]:  # noqa: ANN401
    """Return bias and scale of the cosines of CLIP or SigLIP, as trained; CLIP's bias is None.

    A model on the meta device has no values, and gives a bias of 0 and a scale of 1.
    """
    bias, scale = getattr(model, "logit_bias", None), model.logit_scale
    if scale.is_meta:
        return None if bias is None else 0.0, 1.0
    return None if bias is None else float(bias.detach()), float(scale.detach().exp())


def keep_tower(model: nn.Module, modality: str) -> None:
    """Remove the other tower of a model with two, and its scale and bias; ``modality`` is ``text`` or ``image``."""
    other = ("vision", "visual") if modality == "text" else ("text",)
    for name in [name for name, _ in model.named_children() if name.startswith(other)]:
        setattr(model, name, None)
    for name in [name for name, _ in model.named_parameters(recurse=False)]:
        delattr(model, name)


def remove_pooler(model: nn.Module) -> None:
    """Remove BERT's pooler (a dense layer, tanh): many checkpoints lack it, and then its weights are random."""
    if hasattr(getattr(model, "pooler", None), "dense") or isinstance(getattr(model, "pooler", None), nn.Linear):
        setattr(model, "pooler", None)  # noqa: B010 - torch's stubs refuse None


def enable_gradient_checkpointing(model: Any) -> None:  # noqa: ANN401
    """Turn on gradient checkpointing of a model of transformers.

    Raises:
        NotImplementedError: the model does not support it.
    """
    # transformers 5.0 renamed the method later on: gradient_ became activation_.
    enable = getattr(model, "activation_checkpointing_enable", None) or model.gradient_checkpointing_enable
    try:
        enable({"use_reentrant": False})
    except ValueError:
        raise NotImplementedError from None
    if model.main_input_name == "input_ids":
        # transformers also requires gradients of the embeddings, frozen or not; only reentrant checkpoints need that.
        model.disable_input_require_grads()


def image_input(processor: Any) -> ImageInput:  # noqa: ANN401
    """Return the image input that an image processor of transformers declares."""
    height, width, crop = _size(processor)
    # The processor scales pixels before mean and std; ImageInput expects values from 0 to 1.
    scale = 255 * processor.rescale_factor if processor.do_rescale else 255.0
    mean, std = (processor.image_mean, processor.image_std) if processor.do_normalize else ((0.0,) * 3, (1.0,) * 3)
    return ImageInput(
        height,
        width,
        "bilinear" if processor.resample == BILINEAR else "bicubic",
        _three(value / scale for value in mean),
        _three(value / scale for value in std),
        crop,
    )


def _size(processor: Any) -> tuple[int, int, float]:  # noqa: ANN401
    """Return height, width and crop; a processor that keeps proportions becomes one that crops the centre."""
    size, crop_size = dict(processor.size or {}), dict(getattr(processor, "crop_size", None) or {})
    edge = size.get("shortest_edge")
    if edge and getattr(processor, "crop_pct", None):  # ConvNeXT stretches images from 384 pixels on
        return edge, edge, 0.0 if edge >= 384 else float(processor.crop_pct)
    if crop_size and getattr(processor, "do_center_crop", False):
        height, width = crop_size["height"], crop_size["width"]
        return height, width, height / (edge or size.get("height") or height)
    if edge:
        return edge, edge, 1.0
    if not size.get("height"):
        raise UserError("it takes images of any size")
    return size["height"], size["width"], 0.0


def _three(values: Iterable[float]) -> tuple[float, float, float]:
    red, green, blue = (round(value, 9) for value in values)
    return red, green, blue

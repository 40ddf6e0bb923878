"""Models of ``transformers``, by the Hub's name or from a folder: configuration, weights, tokenizer, preprocessing."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import nn

from mmeval.errors import MissingExtraError, MissingWeightsError, UserError
from mmeval.nn.encoder import ImageInput
from mmeval.nn.encoders import stand_in
from mmeval.nn.encoders.architectures import TRANSFORMERS, Architecture
from mmeval.nn.encoders.weights import Source, fetching

NOT_ALWAYS_THERE = ("pooler", "mask_token")
"""Parts that many checkpoints lack, and no encoder uses without saying so."""
NO_CODE = {"trust_remote_code": False}
"""Left out, transformers asks on standard input, and sentence-transformers before 6 runs what is in a local folder."""
OWN_CODE = (
    "it comes with Python code of its own, which mmeval doesn't run; choose an encoder of the libraries' own classes"
)
BILINEAR = 2
"""Pillow's number of it."""


def transformers(what: str) -> Any:  # noqa: ANN401 - the module
    """The library.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        import transformers
    except ImportError:
        raise MissingExtraError(what, "transformers", "models") from None
    return transformers


def kept(found: Source) -> Architecture | None:
    """What this package itself knows of a model whose weights are to be random: then nothing is asked of the Hub.

    None where it knows nothing, and where a revision is named, whose config and tokenizer are then the Hub's.
    """
    return TRANSFORMERS.get(found.where) if found.random and not found.local and found.revision is None else None


def configuration(found: Source) -> Any:  # noqa: ANN401 - transformers' own class
    """The model's configuration.

    Raises:
        UserError: its architecture is unknown to the version that is installed, or is code of the repository.
        MissingWeightsError: it could not be had.
    """
    if architecture := kept(found):
        return architecture.config()
    with fetching(found):
        try:
            auto = transformers(found.name).AutoConfig
            return auto.from_pretrained(found.where, revision=found.revision, **NO_CODE)
        except ValueError as error:
            if "trust_remote_code" in str(error):
                raise UserError(f'"{found.name}": {OWN_CODE}.') from error
            version = transformers(found.name).__version__
            raise UserError(f'"{found.name}": transformers {version} has no such architecture.') from error


def weights(found: Source, config: Any, kind: str = "AutoModel") -> Any:  # noqa: ANN401
    """The model as float32 in evaluation mode, all of it from the checkpoint; or with weights newly drawn.

    Raises:
        UserError: ``transformers`` has no such model of this architecture.
        MissingWeightsError: its weights could not be had, or aren't those of this architecture.
    """
    made = getattr(transformers(found.name), kind)
    with fetching(found):
        try:
            if found.random:
                return made.from_config(config, dtype=torch.float32).eval()
            model, report = made.from_pretrained(
                found.where,
                config=config,
                revision=found.revision,
                dtype=torch.float32,  # else that of the checkpoint, which may be half
                output_loading_info=True,
                **NO_CODE,
            )
        except ValueError as error:
            raise UserError(f'"{found.name}": transformers has no {kind} of {config.model_type}.') from error
        except RuntimeError as error:
            raise MissingWeightsError(found.name, "they don't fit the configuration beside them.") from error
    missing = sorted(key for key in report["missing_keys"] if not any(part in key for part in NOT_ALWAYS_THERE))
    if missing:
        raise MissingWeightsError(found.name, f"the checkpoint lacks {len(missing)} of them, such as {missing[0]}.")
    return model


def tokenizer(found: Source) -> Any:  # noqa: ANN401 - transformers' own class
    """The tokenizer that was published with it; a stand-in for it where the package knows no more than its size.

    Raises:
        UserError: there is none that can be read.
        MissingExtraError: it needs a package that is not installed.
        MissingWeightsError: it could not be had.
    """
    if architecture := kept(found):
        return stand_in.tokenizer(architecture.words, architecture.vocabulary)
    with fetching(found):
        try:
            auto = transformers(found.name).AutoTokenizer
            return auto.from_pretrained(found.where, revision=found.revision, **NO_CODE)
        except ImportError as error:
            package = "sentencepiece" if "sentencepiece" in str(error).lower() else str(error.name or "tokenizers")
            raise MissingExtraError(f"The tokenizer of {found.name}", package, "models") from error
        except ValueError as error:
            raise UserError(f'"{found.name}": it comes without a tokenizer that transformers can read.') from error


def preprocessing(found: Source, config: Any) -> ImageInput:  # noqa: ANN401
    """How it wants its images, as its ``preprocessor_config.json`` says.

    Raises:
        UserError: there is none that can be read.
        MissingWeightsError: it could not be had.
    """
    architecture = kept(found)
    if architecture and architecture.images:
        return architecture.images
    with fetching(found):
        try:
            auto = transformers(found.name).AutoImageProcessor
            # Pillow's variant: it is not called, and needs no torchvision.
            read = auto.from_pretrained(found.where, revision=found.revision, config=config, backend="pil", **NO_CODE)
        except (ValueError, ImportError) as error:
            raise UserError(f'"{found.name}": it does not say how images are to be prepared.') from error
    return declared(read)


def scaling(model: Any) -> tuple[float | None, float]:  # noqa: ANN401
    """What is added to the cosines of CLIP or SigLIP, if anything is, and what they are multiplied by, as trained.

    A model on the meta device, which has sizes and no numbers, has 1 for the factor and 0 for the sum.
    """
    bias, scale = getattr(model, "logit_bias", None), model.logit_scale
    if scale.is_meta:
        return None if bias is None else 0.0, 1.0
    return None if bias is None else float(bias.detach()), float(scale.detach().exp())


def only(model: nn.Module, half: str) -> None:
    """Take the half that isn't ``text`` or ``image`` out of a model of both, and the scale between them."""
    other = ("vision", "visual") if half == "text" else ("text",)
    for name in [name for name, _ in model.named_children() if name.startswith(other)]:
        setattr(model, name, None)
    for name in [name for name, _ in model.named_parameters(recurse=False)]:
        delattr(model, name)


def without_pooler(model: nn.Module) -> None:
    """Take BERT's pooler (a dense layer, tanh) out: many checkpoints lack it, and then its weights are random."""
    if hasattr(getattr(model, "pooler", None), "dense") or isinstance(getattr(model, "pooler", None), nn.Linear):
        setattr(model, "pooler", None)  # noqa: B010 - torch's stubs refuse None


def checkpointed(model: Any) -> None:  # noqa: ANN401
    """Turn its gradient checkpointing on.

    Raises:
        NotImplementedError: it has none.
    """
    # Its name in 5.0, and later.
    enable = getattr(model, "activation_checkpointing_enable", None) or model.gradient_checkpointing_enable
    try:
        enable({"use_reentrant": False})
    except ValueError:
        raise NotImplementedError from None
    if model.main_input_name == "input_ids":
        # It also wants gradients of the embeddings, frozen or not, which only reentrant checkpoints need.
        model.disable_input_require_grads()


def declared(read: Any) -> ImageInput:  # noqa: ANN401
    """What a published preprocessor says of the images that it makes."""
    height, width, crop = _size(read)
    # Pixels go through scale, mean and std there; here they come from 0 to 1.
    scale = 255 * read.rescale_factor if read.do_rescale else 255.0
    mean, std = (read.image_mean, read.image_std) if read.do_normalize else ((0.0,) * 3, (1.0,) * 3)
    return ImageInput(
        height,
        width,
        "bilinear" if read.resample == BILINEAR else "bicubic",
        _three(value / scale for value in mean),
        _three(value / scale for value in std),
        crop,
    )


def _size(read: Any) -> tuple[int, int, float]:  # noqa: ANN401
    """Height, width and crop. Where an image would keep its proportions, the middle is cut out of it."""
    size, cut = dict(read.size or {}), dict(getattr(read, "crop_size", None) or {})
    edge = size.get("shortest_edge")
    if edge and getattr(read, "crop_pct", None):  # ConvNeXT: from 384 on it is stretched
        return edge, edge, 0.0 if edge >= 384 else float(read.crop_pct)
    if cut and getattr(read, "do_center_crop", False):
        height, width = cut["height"], cut["width"]
        return height, width, height / (edge or size.get("height") or height)
    if edge:
        return edge, edge, 1.0
    if not size.get("height"):
        raise UserError("it takes images of any size")
    return size["height"], size["width"], 0.0


def _three(values: Iterable[float]) -> tuple[float, float, float]:
    red, green, blue = (round(value, 9) for value in values)
    return red, green, blue

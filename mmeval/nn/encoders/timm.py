"""Image encoders of the library timm, each with the preprocessing that it was published with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn

from mmeval.errors import MissingExtraError, MissingWeightsError, UserError
from mmeval.fetch.hub import client_errors
from mmeval.nn.encoder import Encoded, ImageEncoder, ImageInput
from mmeval.nn.encoders.name import EncoderName
from mmeval.nn.encoders.parts import BlockPaths, block_of
from mmeval.nn.encoders.weights import WeightsSource, failure_reason, quiet, weights_source

LARGEST = 2048
"""Largest side of an image in pixels."""
UNGROUPED = "in no group"


def build_image(name: EncoderName, frozen: bool) -> ImageEncoder:  # noqa: ARG001 - built alike either way
    """Build ``timm:NAME`` with the options ``size`` and ``weights``, or ``local:PATH`` of a folder that timm wrote."""
    source = weights_source(name, "size")
    size = name.integer("size", 0, LARGEST) if "size" in name.options else None
    model = _create_model(source, size)
    encoder = TimmImage(name.full, model, _image_input(model, size))
    encoder.published = source.published
    if size:
        encoder.check_image_size()
    return encoder


class TimmImage(ImageEncoder):
    """A model of ``timm`` without its classifier.

    Tokens are patches or grid positions, without class and register tokens. ``pooled`` is the input of the classifier,
    or the mean of the tokens if that input has another width.
    """

    def __init__(self, name: str, model: Any, read: ImageInput) -> None:  # noqa: ANN401
        """``model`` was created with ``num_classes=0``; ``read`` is its input."""
        super().__init__()
        self.name, self.model, self.input, self.width = name, model, read, int(model.num_features)
        self._uses_model_pooling = getattr(model, "head_hidden_size", self.width) == self.width
        has_class_token = getattr(model, "cls_token", None) is not None
        self._prefix_tokens = int(getattr(model, "num_prefix_tokens", has_class_token))
        self._block_paths = _block_paths(model)
        if not self._uses_model_pooling:
            self._freeze_unused_parameters()

    def blocks(self) -> Sequence[nn.Module]:
        """Return the stem and each block, as timm groups them."""
        return tuple(paths.within(self.model) for paths in self._block_paths)

    def enable_gradient_checkpointing(self) -> None:
        """Turn on gradient checkpointing."""
        try:
            self.model.set_grad_checkpointing(True)
        except (AssertionError, AttributeError):
            raise NotImplementedError from None

    def encode(self, images: Tensor) -> Encoded:
        """Encode images into tokens ``[B, T, D]`` and pooled features ``[B, D]``; the mask is True everywhere."""
        model: Any = self.model
        states: Tensor = model.forward_features(self.input.normalise(images, next(model.parameters()).dtype))
        if states.ndim == 4:
            tokens = states.flatten(1, 2) if self._channels_last(states) else states.flatten(2).transpose(1, 2)
        else:
            tokens = states[:, self._prefix_tokens :]
        pooled = model.forward_head(states, pre_logits=True) if self._uses_model_pooling else tokens.mean(1)
        return Encoded.unpadded(tokens, pooled)

    def _channels_last(self, states: Tensor) -> bool:
        return states.shape[-1] == self.width and getattr(self.model, "output_fmt", "NCHW") == "NHWC"

    def _freeze_unused_parameters(self) -> None:
        """Freeze the layers after the pooling, which no output uses, so that none waits for a gradient."""
        model: Any = self.model
        blank = torch.zeros(2, 3, self.input.height, self.input.width)
        trainable = [p for p in model.parameters() if p.requires_grad]
        training = model.training
        gradients = torch.autograd.grad(model.eval().forward_features(blank).sum(), trainable, allow_unused=True)
        model.train(training)
        for p, gradient in zip(trainable, gradients, strict=True):
            p.requires_grad_(gradient is not None)


def _create_model(source: WeightsSource, size: int | None) -> Any:  # noqa: ANN401
    try:
        import timm
    except ImportError:
        raise MissingExtraError(f"The image encoder {source.name}", "timm", "models") from None

    def create(**size_option: Any) -> Any:  # noqa: ANN401
        name = f"local-dir:{source.location}" if source.local else source.location
        return timm.create_model(name, pretrained=not source.random, num_classes=0, **size_option)

    with quiet(on_hub=source.published):
        try:
            try:
                return create(img_size=size) if size else create()
            except TypeError:  # a convolutional network has no img_size, and takes any
                return create()
        except client_errors() as error:
            raise MissingWeightsError(source.name, failure_reason(error, source)) from error
        except RuntimeError as error:
            raise UserError(f'"{source.name}": timm says: {str(error).splitlines()[0].rstrip(".")}.') from error


def _image_input(model: Any, size: int | None) -> ImageInput:  # noqa: ANN401
    """Return the input of timm's data configuration, whose crop mode "squash" stretches the whole image."""
    from timm import data

    config: dict[str, Any] = data.resolve_model_data_config(model)  # type: ignore[attr-defined, no-untyped-call]
    _, height, width = config["input_size"]
    interpolation: Literal["bilinear", "bicubic"] = "bilinear" if config["interpolation"] == "bilinear" else "bicubic"
    return ImageInput(
        size or height,
        size or width,
        interpolation,
        tuple(config["mean"]),
        tuple(config["std"]),
        0.0 if config["crop_mode"] == "squash" else float(config["crop_pct"]),
    )


def _block_paths(model: Any) -> tuple[BlockPaths, ...]:  # noqa: ANN401
    """Return the blocks as timm groups them, without the parameters in no group; empty if timm defines no groups."""
    from timm.models._manipulate import group_with_matcher

    try:
        matcher = model.group_matcher(coarse=False)
    except (AttributeError, NotImplementedError):
        return ()
    # timm puts ungrouped parameters into one last group, which is identified by a name that no parameter has.
    names = [*((name, None) for name, _ in model.named_parameters()), (UNGROUPED, None)]
    groups = group_with_matcher(iter(names), matcher)
    return tuple(block_of(model, group) for _, group in sorted(groups.items()) if UNGROUPED not in group)

"""Image encoders of ``timm``: some thousand, with the input that each was published with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn

from mmeval.errors import MissingExtraError, MissingWeightsError, UserError
from mmeval.fetch.hub import client_errors
from mmeval.nn.encoder import Encoded, ImageEncoder, ImageInput
from mmeval.nn.encoders.name import Named
from mmeval.nn.encoders.parts import Place, place
from mmeval.nn.encoders.weights import Source, quiet, source, why

LARGEST = 2048
"""Pixels."""
NOWHERE = "in no group"


def image(named: Named, frozen: bool) -> ImageEncoder:  # noqa: ARG001 - made alike either way
    """``timm:NAME``, with the options ``size`` and ``weights``; ``local:PATH`` of a folder that timm wrote."""
    found = source(named, "size")
    size = named.number("size", 0, LARGEST) if "size" in named.options else None
    model = _made(found, size)
    made = TimmImage(named.full, model, _declared(model, size))
    made.published = found.published
    if size:
        made.try_out()
    return made


class TimmImage(ImageEncoder):
    """A model of ``timm`` without its classifier.

    Tokens are patches or grid positions, without class and register tokens; ``pooled`` is what the classifier would
    read, or the mean of the tokens where that has another width.
    """

    def __init__(self, name: str, model: Any, read: ImageInput) -> None:  # noqa: ANN401
        """``model`` is made with ``num_classes=0``."""
        super().__init__()
        self.name, self.model, self.input, self.width = name, model, read, int(model.num_features)
        self._own_pooling = getattr(model, "head_hidden_size", self.width) == self.width
        has_class_token = getattr(model, "cls_token", None) is not None
        self._ahead = int(getattr(model, "num_prefix_tokens", has_class_token))
        self._places = _places(model)
        if not self._own_pooling:
            self._still_head()

    def blocks(self) -> Sequence[nn.Module]:
        """The stem, then each block, as timm itself groups them."""
        return tuple(one.within(self.model) for one in self._places)

    def checkpoint(self) -> None:
        """Turn gradient checkpointing on."""
        try:
            self.model.set_grad_checkpointing(True)
        except (AssertionError, AttributeError):
            raise NotImplementedError from None

    def encode(self, images: Tensor) -> Encoded:
        """Pixels -> tokens ``[B, T, D]``, all of them there, and the pooled features."""
        model: Any = self.model
        states: Tensor = model.forward_features(self.input.normalise(images, next(model.parameters()).dtype))
        if states.ndim == 4:
            tokens = states.flatten(1, 2) if self._channels_last(states) else states.flatten(2).transpose(1, 2)
        else:
            tokens = states[:, self._ahead :]
        pooled = model.forward_head(states, pre_logits=True) if self._own_pooling else tokens.mean(1)
        return Encoded(tokens, torch.ones(tokens.shape[:2], dtype=torch.bool, device=tokens.device), pooled)

    def _channels_last(self, states: Tensor) -> bool:
        return states.shape[-1] == self.width and getattr(self.model, "output_fmt", "NCHW") == "NHWC"

    def _still_head(self) -> None:
        """What comes after the pooling is in no output, and must not wait for gradients."""
        model: Any = self.model
        blank = torch.zeros(2, 3, self.input.height, self.input.width)
        learning = [p for p in model.parameters() if p.requires_grad]
        was = model.training
        reached = torch.autograd.grad(model.eval().forward_features(blank).sum(), learning, allow_unused=True)
        model.train(was)
        for p, gradient in zip(learning, reached, strict=True):
            p.requires_grad_(gradient is not None)


def _made(found: Source, size: int | None) -> Any:  # noqa: ANN401
    try:
        import timm
    except ImportError:
        raise MissingExtraError(f"The image encoder {found.name}", "timm", "models") from None

    def make(**sized: Any) -> Any:  # noqa: ANN401
        name = f"local-dir:{found.where}" if found.local else found.where
        return timm.create_model(name, pretrained=not found.random, num_classes=0, **sized)

    with quiet(on_hub=found.published):
        try:
            try:
                return make(img_size=size) if size else make()
            except TypeError:  # a convolutional network, which takes any size
                return make()
        except client_errors() as error:
            raise MissingWeightsError(found.name, why(error, found)) from error
        except RuntimeError as error:
            raise UserError(f'"{found.name}": timm says: {str(error).splitlines()[0].rstrip(".")}.') from error


def _declared(model: Any, size: int | None) -> ImageInput:  # noqa: ANN401
    """What ``timm`` resolves from the published configuration; its mode "squash" stretches the image."""
    from timm import data

    read: dict[str, Any] = data.resolve_model_data_config(model)  # type: ignore[attr-defined, no-untyped-call]
    _, height, width = read["input_size"]
    interpolation: Literal["bilinear", "bicubic"] = "bilinear" if read["interpolation"] == "bilinear" else "bicubic"
    return ImageInput(
        size or height,
        size or width,
        interpolation,
        tuple(read["mean"]),
        tuple(read["std"]),
        0.0 if read["crop_mode"] == "squash" else float(read["crop_pct"]),
    )


def _places(model: Any) -> tuple[Place, ...]:  # noqa: ANN401
    from timm.models._manipulate import group_with_matcher

    try:
        matcher = model.group_matcher(coarse=False)
    except (AttributeError, NotImplementedError):
        return ()
    # Last of all timm puts what is in no group; a name that surely isn't tells which group that is.
    names = [*((name, None) for name, _ in model.named_parameters()), (NOWHERE, None)]
    groups = group_with_matcher(iter(names), matcher)
    return tuple(place(model, group) for _, group in sorted(groups.items()) if NOWHERE not in group)

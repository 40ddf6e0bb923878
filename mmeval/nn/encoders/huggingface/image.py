"""Image encoders of ``transformers``: ViT, DINOv2, Swin, ResNet, ..., and the image towers of CLIP and SigLIP."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from mmeval.errors import UserError
from mmeval.nn.encoder import Encoded, ImageEncoder, ImageInput
from mmeval.nn.encoders.huggingface import pretrained
from mmeval.nn.encoders.name import Named
from mmeval.nn.encoders.parts import by_layers
from mmeval.nn.encoders.weights import source

LARGEST = 2048
"""Pixels."""


def image(named: Named, frozen: bool) -> ImageEncoder:  # noqa: ARG001 - made alike either way
    """``hf:OWNER/NAME``, with the options ``size``, ``revision`` and ``weights``."""
    found = source(named, "size")
    pretrained.transformers(f"The image encoder {named.full}")
    config = pretrained.configuration(found)
    half = getattr(config, "vision_config", config)
    # NaFlex reads images of any proportions, as rows of patches.
    if hasattr(half, "num_patches") or not (hasattr(half, "image_size") or hasattr(half, "hidden_sizes")):
        raise UserError(f'"{named.full}": {config.model_type} reads no images of a fixed size.')
    read = pretrained.preprocessing(found, config)
    model = pretrained.weights(found, config)
    if hasattr(config, "vision_config") and not hasattr(model, "get_image_features"):
        raise UserError(f'"{named.full}": {config.model_type} has no image features of its own.')
    made = HubImage(named.full, model, _asked(named, read, half))
    made.published = found.published
    if "size" in named.options:
        made.try_out()
    return made


class HubImage(ImageEncoder):
    """A vision model of ``transformers``, or the image half of CLIP, SigLIP and their like.

    Tokens are patches or positions, without class and register tokens. ``pooled`` is what the model itself makes of
    an image: CLIP's and SigLIP's image features, ViT's class token behind the last norm, ResNet's average.
    """

    def __init__(self, name: str, model: nn.Module, read: ImageInput) -> None:
        """Of a ``model`` with two halves that of texts is dropped."""
        super().__init__()
        self.name, self.model, self.input = name, model, read
        pretrained.only(model, "image")
        pretrained.without_pooler(model)
        for path, p in model.named_parameters():
            if path.endswith("mask_token"):  # for training on masked patches alone
                p.requires_grad_(False)
        config: Any = model.config
        half = getattr(config, "vision_config", config)
        projection = getattr(model, "visual_projection", None)
        sizes = getattr(half, "hidden_sizes", None)
        self.width = int(projection.out_features if projection else sizes[-1] if sizes else half.hidden_size)
        patch = getattr(half, "patch_size", None)
        # Of a model whose grid shrinks there is no class token, and fewer tokens than patches.
        self._patches = (read.height // patch) * (read.width // patch) if isinstance(patch, int) else read.height**2
        can = inspect.signature(self._features).parameters
        bends = "interpolate_pos_encoding" in can and getattr(half, "image_size", None) != read.height
        self._how = {"interpolate_pos_encoding": True} if bends else {}
        self._places = by_layers(model)

    def blocks(self) -> Sequence[nn.Module]:
        """Embeddings or stem, then each layer, or each stage of a network that has stages."""
        return tuple(place.within(self.model) for place in self._places)

    def checkpoint(self) -> None:
        """Turn gradient checkpointing on."""
        tower = getattr(self.model, "vision_model", None)
        # A model of both halves would look for its words.
        pretrained.checkpointed(tower if hasattr(tower, "gradient_checkpointing_enable") else self.model)

    def encode(self, images: Tensor) -> Encoded:
        """Pixels -> patches ``[B, T, D]``, all of them there, and the model's own pooled features."""
        out = self._features(
            pixel_values=self.input.normalise(images, next(self.model.parameters()).dtype), **self._how
        )
        if torch.is_tensor(out):  # image features in transformers before 5
            return _whole(out[:, None], out)
        states: Tensor = out.last_hidden_state
        if states.ndim == 4:
            tokens = states.flatten(2).transpose(1, 2)
        else:
            tokens = self._in_space(states[:, max(states.shape[1] - self._patches, 0) :])
        if out.pooler_output is not None:
            return _whole(tokens, out.pooler_output.flatten(1))
        return _whole(tokens, states[:, 0] if states.ndim == 3 and states.shape[1] > self._patches else tokens.mean(1))

    @property
    def _features(self) -> Any:  # noqa: ANN401
        return getattr(self.model, "get_image_features", self.model.forward)

    def _in_space(self, states: Tensor) -> Tensor:
        """CLIP norms and projects its class token alone; its patches are brought to the same place."""
        model: Any = self.model
        if getattr(model, "visual_projection", None) is None:
            return states
        projected: Tensor = model.visual_projection(model.vision_model.post_layernorm(states))
        return projected


def _whole(tokens: Tensor, pooled: Tensor) -> Encoded:
    return Encoded(tokens, torch.ones(tokens.shape[:2], dtype=torch.bool, device=tokens.device), pooled)


def _asked(named: Named, read: ImageInput, config: Any) -> ImageInput:  # noqa: ANN401
    if "size" not in named.options:
        return read
    size, patch = named.number("size", read.height, LARGEST), getattr(config, "patch_size", 1)
    if isinstance(patch, int) and size % patch:
        raise UserError(f'"{named.full}": size={size}; write a multiple of its patches of {patch} pixels.')
    return replace(read, height=size, width=size)

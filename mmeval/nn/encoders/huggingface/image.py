"""Image encoders of ``transformers``: ViT, DINOv2, Swin, ResNet, and the image towers of CLIP and SigLIP."""

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
from mmeval.nn.encoders.name import EncoderName
from mmeval.nn.encoders.parts import blocks_by_layer
from mmeval.nn.encoders.weights import weights_source

LARGEST = 2048
"""Largest side of an image in pixels."""


def build_image(name: EncoderName, frozen: bool) -> ImageEncoder:  # noqa: ARG001 - built alike either way
    """Build ``hf:OWNER/NAME``, with the options ``size``, ``revision`` and ``weights``."""
    source = weights_source(name, "size")
    pretrained.transformers(f"The image encoder {name.full}")
    config = pretrained.configuration(source)
    vision_config = getattr(config, "vision_config", config)
    # NaFlex (SigLIP 2) takes images of any proportions, as rows of patches.
    any_size = hasattr(vision_config, "num_patches")
    if any_size or not (hasattr(vision_config, "image_size") or hasattr(vision_config, "hidden_sizes")):
        raise UserError(f'"{name.full}": {config.model_type} takes no images of a fixed size.')
    read = pretrained.preprocessing(source, config)
    model = pretrained.weights(source, config)
    if hasattr(config, "vision_config") and not hasattr(model, "get_image_features"):
        raise UserError(f'"{name.full}": {config.model_type} has no image features of its own.')
    encoder = HubImage(name.full, model, _with_size(name, read, vision_config))
    encoder.published = source.published
    if "size" in name.options:
        encoder.check_image_size()
    return encoder


class HubImage(ImageEncoder):
    """A vision model of ``transformers``, or the image tower of CLIP, SigLIP and similar models.

    Tokens are patches or positions, without class and register tokens. ``pooled`` is the model's own image vector:
    CLIP's and SigLIP's image features, ViT's class token after the last norm, ResNet's average.
    """

    def __init__(self, name: str, model: nn.Module, read: ImageInput) -> None:
        """Wrap ``model``, in place; the text tower of a model with two towers is removed."""
        super().__init__()
        self.name, self.model, self.input = name, model, read
        pretrained.keep_tower(model, "image")
        pretrained.remove_pooler(model)
        for path, p in model.named_parameters():
            if path.endswith("mask_token"):  # used only in pretraining on masked patches
                p.requires_grad_(False)
        config: Any = model.config
        vision_config = getattr(config, "vision_config", config)
        projection = getattr(model, "visual_projection", None)
        sizes = getattr(vision_config, "hidden_sizes", None)
        self.width = int(projection.out_features if projection else sizes[-1] if sizes else vision_config.hidden_size)
        patch = getattr(vision_config, "patch_size", None)
        # A model whose grid shrinks has no class token, and fewer tokens than this number.
        self._patches = (read.height // patch) * (read.width // patch) if isinstance(patch, int) else read.height**2
        parameters = inspect.signature(self._features).parameters
        other_size = getattr(vision_config, "image_size", None) != read.height
        interpolates = "interpolate_pos_encoding" in parameters and other_size
        self._options = {"interpolate_pos_encoding": True} if interpolates else {}
        self._block_paths = blocks_by_layer(model)

    def blocks(self) -> Sequence[nn.Module]:
        """Return the embeddings or stem, then each layer, or each stage of a network with stages."""
        return tuple(paths.within(self.model) for paths in self._block_paths)

    def enable_gradient_checkpointing(self) -> None:
        """Turn on gradient checkpointing."""
        tower = getattr(self.model, "vision_model", None)
        # A model with two towers would look for its word embeddings.
        pretrained.enable_gradient_checkpointing(
            tower if hasattr(tower, "gradient_checkpointing_enable") else self.model
        )

    def encode(self, images: Tensor) -> Encoded:
        """Encode images into patches ``[B, T, D]`` and the model's own image vector; the mask is True everywhere."""
        out = self._features(
            pixel_values=self.input.normalise(images, next(self.model.parameters()).dtype), **self._options
        )
        if torch.is_tensor(out):  # image features in transformers before 5
            return Encoded.unpadded(out[:, None], out)
        states: Tensor = out.last_hidden_state
        if states.ndim == 4:
            tokens = states.flatten(2).transpose(1, 2)
        else:
            tokens = self._project(states[:, max(states.shape[1] - self._patches, 0) :])
        if out.pooler_output is not None:
            return Encoded.unpadded(tokens, out.pooler_output.flatten(1))
        has_class_token = states.ndim == 3 and states.shape[1] > self._patches
        return Encoded.unpadded(tokens, states[:, 0] if has_class_token else tokens.mean(1))

    @property
    def _features(self) -> Any:  # noqa: ANN401
        return getattr(self.model, "get_image_features", self.model.forward)

    def _project(self, states: Tensor) -> Tensor:
        """Return CLIP's patches in the joint space, normed and projected as CLIP does with its class token alone."""
        model: Any = self.model
        if getattr(model, "visual_projection", None) is None:
            return states
        projected: Tensor = model.visual_projection(model.vision_model.post_layernorm(states))
        return projected


def _with_size(name: EncoderName, read: ImageInput, config: Any) -> ImageInput:  # noqa: ANN401
    if "size" not in name.options:
        return read
    size, patch = name.integer("size", read.height, LARGEST), getattr(config, "patch_size", 1)
    if isinstance(patch, int) and size % patch:
        raise UserError(f'"{name.full}": size={size}; write a multiple of its patches of {patch} pixels.')
    return replace(read, height=size, width=size)

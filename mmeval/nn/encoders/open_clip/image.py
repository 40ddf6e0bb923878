"""Image towers of ``open_clip``: its vision transformer, CLIP's ResNet, and models of timm."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmeval.errors import UserError
from mmeval.files import digest
from mmeval.nn.encoder import Encoded, ImageEncoder, ImageInput
from mmeval.nn.encoders.parts import block_of


def image_tower(name: str, visual: nn.Module, width: int, hidden: bool) -> OpenClipImage:
    """Return the encoder for an image tower.

    Args:
        name: the encoder's name.
        visual: ``model.visual``, which is changed in place.
        width: the width of the joint space.
        hidden: whether to return the states before the projection (``space=hidden``).

    Raises:
        UserError: the class of the tower, or its way to resize images, is not supported.
    """
    from open_clip.modified_resnet import ModifiedResNet
    from open_clip.timm_model import TimmModel
    from open_clip.transformer import VisionTransformer

    known: dict[type[nn.Module], Callable[[str, nn.Module, int, bool], OpenClipImage]]
    known = {VisionTransformer: VitTower, ModifiedResNet: ResNetTower, TimmModel: TimmTower}
    if type(visual) not in known:
        raise UserError(f'"{name}": {type(visual).__name__} is no image tower that mmeval supports.')
    return known[type(visual)](name, visual, width, hidden)


def _input(name: str, config: dict[str, Any]) -> ImageInput:
    """Return the image input for ``preprocess_cfg`` of open_clip."""
    size, mode = config["size"], config["resize_mode"]
    height, width = (size, size) if isinstance(size, int) else size
    if mode not in ("shortest", "squash"):
        raise UserError(
            f'"{name}" needs images resized by "{mode}", which mmeval does not support; shortest and squash are.'
        )
    mean, std = ((float(r), float(g), float(b)) for r, g, b in (config["mean"], config["std"]))
    crop = 1.0 if mode == "shortest" else 0.0
    return ImageInput(height, width, config["interpolation"], mean, std, crop)


class OpenClipImage(ImageEncoder):
    """Base of image towers; tokens exclude the class token, and nothing is normalised to length 1."""

    input: ImageInput
    logit_scale: float
    """Factor of the cosines, as trained."""
    logit_bias: float | None
    """Added to the scaled cosines (SigLIP); None without a bias."""
    architecture: str = ""
    """The model's configuration as JSON; it is part of the digest because weights show neither activation nor heads."""

    def __init__(self, name: str, visual: nn.Module, width: int, hidden: bool) -> None:
        """Wrap ``visual``; the arguments are those of :func:`image_tower`."""
        super().__init__()
        self.name, self.width, self.hidden = name, width, hidden
        self.visual: Any = visual
        self.input = _input(name, getattr(visual, "preprocess_cfg", {}))
        if hidden:
            self.width = self._unproject()

    @abstractmethod
    def _unproject(self) -> int:
        """Remove the projection; returns the width of the states before it."""

    @abstractmethod
    def _states(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Return tokens and pooled vectors of normalised images."""

    def encode(self, images: Tensor) -> Encoded:
        """Encode images into tokens and pooled vectors, both in the joint space unless ``space=hidden``."""
        tokens, pooled = self._states(self.input.normalise(images, next(self.visual.parameters()).dtype))
        return Encoded.unpadded(tokens, pooled)

    def _digest(self) -> str:
        return digest(super()._digest(), self.architecture)

    def _stem(self, *names: str) -> nn.Module:
        parameters = [n for n, _ in self.visual.named_parameters() if n.split(".")[0] in names]
        return block_of(self.visual, parameters).within(self.visual)


class VitTower(OpenClipImage):
    """A vision transformer; ``pooled`` comes from the class token, the mean, or CoCa's contrastive query.

    Tokens are the patches, or CoCa's 255 caption queries.
    """

    def __init__(self, name: str, visual: nn.Module, width: int, hidden: bool) -> None:
        """Wrap ``visual``; the arguments are those of :func:`image_tower`."""
        super().__init__(name, visual, width, hidden)
        self.visual.output_tokens = True

    def _unproject(self) -> int:
        self.visual.proj = None
        return int(self.visual.ln_post.weight.shape[0])

    def blocks(self) -> Sequence[nn.Module]:
        """Return the embeddings, then each layer."""
        stem = self._stem("conv1", "class_embedding", "positional_embedding", "ln_pre")
        return (stem, *self.visual.transformer.resblocks)

    def enable_gradient_checkpointing(self) -> None:
        """Turn on gradient checkpointing."""
        self.visual.set_grad_checkpointing(True)

    def _states(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        visual = self.visual
        pooled, tokens = visual(pixels)  # pooled is projected, tokens never are
        if visual.attn_pool is None and visual.final_ln_after_pool:
            tokens = visual.ln_post(tokens)
        return tokens if visual.proj is None else tokens @ visual.proj, pooled


class ResNetTower(OpenClipImage):
    """CLIP's ResNet; its attention pooling, queried at each position, gives the tokens, and at the mean ``pooled``."""

    def _unproject(self) -> int:
        width = int(self.visual.attnpool.c_proj.in_features)
        self.visual.attnpool.c_proj = nn.Identity()
        return width

    def blocks(self) -> Sequence[nn.Module]:
        """Return the stem, then each bottleneck."""
        stages = (self.visual.layer1, self.visual.layer2, self.visual.layer3, self.visual.layer4)
        return (self._stem("conv1", "bn1", "conv2", "bn2", "conv3", "bn3"), *(b for stage in stages for b in stage))

    def _states(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        visual, pool = self.visual, self.visual.attnpool
        maps = visual.layer4(visual.layer3(visual.layer2(visual.layer1(visual.stem(pixels)))))
        x = maps.flatten(2).transpose(1, 2)  # [B, N, C]
        x = torch.cat([x.mean(1, keepdim=True), x], 1) + pool.positional_embedding.to(x.dtype)
        q, k, v = (
            p(x).unflatten(2, (pool.num_heads, -1)).transpose(1, 2) for p in (pool.q_proj, pool.k_proj, pool.v_proj)
        )
        out = pool.c_proj(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))
        return out[:, 1:], out[:, 0]


class TimmTower(OpenClipImage):
    """A model of timm: SigLIP, ConvNeXt, EVA, MobileCLIP, PE.

    SigLIP pools by attention and has no projection, so its joint space is that of its states, and these are its tokens.
    """

    def __init__(self, name: str, visual: nn.Module, width: int, hidden: bool) -> None:
        """Wrap ``visual``; the arguments are those of :func:`image_tower`.

        Raises:
            UserError: open_clip added a pooling head, which can't be applied to single tokens.
        """
        super().__init__(name, visual, width, hidden)
        if hasattr(self.visual.head, "pool"):
            raise UserError(f'"{name}": its image tower has a pooling head, which mmeval does not support.')

    def _unproject(self) -> int:
        self.visual.trunk.reset_classifier(0)
        self.visual.head = nn.Identity()
        return int(self.visual.trunk.num_features)

    def blocks(self) -> Sequence[nn.Module]:
        """Return the stem, then each stage or layer, as timm groups them."""
        from timm.models import group_parameters

        trunk = self.visual.trunk
        groups = group_parameters(trunk, trunk.group_matcher(coarse=False))
        # The last norm and pooling form a group whose names have no number.
        layers = [names for _, names in sorted(groups.items()) if _numbered(names)]
        first = groups[min(groups)]
        return tuple(block_of(trunk, names).within(trunk) for names in ([] if first in layers else [first]) + layers)

    def enable_gradient_checkpointing(self) -> None:
        """Turn gradient checkpointing on.

        Raises:
            NotImplementedError: this model does not support it.
        """
        try:
            self.visual.trunk.set_grad_checkpointing(True)
        except (AssertionError, AttributeError):
            raise NotImplementedError from None

    def _states(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        trunk, head = self.visual.trunk, self.visual.head
        states = trunk.forward_features(pixels)
        pooled = head(trunk.forward_head(states))
        if states.ndim == 3:
            tokens = states[:, trunk.num_prefix_tokens :]
            return head(trunk.get_classifier()(trunk.fc_norm(tokens))), pooled
        channels_last = getattr(trunk, "output_fmt", "NCHW") == "NHWC"
        flat = states.flatten(1, 2) if channels_last else states.flatten(2).transpose(1, 2)  # [B, N, C]
        # Each position is pooled as an image of one position, whose mean is itself; norm and projection follow.
        single = flat.flatten(0, 1)
        single = single[:, None, None] if channels_last else single[:, :, None, None]
        return head(trunk.forward_head(single)).unflatten(0, flat.shape[:2]), pooled


def _numbered(names: Sequence[str]) -> bool:
    return any(part.isdecimal() for name in names for part in name.split("."))

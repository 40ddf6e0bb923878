"""Image towers of ``open_clip``: its own vision transformer, CLIP's ResNet, and those of timm."""

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
from mmeval.nn.encoders.parts import place


def image_tower(name: str, visual: nn.Module, width: int, hidden: bool) -> OpenClipImage:
    """The encoder over one image tower.

    Args:
        name: the encoder's.
        visual: ``model.visual``; it is changed.
        width: of the joint space.
        hidden: whether states before the projection are wanted.

    Raises:
        UserError: it is no tower that we know, or images are to be resized as we can't.
    """
    from open_clip.modified_resnet import ModifiedResNet
    from open_clip.timm_model import TimmModel
    from open_clip.transformer import VisionTransformer

    known: dict[type[nn.Module], Callable[[str, nn.Module, int, bool], OpenClipImage]]
    known = {VisionTransformer: VitTower, ModifiedResNet: ResNetTower, TimmModel: TimmTower}
    if type(visual) not in known:
        raise UserError(f'"{name}": {type(visual).__name__} is no image tower that mmeval knows.')
    return known[type(visual)](name, visual, width, hidden)


def _input(name: str, prepared: dict[str, Any]) -> ImageInput:
    """What ``open_clip`` keeps beside a tower about its images, in our words."""
    size, mode = prepared["size"], prepared["resize_mode"]
    height, width = (size, size) if isinstance(size, int) else size
    if mode not in ("shortest", "squash"):
        raise UserError(
            f'"{name}" wants images resized by "{mode}", which mmeval can\'t; it can by shortest or squash.'
        )
    mean, std = ((float(r), float(g), float(b)) for r, g, b in (prepared["mean"], prepared["std"]))
    crop = 1.0 if mode == "shortest" else 0.0
    return ImageInput(height, width, prepared["interpolation"], mean, std, crop)


class OpenClipImage(ImageEncoder):
    """An image tower; tokens are without the class token, nothing is normalised to length 1."""

    input: ImageInput
    logit_scale: float
    """What cosines are multiplied by, as trained."""
    logit_bias: float | None
    """What is then added (SigLIP)."""
    architecture: str = ""
    """The model's configuration, as JSON: activation and heads are in no weight."""

    def __init__(self, name: str, visual: nn.Module, width: int, hidden: bool) -> None:
        """Take ``visual``; see :func:`image_tower`."""
        super().__init__()
        self.name, self.width, self.hidden = name, width, hidden
        self.visual: Any = visual
        self.input = _input(name, getattr(visual, "preprocess_cfg", {}))
        if hidden:
            self.width = self._unproject()

    @abstractmethod
    def _unproject(self) -> int:
        """Take the projection away; the width of what is left."""

    @abstractmethod
    def _states(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Tokens and pooled."""

    def encode(self, images: Tensor) -> Encoded:
        """uint8 ``[B, 3, H, W]`` -> tokens and pooled, both in the joint space unless ``space=hidden``."""
        tokens, pooled = self._states(self.input.normalise(images, next(self.visual.parameters()).dtype))
        return Encoded(tokens, torch.ones(tokens.shape[:2], dtype=torch.bool, device=tokens.device), pooled)

    def _digest(self) -> str:
        return digest(super()._digest(), self.architecture)

    def _stem(self, *names: str) -> nn.Module:
        has = [n for n, _ in self.visual.named_parameters() if n.split(".")[0] in names]
        return place(self.visual, has).within(self.visual)


class VitTower(OpenClipImage):
    """Vision transformer; ``pooled`` is of the class token, of the mean, or of CoCa's contrastive query.

    Its tokens are the patches; those of CoCa its 255 queries for captions.
    """

    def __init__(self, name: str, visual: nn.Module, width: int, hidden: bool) -> None:
        """As the base."""
        super().__init__(name, visual, width, hidden)
        self.visual.output_tokens = True

    def _unproject(self) -> int:
        self.visual.proj = None
        return int(self.visual.ln_post.weight.shape[0])

    def blocks(self) -> Sequence[nn.Module]:
        """Embeddings, then each layer."""
        stem = self._stem("conv1", "class_embedding", "positional_embedding", "ln_pre")
        return (stem, *self.visual.transformer.resblocks)

    def checkpoint(self) -> None:
        """Turn gradient checkpointing on."""
        self.visual.set_grad_checkpointing(True)

    def _states(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        visual = self.visual
        pooled, tokens = visual(pixels)  # pooled is projected, tokens never are
        if visual.attn_pool is None and visual.final_ln_after_pool:
            tokens = visual.ln_post(tokens)
        return tokens if visual.proj is None else tokens @ visual.proj, pooled


class ResNetTower(OpenClipImage):
    """CLIP's ResNet; its attention pooling is asked for each place, of which the mean alone is ``pooled``."""

    def _unproject(self) -> int:
        width = int(self.visual.attnpool.c_proj.in_features)
        self.visual.attnpool.c_proj = nn.Identity()
        return width

    def blocks(self) -> Sequence[nn.Module]:
        """The stem, then each bottleneck."""
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
    """A trunk of timm: SigLIP, ConvNeXt, EVA, MobileCLIP, PE.

    Where attention pools (SigLIP) and nothing projects, the joint space is that of the states, and tokens are these.
    """

    def __init__(self, name: str, visual: nn.Module, width: int, hidden: bool) -> None:
        """As the base.

        Raises:
            UserError: pooling is in the head that open_clip adds; tokens can't be told from it.
        """
        super().__init__(name, visual, width, hidden)
        if hasattr(self.visual.head, "pool"):
            raise UserError(f'"{name}": its image tower pools in a way that mmeval can\'t take apart.')

    def _unproject(self) -> int:
        self.visual.trunk.reset_classifier(0)
        self.visual.head = nn.Identity()
        return int(self.visual.trunk.num_features)

    def blocks(self) -> Sequence[nn.Module]:
        """The stem, then each stage or layer, as timm groups them."""
        from timm.models import group_parameters

        trunk = self.visual.trunk
        groups = group_parameters(trunk, trunk.group_matcher(coarse=False))
        # Norm and pooling come last, in a group without a number.
        layers = [names for _, names in sorted(groups.items()) if _numbered(names)]
        first = groups[min(groups)]
        return tuple(place(trunk, names).within(trunk) for names in ([] if first in layers else [first]) + layers)

    def checkpoint(self) -> None:
        """Turn gradient checkpointing on.

        Raises:
            NotImplementedError: this trunk has none.
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
        # Each place as if it were the whole image: the mean of one is itself; norm and projection follow.
        alone = flat.flatten(0, 1)
        alone = alone[:, None, None] if channels_last else alone[:, :, None, None]
        return head(trunk.forward_head(alone)).unflatten(0, flat.shape[:2]), pooled


def _numbered(names: Sequence[str]) -> bool:
    return any(part.isdecimal() for name in names for part in name.split("."))

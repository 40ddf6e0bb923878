"""Image towers of ``open_clip`` whose trunk is timm's: SigLIP, ConvNeXt, EVA, MobileCLIP, PE."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from mmeval.errors import UserError
from mmeval.nn.encoders.open_clip_image import OpenClipImage
from mmeval.nn.encoders.parts import place


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
        # Each place as if it were the whole picture: the mean of one is itself; norm and projection follow.
        alone = flat.flatten(0, 1)
        alone = alone[:, None, None] if channels_last else alone[:, :, None, None]
        return head(trunk.forward_head(alone)).unflatten(0, flat.shape[:2]), pooled


def _numbered(names: Sequence[str]) -> bool:
    return any(part.isdecimal() for name in names for part in name.split("."))

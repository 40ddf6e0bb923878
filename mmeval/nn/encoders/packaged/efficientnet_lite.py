"""The network EfficientNet-Lite0, a mobile CNN."""

from __future__ import annotations

from copy import deepcopy
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

FEATURES = 1280


class _Stage(NamedTuple):
    """A stage of inverted residuals; ``expand`` is the factor of the hidden channels."""

    repeats: int
    kernel: int
    stride: int
    expand: int
    inputs: int
    outputs: int


# EfficientNet-B0's stages (arXiv 1905.11946, table 1). "Lite" drops squeeze-and-excite and uses ReLU6 for swish.
STAGES = (
    _Stage(1, 3, 1, 1, 32, 16),
    _Stage(2, 3, 2, 6, 16, 24),
    _Stage(2, 5, 2, 6, 24, 40),
    _Stage(3, 3, 2, 6, 40, 80),
    _Stage(3, 5, 1, 6, 80, 112),
    _Stage(4, 5, 2, 6, 112, 192),
    _Stage(1, 3, 1, 6, 192, 320),
)


def _norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=1e-3, momentum=0.01)


class _SameConv(nn.Conv2d):
    """A convolution with TensorFlow's SAME padding, as in training: an odd pixel is padded at the end."""

    def forward(self, x: Tensor) -> Tensor:
        pads: list[int] = []
        for size, kernel, stride in zip(x.shape[:1:-1], self.kernel_size[::-1], self.stride[::-1], strict=True):
            total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
            pads += [total // 2, total - total // 2]
        return F.conv2d(F.pad(x, pads), self.weight, self.bias, self.stride, groups=self.groups)


class _InvertedResidual(nn.Module):
    """Inverted residual: 1x1 expand, depthwise, 1x1 project. Parameter names are those of the published state dict."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, expand: int) -> None:
        super().__init__()
        hidden = inputs * expand
        if expand != 1:
            self._expand_conv = _SameConv(inputs, hidden, 1, bias=False)
            self._bn0 = _norm(hidden)
        self._depthwise_conv = _SameConv(hidden, hidden, kernel, stride, groups=hidden, bias=False)
        self._bn1 = _norm(hidden)
        self._project_conv = _SameConv(hidden, outputs, 1, bias=False)
        self._bn2 = _norm(outputs)
        self.expands = expand != 1
        self.residual = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu6(self._bn0(self._expand_conv(x))) if self.expands else x
        y = F.relu6(self._bn1(self._depthwise_conv(y)))
        out: Tensor = self._bn2(self._project_conv(y))
        return x + out if self.residual else out


class EfficientNetLite0(nn.Module):
    """EfficientNet-Lite0 without its classifier: images ``[B, 3, H, W]`` to feature maps ``[B, 1280, h, w]``.

    Source: EfficientNet (arXiv 1905.11946) with the Lite changes of TensorFlow's model garden; 4.65 M parameters
    with the classifier, 3.37 M without. Pixels are normalised by ``(x - 127) / 128``; ``h = ceil(H / 32)``.
    """

    def __init__(self) -> None:
        super().__init__()
        self._conv_stem = _SameConv(3, 32, 3, 2, bias=False)
        self._bn0 = _norm(32)
        self._blocks = nn.Sequential(
            *(
                _InvertedResidual(
                    s.inputs if first else s.outputs, s.outputs, s.kernel, s.stride if first else 1, s.expand
                )
                for s in STAGES
                for first in [True, *[False] * (s.repeats - 1)]
            )
        )
        self._conv_head = _SameConv(320, FEATURES, 1, bias=False)
        self._bn1 = _norm(FEATURES)

    def forward(self, x: Tensor) -> Tensor:
        """Return the feature maps of normalised pixels."""
        x = F.relu6(self._bn0(self._conv_stem(x)))
        maps: Tensor = F.relu6(self._bn1(self._conv_head(self._blocks(x))))
        return maps

    def load_published(self, state: dict[str, Tensor]) -> None:
        """Load the published checkpoint, except for its classifier ``_fc``."""
        self.load_state_dict({k: v for k, v in state.items() if not k.startswith("_fc.")})


def fuse_batch_norms(model: EfficientNetLite0) -> EfficientNetLite0:
    """Return a frozen copy with each batch norm fused into its convolution: the same features in less time."""
    model = deepcopy(model).eval()
    pairs: list[tuple[nn.Module, str, str]] = [(model, "_conv_stem", "_bn0"), (model, "_conv_head", "_bn1")]
    for block in model._blocks:
        pairs += [(block, "_expand_conv", "_bn0")] if block.expands else []
        pairs += [(block, "_depthwise_conv", "_bn1"), (block, "_project_conv", "_bn2")]
    for owner, conv_name, bn_name in pairs:
        conv, bn = getattr(owner, conv_name), getattr(owner, bn_name)
        with torch.no_grad():
            conv.weight, conv.bias = fuse_conv_bn_weights(
                conv.weight, conv.bias, bn.running_mean, bn.running_var, bn.eps, bn.weight, bn.bias
            )
        setattr(owner, bn_name, nn.Identity())
    return model.requires_grad_(False)

"""Counter-based random numbers per example, independent of the batch and the same on every device."""

from __future__ import annotations

import torch
from torch import Tensor


def _signed(value: int) -> int:
    return value - (1 << 64) if value >= 1 << 63 else value


_GOLDEN, _MIX1, _MIX2 = (_signed(v) for v in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB))


def uniform(seeds: Tensor, count: int, stream: int = 0) -> Tensor:
    """Return uniform numbers in [0, 1), float32 ``[B, count]``, from int64 seeds ``[B]``.

    SplitMix64 (Steele, Lea and Flood 2014) at positions ``stream * count .. (stream + 1) * count - 1`` of each
    seed's sequence; another ``stream`` gives independent numbers.
    """
    position = torch.arange(stream * count + 1, (stream + 1) * count + 1, device=seeds.device)
    z = seeds[:, None] + position * _GOLDEN  # overflow wraps modulo 2**64, as SplitMix64 requires
    z = (z ^ _shift(z, 30)) * _MIX1
    z = (z ^ _shift(z, 27)) * _MIX2
    z = z ^ _shift(z, 31)
    return _shift(z, 40).to(torch.float32) * 2.0**-24


def _shift(z: Tensor, bits: int) -> Tensor:
    """Return ``z`` shifted right logically; torch shifts arithmetically."""
    return (z >> bits) & ((1 << (64 - bits)) - 1)

"""What CoCa's towers are made of: attention, transformer layers, attentional poolers."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmeval import UserError


class Attention(nn.Module):
    """Multi-head attention of ``width`` features over keys and values of ``source`` features."""

    def __init__(self, width: int, heads: int, source: int) -> None:
        """``heads`` must divide ``width``.

        Raises:
            UserError: it doesn't.
        """
        super().__init__()
        if width % heads:
            raise UserError(f"coca: {heads} attention heads can't share {width} features; choose a divisor.")
        self.heads = heads
        self.q, self.k, self.v = nn.Linear(width, width), nn.Linear(source, width), nn.Linear(source, width)
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor, source: Tensor, mask: Tensor | None = None) -> Tensor:
        """``[B, Q, width]`` over ``[B, K, source]``; bool ``mask``, broadcast to ``[B, 1, Q, K]``, is True to see."""
        q, k, v = (
            y.unflatten(-1, (self.heads, -1)).transpose(1, 2) for y in (self.q(x), self.k(source), self.v(source))
        )
        seen = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        out: Tensor = self.out(seen.transpose(1, 2).flatten(2))
        return out


class MLP(nn.Sequential):
    """LayerNorm, four times the width, GELU, and back."""

    def __init__(self, width: int) -> None:
        super().__init__(nn.LayerNorm(width), nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))


class Layer(nn.Module):
    """A pre-norm transformer layer: self-attention, cross-attention if it has any, MLP."""

    def __init__(
        self, width: int, heads: int, dropout: float = 0.0, *, cross: bool = False, two_mlps: bool = False
    ) -> None:
        """``two_mlps``: another MLP between the two attentions, as in open_clip."""
        super().__init__()
        self.norm, self.attention = nn.LayerNorm(width), Attention(width, heads, width)
        self.mlp, self.dropout = MLP(width), nn.Dropout(dropout)
        self.between = MLP(width) if two_mlps else None
        self.cross = Attention(width, heads, width) if cross else None
        self.cross_norm, self.image_norm = (nn.LayerNorm(width) if cross else None for _ in range(2))

    def forward(
        self, x: Tensor, mask: Tensor | None = None, image: Tensor | None = None, *, last: bool = False
    ) -> Tensor:
        """``[B, T, width]`` -> the same; ``image`` ``[B, Q, width]`` is what cross-attention sees.

        ``last``: only of the last token, ``[B, 1, width]``, where no layer above reads the others.
        """
        normed = self.norm(x)
        if last:
            x, mask = x[:, -1:], None if mask is None else mask[:, :, -1:]
        x = x + self.dropout(self.attention(normed[:, -1:] if last else normed, normed, mask))
        if self.between is not None:
            x = x + self.dropout(self.between(x))
        if self.cross is not None and self.cross_norm is not None and self.image_norm is not None:
            x = x + self.dropout(self.cross(self.cross_norm(x), self.image_norm(image)))
        out: Tensor = x + self.dropout(self.mlp(x))
        return out


class AttentionalPooler(nn.Module):
    """One attention of learned queries over the image encoder's output (paper, section 3.2), and a LayerNorm."""

    def __init__(self, width: int, heads: int, source: int, queries: int) -> None:
        """``[B, K, source]`` becomes ``[B, queries, width]``."""
        super().__init__()
        self.queries = nn.Parameter(torch.randn(queries, width))
        self.query_norm, self.source_norm, self.norm = nn.LayerNorm(width), nn.LayerNorm(source), nn.LayerNorm(width)
        self.attention = Attention(width, heads, source)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """``[B, K, source]``, of which bool ``mask`` ``[B, K]`` is seen -> ``[B, queries, width]``."""
        queries = self.query_norm(self.queries).expand(len(x), -1, -1)
        seen = None if mask is None else mask[:, None, None]
        out: Tensor = self.norm(self.attention(queries, self.source_norm(x), seen))
        return out


def causal(mask: Tensor, *, shifted: bool = False) -> Tensor:
    """What each of a text's tokens, with [CLS] appended at the end, sees: itself and those before it, no padding.

    Args:
        mask: bool ``[B, T]``, True where a token stands.
        shifted: open_clip's mask of old: padding is marked one place too late, as if [CLS] stood first.

    Returns:
        bool ``[B, 1, T + 1, T + 1]``, queries by keys. Whoever would see nothing sees itself: softmax over nothing is
        NaN.
    """
    end = torch.ones_like(mask[:, :1])
    keys = torch.cat([mask.any(1, keepdim=True), mask], 1) if shifted else torch.cat([mask, end], 1)
    size = keys.shape[1]
    past = torch.ones(size, size, dtype=torch.bool, device=mask.device).tril()
    seen = past & keys[:, None]
    alone = torch.eye(size, dtype=torch.bool, device=mask.device) & ~seen.any(-1, keepdim=True)
    return (seen | alone)[:, None]

"""The paper's own encoders: a ViT over images, and the unimodal text decoder."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from mmeval import MissingExtraError, UserError
from mmeval.nn import Encoded, ImageEncoder, ImageInput, TextEncoder, TextInput
from mmeval_coca.config import CoCaConfig
from mmeval_coca.layers import Layer, causal


class ViTSize(NamedTuple):
    """A ViT in numbers."""

    layers: int
    width: int
    patch: int
    side: int
    head: int = 64

    @classmethod
    def parse(cls, name: str) -> ViTSize:
        """Read ``vit:12x768x18x288?head=64``.

        Raises:
            UserError: it is written otherwise, or the sizes don't fit.
        """
        found = re.fullmatch(r"vit:(\d+)x(\d+)x(\d+)x(\d+)(?:\?head=(\d+))?", name)
        size = cls(*(int(n) for n in found.groups("64"))) if found else None
        if size is None or 0 in size or size.side % size.patch or size.width % size.head:
            raise UserError(
                f'"{name}" is no ViT; write vit:LAYERSxWIDTHxPATCHxSIZE, PATCH a divisor of SIZE and WIDTH a multiple '
                "of 64, or of N behind ?head=N."
            )
        return size


class PatchEmbedding(nn.Module):
    """Patches, a class token in front of them, positions, LayerNorm."""

    def __init__(self, size: ViTSize) -> None:
        super().__init__()
        count = (size.side // size.patch) ** 2 + 1
        self.patches = nn.Conv2d(3, size.width, size.patch, size.patch, bias=False)
        self.cls = nn.Parameter(torch.randn(size.width) * size.width**-0.5)
        self.positions = nn.Parameter(torch.randn(count, size.width) * size.width**-0.5)
        self.norm = nn.LayerNorm(size.width)

    def forward(self, pixels: Tensor) -> Tensor:
        """``[B, 3, H, W]`` -> ``[B, 1 + patches, width]``."""
        x = self.patches(pixels).flatten(2).transpose(1, 2)
        out: Tensor = self.norm(torch.cat([self.cls.expand(len(x), 1, -1).to(x.dtype), x], 1) + self.positions)
        return out


class ViT(ImageEncoder):
    """A vision transformer without a pooler of its own (paper, section 3.2); pre-norm, with CLIP's norm in front."""

    def __init__(self, name: str, read: ImageInput | None = None) -> None:
        """``vit:LAYERSxWIDTHxPATCHxSIZE``, as :meth:`ViTSize.parse` reads it."""
        super().__init__()
        size = ViTSize.parse(name)
        self.name, self.width = name, size.width
        self.input = read or ImageInput(size.side, size.side, "bicubic")
        self.embedding = PatchEmbedding(size)
        self.layers = nn.ModuleList(Layer(size.width, size.width // size.head) for _ in range(size.layers))
        self.recompute = False

    def blocks(self) -> Sequence[nn.Module]:
        """Embeddings, then each layer."""
        return (self.embedding, *self.layers)

    def checkpoint(self) -> None:
        """Turn gradient checkpointing on."""
        self.recompute = True

    def encode(self, images: Tensor) -> Encoded:
        """Pixels -> the last layer's states, class token first; ``pooled`` is that one."""
        x = self.embedding(self.input.normalise(images, self.embedding.cls.dtype))
        x = through(self.layers, x, self.recompute and self.training)
        return Encoded(x, torch.ones(x.shape[:2], dtype=torch.bool, device=x.device), x[:, 0])


class Places(nn.Module):
    """Learned positions and the token [CLS], which always has the last of them: it must not depend on the padding."""

    def __init__(self, width: int, length: int) -> None:
        super().__init__()
        self.cls = nn.Parameter(torch.randn(width) * 0.01)
        self.positions = nn.Parameter(torch.randn(length + 1, width) * 0.01)

    def forward(self, x: Tensor) -> Tensor:
        """``[B, T, width]`` -> ``[B, T + 1, width]``."""
        end = (self.cls + self.positions[-1]).expand(len(x), 1, -1)
        return torch.cat([x + self.positions[: x.shape[1]], end.to(x.dtype)], 1)


class Unimodal(nn.Module):
    """The unimodal text decoder: causal, without cross-attention, [CLS] appended at the end (paper, section 3.2)."""

    def __init__(self, config: CoCaConfig) -> None:
        super().__init__()
        self.places = Places(config.width, config.text_length)
        self.layers = nn.ModuleList(
            Layer(config.width, config.heads, config.dropout) for _ in range(config.unimodal_layers)
        )
        self.shifted, self.recompute = config.cls_mask == "shifted", False

    def forward(self, words: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Word vectors ``[B, T, width]`` and bool ``[B, T]`` -> states of the tokens, and of [CLS] ``[B, width]``."""
        seen = causal(mask, shifted=self.shifted)
        x = through(self.layers, self.places(words), self.recompute and self.training, seen)
        return x[:, :-1], x[:, -1]


class Tokenizer(Protocol):
    """Texts -> ids and mask ``[B, T]``."""

    name: str
    vocabulary: int
    padding: bool

    def __call__(self, texts: Sequence[str], length: int) -> tuple[Tensor, Tensor]:
        """Cut, between a begin and an end, to ``length`` at most."""


class Bytes:
    """UTF-8 bytes behind padding, begin and end."""

    name, vocabulary, padding = "UTF-8 bytes", 256 + 3, False

    def __call__(self, texts: Sequence[str], length: int) -> tuple[Tensor, Tensor]:
        """Ids as long as the longest text needs."""
        rows = [[1, *(b + 3 for b in text.encode("utf-8", "replace")[: length - 2]), 2] for text in texts]
        ids = torch.zeros(len(rows), max(map(len, rows), default=1), dtype=torch.long)
        for number, row in enumerate(rows):
            ids[number, : len(row)] = torch.tensor(row)
        return ids, ids != 0


class ClipBpe:
    """CLIP's lower-cased byte-level BPE, out of the package open_clip; English, but no script is unknown to it."""

    name, vocabulary, padding = "CLIP's BPE", 49408, True

    def __init__(self) -> None:
        """Raises:
        MissingExtraError: open_clip is not installed.
        """
        try:
            from open_clip.tokenizer import SimpleTokenizer
        except ImportError:
            raise MissingExtraError("The text encoder clip-bpe", "open-clip-torch", "models") from None
        self._cut: Callable[[list[str], int], Tensor] = SimpleTokenizer()

    def __call__(self, texts: Sequence[str], length: int) -> tuple[Tensor, Tensor]:
        """Ids padded to ``length``, as open_clip trains; the mask is its own, which takes a bare "!" for padding."""
        ids = self._cut(list(texts), length) if texts else torch.zeros(0, length, dtype=torch.long)
        return ids, ids != 0


WORDS: dict[str, Callable[[], Tokenizer]] = {"bytes": Bytes, "clip-bpe": ClipBpe}
"""What `text_encoder` may be called where the unimodal decoder reads words of its own."""


class TextDecoder(TextEncoder):
    """Word embeddings and the unimodal decoder, as a text encoder: ``pooled`` is [CLS], before its LayerNorm."""

    def __init__(self, config: CoCaConfig, tokenizer: Tokenizer, vocabulary: int | None = None) -> None:
        super().__init__()
        self.vocabulary = vocabulary or tokenizer.vocabulary
        self.name = f"coca {config.text_encoder}"
        self.width, self.tokenizer = config.width, tokenizer
        padding = "length" if tokenizer.padding else "longest"
        self.input = TextInput(config.text_length, tokenizer.name, "length" if padding == "length" else "longest")
        self.words = nn.Embedding(self.vocabulary, config.width)
        nn.init.normal_(self.words.weight, std=0.02)
        self.unimodal = Unimodal(config)

    def blocks(self) -> Sequence[nn.Module]:
        """Embeddings, then each layer."""
        return (nn.ModuleList([self.words, self.unimodal.places]), *self.unimodal.layers)

    def checkpoint(self) -> None:
        """Turn gradient checkpointing on."""
        self.unimodal.recompute = True

    def tokenize(self, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Texts -> ids ``[B, T]`` and mask."""
        return self.tokenizer(texts, self.input.length)

    def encode(self, ids: Tensor, mask: Tensor) -> Encoded:
        """Ids -> states of the tokens; ``pooled`` is that of [CLS]."""
        states, cls = self.unimodal(self.words(ids), mask)
        return Encoded(states, mask, cls)


def through(layers: nn.ModuleList, x: Tensor, recompute: bool, *arguments: Tensor) -> Tensor:
    """``x`` through ``layers``; ``recompute``: each makes its activations again in the backward pass."""
    for layer in layers:
        x = checkpoint(layer, x, *arguments, use_reentrant=False) if recompute else layer(x, *arguments)
    return x

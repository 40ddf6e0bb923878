"""Perceiver IO (Jaegle et al. 2021, arXiv 2107.14795), after Perceiver (arXiv 2103.03206)."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmeval import Batch, ModelContext, Tuning, UserError
from mmeval.nn import ClassPrior, Encoded, Heads, ImageEncoder, Output, TorchModel, image_encoder, text_encoder
from mmeval_perceiver.config import PerceiverConfig

DIMENSIONS = 2
"""Coordinates of an image token: row, column."""


def grid_of(tokens: int, height: int, width: int) -> tuple[int, int, int]:
    """Return the rows and columns of an image's token grid, and the number of tokens before it (class, registers).

    Args:
        tokens: number of tokens.
        height: height of the image in pixels; the grid has the same proportions.
        width: width of the image in pixels.
    """
    for before in range(tokens):
        rows = round(math.sqrt((tokens - before) * height / width))
        if rows and rows * round(rows * width / height) == tokens - before:
            return rows, (tokens - before) // rows, before
    return 0, 0, tokens


def fourier(rows: int, columns: int, bands: int, resolution: tuple[int, int]) -> Tensor:
    """Return Fourier position features (Perceiver, section 3.2): float32 ``[rows * columns, 2 (2 bands + 1)]``.

    Coordinates run from -1 to 1. The ``bands`` frequencies are equally spaced from 1 to the Nyquist frequency, half the
    resolution. A row holds both coordinates, then sin(pi f x) of each coordinate and band, then the cosines.
    """
    axes = (torch.linspace(-1, 1, count) for count in (rows, columns))
    x = torch.stack(torch.meshgrid(*axes, indexing="ij"), -1).flatten(0, 1)  # [T, 2]
    f = torch.stack([torch.linspace(1, most / 2, bands) for most in resolution])  # [2, bands]
    angles = torch.pi * (x[:, :, None] * f).flatten(1)  # [T, 2 bands]
    return torch.cat([x, angles.sin(), angles.cos()], 1)


class Attention(nn.Module):
    """``softmax(Q K^T / sqrt(d)) V`` and a linear output layer, with norms before the projections.

    Q = f_Q(LN(x_q)), K = f_K(LN(x_kv)), V = f_V(LN(x_kv)); K and V share a norm, which is separate from that of Q in
    cross-attention.
    """

    def __init__(self, width: int, read: int | None, qk: int, v: int, heads: int, dropout: float) -> None:
        """Create the layers.

        Args:
            width: width of the query side.
            read: width of the input; None for self-attention.
            qk: width of queries and keys, over all heads.
            v: width of values, over all heads.
            heads: number of heads.
            dropout: dropout of attention weights.
        """
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.norm = nn.LayerNorm(width)
        self.norm_read = None if read is None else nn.LayerNorm(read)
        self.q = nn.Linear(width, qk)
        self.k, self.v = nn.Linear(read or width, qk), nn.Linear(read or width, v)
        self.out = nn.Linear(v, width)

    def forward(self, x: Tensor, read: Tensor | None = None, mask: Tensor | None = None) -> Tensor:
        """Let ``x`` ``[B, N, width]`` attend to ``read`` ``[B, T, read]``, where bool ``mask`` ``[B, T]`` allows it."""
        x = self.norm(x)
        y = x if read is None or self.norm_read is None else self.norm_read(read)
        q, k, v = (part.unflatten(2, (self.heads, -1)).transpose(1, 2) for part in (self.q(x), self.k(y), self.v(y)))
        seen = None if mask is None else mask[:, None, None]  # [B, 1, 1, T]
        z = F.scaled_dot_product_attention(q, k, v, seen, self.dropout if self.training else 0.0)
        out: Tensor = self.out(z.transpose(1, 2).flatten(2))
        return out


class Layer(nn.Module):
    """``x + attention``, then ``x + MLP(LN(x))`` with GELU: the layer of encoder and decoder."""

    def __init__(
        self,
        width: int,
        read: int | None,
        qk: int,
        v: int,
        heads: int,
        *,
        widening: int = 1,
        dropout: float = 0.0,
        residual: bool = True,
    ) -> None:
        """Create the layers; widths as in :class:`Attention`. Without ``residual``, the attention replaces ``x``."""
        super().__init__()
        self.residual = residual
        self.attention = Attention(width, read, qk, v, heads, dropout)
        self.norm = nn.LayerNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, widening * width), nn.GELU(), nn.Linear(widening * width, width))

    def forward(self, x: Tensor, read: Tensor | None = None, mask: Tensor | None = None) -> Tensor:
        """Return the updated ``x``, in the same shape; arguments as in :class:`Attention`."""
        attended: Tensor = self.attention(x, read, mask)
        x = x + attended if self.residual else attended
        out: Tensor = x + self.mlp(self.norm(x))
        return out


class Trunk(nn.Module):
    """Latents that read the input once, then attend to each other in ``blocks`` passes through the same ``layers``."""

    def __init__(self, config: PerceiverConfig, read: int) -> None:
        """Create latents and layers; ``read`` is the width of the input.

        Raises:
            UserError: the heads don't divide a width.
        """
        super().__init__()
        c, width = config, config.latent_width
        self.blocks = c.blocks
        self.latents = nn.Parameter(torch.empty(c.latents, width))
        nn.init.trunc_normal_(self.latents, std=c.initial_scale)
        cross = c.qk_width or (read if c.cross_shape == "kv" else width)
        own = c.qk_width or width
        for heads, parts in ((c.cross_heads, (cross, c.v_width or cross)), (c.heads, (own, c.v_width or own))):
            if any(part % heads for part in parts):
                raise UserError(f"perceiver: {heads} heads can't share {' and '.join(map(str, set(parts)))} features.")
        drop = c.attention_dropout
        self.read = Layer(width, read, cross, c.v_width or cross, c.cross_heads, widening=c.widening, dropout=drop)
        self.layers = nn.ModuleList(
            Layer(width, None, own, c.v_width or own, c.heads, widening=c.widening, dropout=drop)
            for _ in range(c.layers)
        )

    def forward(self, inputs: Tensor, mask: Tensor) -> Tensor:
        """Return latents ``[B, N, D]`` of inputs ``[B, T, read]``; no row of the mask ``[B, T]`` may be all False."""
        z: Tensor = self.read(self.latents.expand(inputs.shape[0], -1, -1), inputs, mask)
        for _ in range(self.blocks):
            for layer in self.layers:
                z = layer(z)
        return z


class Modalities(nn.Module):
    """Concatenation of the tokens of several modalities, as in the papers' audio-video models.

    A learned vector pads each modality to a common width, and so identifies the modality. The modalities follow each
    other in alphabetical order.
    """

    def __init__(self, widths: Mapping[str, int], least: int, multiple: int, scale: float, *, stand_in: bool) -> None:
        """Create the learned vectors.

        Args:
            widths: width of each modality's tokens, by name.
            least: smallest number of padding features.
            multiple: the common width is a multiple of this number.
            scale: initial standard deviation of the learned vectors.
            stand_in: whether a learned vector replaces a missing modality.
        """
        super().__init__()
        self.width = math.ceil((max(widths.values()) + least) / multiple) * multiple
        self.padding = nn.ParameterDict({name: _vector(self.width - w, scale) for name, w in sorted(widths.items())})
        self.stand_in = nn.ParameterDict({name: _vector(self.width, scale) for name in sorted(widths) if stand_in})

    def forward(self, tokens: Mapping[str, Tensor], masks: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Concatenate tokens ``[B, T_m, C_m]`` and masks ``[B, T_m]``, by name, to ``[B, T, C]`` and ``[B, T]``."""
        inputs, seen = [], []
        for name in sorted(tokens):
            x, mask = tokens[name], masks[name]
            x = torch.cat([x, self.padding[name].expand(*x.shape[:2], -1)], 2)
            if name in self.stand_in:
                # At one position only, so that the result does not depend on the padding of the batch.
                here = (torch.arange(mask.shape[1], device=mask.device) == 0) & ~mask.any(1, keepdim=True)  # [B, T_m]
                x, mask = torch.where(here[:, :, None], self.stand_in[name].to(x.dtype), x), mask | here
            inputs.append(x)
            seen.append(mask)
        return torch.cat(inputs, 1), torch.cat(seen, 1)


class Decoder(nn.Module):
    """Learned queries that read the latents, and a linear layer per task (Perceiver IO, section 3.2)."""

    def __init__(self, config: PerceiverConfig, context: ModelContext) -> None:
        """Create one query per task, or one for all.

        Raises:
            UserError: the heads don't divide the width of the latents.
        """
        super().__init__()
        width, heads = config.latent_width, config.decoder_heads
        if width % heads:
            raise UserError(f"perceiver: {heads} heads of the decoder can't share {width} features.")
        self.queries = nn.Parameter(torch.empty(len(context.tasks) if config.query == "task" else 1, width))
        nn.init.trunc_normal_(self.queries, std=config.initial_scale)
        self.read = Layer(
            width,
            width,
            width,
            width,
            heads,
            dropout=config.attention_dropout,
            residual=config.decoder_residual,
        )
        self.dropout = nn.Dropout(config.dropout)
        self.heads = Heads(width, context)

    def forward(self, latents: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        """Read latents ``[B, N, D]``.

        Returns:
            Logits ``[B, classes]`` by task, and the states of the queries ``[B, tasks or 1, D]`` before the heads.
        """
        states = self.read(self.queries.expand(latents.shape[0], -1, -1), latents)
        own = self.dropout(states).expand(-1, len(self.heads.tasks), -1).unbind(1)
        layers = zip(self.heads.tasks, self.heads.layers, own, strict=True)
        return {task: layer(x) for task, layer, x in layers}, states


class Perceiver(TorchModel):
    """Latents read image and text as one array of tokens; queries read the latents."""

    config: PerceiverConfig
    image_code: Tensor
    """Fourier features ``[T, 2 (2 bands + 1)]`` of the image tokens."""

    def __init__(self, config: PerceiverConfig, context: ModelContext) -> None:
        """Build the encoders by name, then the Perceiver.

        Raises:
            UserError: heads don't divide a width; see also ``mmeval.nn.image_encoder``.
        """
        super().__init__(config, context)
        c = config
        self.image_encoder = _image_encoder(c)
        self.text_encoder = (
            text_encoder(f"bytes:{c.text_length}x{c.byte_width}", tokens=True)
            if c.text_input == "bytes"
            else text_encoder(c.text_encoder, c.text_tuning, tokens=True)
        )
        # Not saved: it follows from the config, and can be larger than the model.
        self.register_buffer("image_code", _code(self.image_encoder, c), persistent=False)
        self.image_tokens = _reader(self.image_encoder.width, c)
        self.text_tokens = _reader(self.text_encoder.width, c)
        widths = {
            "image": (c.input_width or self.image_encoder.width) + DIMENSIONS * (2 * c.bands + 1),
            "text": c.input_width or self.text_encoder.width,
        }
        multiple = c.cross_heads if c.cross_shape == "kv" and not c.qk_width else 1
        self.modalities = Modalities(widths, c.padding, multiple, c.initial_scale, stand_in=c.missing == "token")
        self.trunk = Trunk(c, self.modalities.width)
        self.decoder = Decoder(c, context)
        self.prior = ClassPrior(context)
        for part in (self.image_tokens, self.text_tokens, self.trunk, self.decoder):
            _initialize(part, c.weights)

    def forward(self, batch: Batch) -> Output:
        """Return the logits of every task; the class prior for examples without image and text."""
        assert self.image_encoder is not None
        assert self.text_encoder is not None
        image, text = self.image_encoder(batch), self.text_encoder(batch)
        masks = self._hide({"image": image.mask, "text": text.mask}) if self.training else None
        masks = masks or {"image": image.mask, "text": text.mask}
        tokens = {
            "image": self._image(image),
            "text": self.text_tokens(_clean(text)),
        }
        present = torch.cat(list(masks.values()), 1).any(1)  # [B]
        inputs, seen = self.modalities(tokens, masks)
        # Attention over nothing is NaN: let an empty row read everything; the prior replaces its logits.
        latents = self.trunk(inputs, seen | ~present[:, None])
        logits, states = self.decoder(latents)
        return Output(self.prior(logits, present), embedding=states.flatten(1))

    def _image(self, image: Encoded) -> Tensor:
        """Return image tokens ``[B, T, C]`` with Fourier features appended; zeros for tokens before the grid."""
        tokens: Tensor = self.image_tokens(_clean(image))
        # A batch without images has a single token, which is masked.
        code = self.image_code[: tokens.shape[1]]
        return torch.cat([tokens, code.expand(tokens.shape[0], -1, -1)], 2)

    def _hide(self, masks: dict[str, Tensor]) -> dict[str, Tensor]:
        """Hide one modality of a fraction of the examples with both (``modality_dropout``)."""
        if not self.config.modality_dropout:
            return masks
        both = masks["image"].any(1) & masks["text"].any(1)
        draw = torch.rand(both.shape, device=both.device) / self.config.modality_dropout
        return {
            "image": masks["image"] & ~(both & (draw < 0.5))[:, None],
            "text": masks["text"] & ~(both & (draw >= 0.5) & (draw < 1))[:, None],
        }


def _image_encoder(config: PerceiverConfig) -> ImageEncoder:
    size = config.image_size
    if config.image_input == "encoder":
        return image_encoder(config.image_encoder, config.image_tuning, tokens=True)
    names = {
        "pixels": f"pixels:{size}",
        "patches": f"patches:{size}x{config.patch_size}",
        "conv": f"conv:{size}x{config.conv_width}",
    }
    return image_encoder(names[config.image_input], Tuning(), tokens=True)


def _code(encoder: ImageEncoder, config: PerceiverConfig) -> Tensor:
    """Return the Fourier features of an image encoder's tokens, zero for tokens before the grid."""
    height, width, was = encoder.input.height, encoder.input.width, encoder.training
    with torch.no_grad():
        tokens = encoder.eval().encode(torch.zeros(1, 3, height, width, dtype=torch.uint8)).tokens.shape[1]
    encoder.train(was)
    rows, columns, before = grid_of(tokens, height, width)
    most = config.max_resolution
    return F.pad(fourier(rows, columns, config.bands, (most or rows, most or columns)), (0, 0, before, 0))


def _clean(encoded: Encoded) -> Tensor:
    """Return the tokens, zero where masked: they may be NaN, and NaN times an attention of zero is NaN."""
    return torch.where(encoded.mask[:, :, None], encoded.tokens, 0)


def _reader(width: int, config: PerceiverConfig) -> nn.Module:
    """Return the projection of a modality's tokens before position features; the paper has none."""
    if not config.input_width:
        return nn.Dropout(config.dropout)
    return nn.Sequential(nn.LayerNorm(width), nn.Dropout(config.dropout), nn.Linear(width, config.input_width))


def _vector(width: int, scale: float) -> nn.Parameter:
    """Return a learned vector, drawn from a truncated normal distribution."""
    return nn.Parameter(nn.init.trunc_normal_(torch.empty(width), std=scale))


def _initialize(part: nn.Module, how: str) -> None:
    """Draw the weights of linear layers anew (option ``weights``), and zero their biases."""
    for module in part.modules():
        if isinstance(module, nn.Linear):
            deviation = 0.02 if how == "fixed" else module.in_features**-0.5
            nn.init.trunc_normal_(module.weight, std=deviation, a=-2 * deviation, b=2 * deviation)
            nn.init.zeros_(module.bias)

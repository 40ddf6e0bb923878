"""CoCa (Yu et al. 2022, arXiv 2205.01917): image encoder, attentional poolers, two text decoders, two extra losses.

The order is that of section 3.2 of the paper: transformer layers, image encoder, unimodal text decoder, poolers,
multimodal text decoder, losses, and the classifier :class:`CoCa` that puts them together.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Literal, NamedTuple, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from mmeval import Batch, ModelContext, Tuning, UserError
from mmeval.nn import (
    ClassPrior,
    Encoded,
    Encoder,
    FeatureDropout,
    Heads,
    ImageEncoder,
    ImageInput,
    Output,
    TextEncoder,
    TextInput,
    TorchModel,
    image_encoder,
    text_encoder,
    tuned,
)
from mmeval_coca.config import CoCaConfig
from mmeval_coca.published import ClipBpe, Published, load_published


class Attention(nn.Module):
    """Multi-head attention whose keys and values may have another width than its queries.

    ``nn.MultiheadAttention`` computes the same, but draws other initial weights.
    """

    def __init__(self, width: int, heads: int, source: int) -> None:
        """Attend from queries of ``width`` features to keys and values of ``source`` features.

        Raises:
            UserError: ``heads`` does not divide ``width``.
        """
        super().__init__()
        if width % heads:
            raise UserError(f"coca: {width} features cannot be split among {heads} attention heads; choose a divisor.")
        self.heads = heads
        self.q, self.k, self.v = nn.Linear(width, width), nn.Linear(source, width), nn.Linear(source, width)
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor, source: Tensor, mask: Tensor | None = None) -> Tensor:
        """Attend from ``x`` ``[B, Q, width]`` to ``source`` ``[B, K, source]``; return ``[B, Q, width]``.

        ``mask`` is bool, broadcasts to ``[B, 1, Q, K]``, and is True where a query may attend to a key.
        """
        q, k, v = (
            y.unflatten(-1, (self.heads, -1)).transpose(1, 2) for y in (self.q(x), self.k(source), self.v(source))
        )
        attended = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        out: Tensor = self.out(attended.transpose(1, 2).flatten(2))
        return out


class SelfAttention(nn.Module):
    """Pre-norm self-attention with a residual connection."""

    def __init__(self, width: int, heads: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.norm, self.attention = nn.LayerNorm(width), Attention(width, heads, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """``[B, T, width]`` and a mask that broadcasts to ``[B, 1, T, T]`` -> ``[B, T, width]``."""
        y = self.norm(x)
        out: Tensor = x + self.dropout(self.attention(y, y, mask))
        return out


class LastTokenAttention(SelfAttention):
    """Self-attention that returns the last token only: [CLS], in a top layer whose other outputs nothing reads."""

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """``[B, T, width]`` and a mask ``[B, 1, T, T]`` -> ``[B, 1, width]``."""
        y = self.norm(x)
        last_mask = None if mask is None else mask[:, :, -1:]
        out: Tensor = x[:, -1:] + self.dropout(self.attention(y[:, -1:], y, last_mask))
        return out


class CrossAttention(nn.Module):
    """Pre-norm attention from text to image tokens with a residual connection; both sides have their LayerNorm."""

    def __init__(self, width: int, heads: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.norm, self.image_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention, self.dropout = Attention(width, heads, width), nn.Dropout(dropout)

    def forward(self, x: Tensor, image: Tensor) -> Tensor:
        """Text ``[B, T, width]`` and image tokens ``[B, Q, width]`` -> ``[B, T, width]``."""
        out: Tensor = x + self.dropout(self.attention(self.norm(x), self.image_norm(image)))
        return out


class MLP(nn.Module):
    """Pre-norm feed-forward network with a residual connection: four times the width, GELU, and back."""

    def __init__(self, width: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.norm, self.dropout = nn.LayerNorm(width), nn.Dropout(dropout)
        self.expand, self.contract = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        """``[B, T, width]`` -> ``[B, T, width]``."""
        out: Tensor = x + self.dropout(self.contract(F.gelu(self.expand(self.norm(x)))))
        return out


class TransformerLayer(nn.Module):
    """A pre-norm transformer layer, as in the image encoder and the unimodal text decoder."""

    def __init__(self, width: int, heads: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.attention, self.mlp = SelfAttention(width, heads, dropout), MLP(width, dropout)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """``[B, T, width]`` and a mask that broadcasts to ``[B, 1, T, T]`` -> ``[B, T, width]``."""
        out: Tensor = self.mlp(self.attention(x, mask))
        return out


class MultimodalLayer(nn.Module):
    """A layer of the multimodal decoder: self-attention, cross-attention to the image, MLP.

    open_clip has a second MLP ``between`` the two attentions; in the paper's layer it is ``nn.Identity()``.
    """

    def __init__(self, attention: SelfAttention, mlp: MLP, between: nn.Module, cross: CrossAttention) -> None:
        super().__init__()
        self.attention, self.mlp, self.between, self.cross = attention, mlp, between, cross

    def forward(self, x: Tensor, image: Tensor, mask: Tensor) -> Tensor:
        """Text ``[B, T, width]``, image tokens ``[B, Q, width]``, mask ``[B, 1, T, T]`` -> ``[B, T, width]``."""
        out: Tensor = self.mlp(self.cross(self.between(self.attention(x, mask)), image))
        return out


def causal_mask(mask: Tensor, *, shifted: bool = False) -> Tensor:
    """Return the attention mask of a causal text decoder with [CLS] appended behind the text.

    A token attends to itself and to the tokens before it, never to padding.

    Args:
        mask: bool ``[B, T]``, True at tokens and False at padding.
        shifted: use open_clip's legacy mask, which marks padding one position too late, as if [CLS] stood in front.

    Returns:
        bool ``[B, 1, T + 1, T + 1]``, queries by keys. A query without any key attends to itself, since the softmax
        of an empty row is NaN.
    """
    cls = torch.ones_like(mask[:, :1])
    keys = torch.cat([mask.any(1, keepdim=True), mask], 1) if shifted else torch.cat([mask, cls], 1)
    size = keys.shape[1]
    causal = torch.ones(size, size, dtype=torch.bool, device=mask.device).tril()
    visible = causal & keys[:, None]
    alone = torch.eye(size, dtype=torch.bool, device=mask.device) & ~visible.any(-1, keepdim=True)
    return (visible | alone)[:, None]


def run_layers(layers: Iterable[nn.Module], x: Tensor, *arguments: Tensor, checkpointing: bool) -> Tensor:
    """Run ``x`` through ``layers``; with ``checkpointing``, the backward pass computes their activations again."""
    for layer in layers:
        x = checkpoint(layer, x, *arguments, use_reentrant=False) if checkpointing else layer(x, *arguments)
    return x


class ViTSize(NamedTuple):
    """The sizes of a vision transformer."""

    layers: int
    width: int
    patch: int
    """Side of a patch in pixels."""
    side: int
    """Side of the image in pixels."""
    head: int = 64
    """Features per attention head."""

    @classmethod
    def parse(cls, name: str) -> ViTSize:
        """Read the sizes from a name such as ``vit:12x768x18x288?head=64``.

        Raises:
            UserError: the name has another form, or its sizes do not fit together.
        """
        match = re.fullmatch(r"vit:(\d+)x(\d+)x(\d+)x(\d+)(?:\?head=(\d+))?", name)
        size = cls(*(int(n) for n in match.groups("64"))) if match else None
        if size is None or 0 in size or size.side % size.patch or size.width % size.head:
            raise UserError(
                f'"{name}" is not a valid ViT; write vit:LAYERSxWIDTHxPATCHxSIZE, where PATCH divides SIZE and WIDTH '
                "is a multiple of 64, or of N if ?head=N follows."
            )
        return size


class ViTEmbedding(nn.Module):
    """Patches of an image behind a class token, plus learned positions, then LayerNorm."""

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
        out: Tensor = self.norm(torch.cat([self.cls.expand(x.shape[0], 1, -1).to(x.dtype), x], 1) + self.positions)
        return out


class ViT(ImageEncoder):
    """The paper's image encoder: a pre-norm vision transformer, with CLIP's LayerNorm behind the patch embedding."""

    def __init__(self, name: str, image_input: ImageInput | None = None) -> None:
        """``name`` is read by :meth:`ViTSize.parse`; ``image_input`` defaults to bicubic resizing to the ViT's size."""
        super().__init__()
        size = ViTSize.parse(name)
        self.name, self.width = name, size.width
        self.input = image_input or ImageInput(size.side, size.side, "bicubic")
        self.embedding = ViTEmbedding(size)
        self.layers = nn.ModuleList(TransformerLayer(size.width, size.width // size.head) for _ in range(size.layers))
        self.checkpointing = False

    def blocks(self) -> Sequence[nn.Module]:
        """Return the patch embedding, then each layer."""
        return (self.embedding, *self.layers)

    def enable_gradient_checkpointing(self) -> None:
        """Turn gradient checkpointing on."""
        self.checkpointing = True

    def encode(self, images: Tensor) -> Encoded:
        """uint8 ``[B, 3, H, W]`` -> states of the last layer, class token first; ``pooled`` is the class token's."""
        x = self.embedding(self.input.normalise(images, self.embedding.cls.dtype))
        x = run_layers(self.layers, x, checkpointing=self.checkpointing and self.training)
        return Encoded(x, torch.ones(x.shape[:2], dtype=torch.bool, device=x.device), x[:, 0])


class PositionsAndCls(nn.Module):
    """Adds learned positions to a text and appends the learned token [CLS].

    [CLS] always has the last position, so that its state does not depend on the padding of the batch.
    """

    def __init__(self, width: int, length: int) -> None:
        super().__init__()
        self.cls = nn.Parameter(torch.randn(width) * 0.01)
        self.positions = nn.Parameter(torch.randn(length + 1, width) * 0.01)

    def forward(self, x: Tensor) -> Tensor:
        """``[B, T, width]`` -> ``[B, T + 1, width]``."""
        cls = (self.cls + self.positions[-1]).expand(x.shape[0], 1, -1)
        return torch.cat([x + self.positions[: x.shape[1]], cls.to(x.dtype)], 1)


class UnimodalDecoder(nn.Module):
    """The unimodal text decoder: causal, without cross-attention, [CLS] behind the text."""

    def __init__(self, config: CoCaConfig) -> None:
        super().__init__()
        self.embedding = PositionsAndCls(config.width, config.text_length)
        self.layers = nn.ModuleList(
            TransformerLayer(config.width, config.heads, config.dropout) for _ in range(config.unimodal_layers)
        )
        self.shifted, self.checkpointing = config.cls_mask == "shifted", False

    def forward(self, x: Tensor, mask: Tensor) -> Encoded:
        """Token vectors ``[B, T, width]`` and bool ``[B, T]`` -> states of the tokens; ``pooled`` is that of [CLS].

        No LayerNorm follows: the multimodal decoder reads the states as they are.
        """
        checkpointing = self.checkpointing and self.training
        attends = causal_mask(mask, shifted=self.shifted)
        x = run_layers(self.layers, self.embedding(x), attends, checkpointing=checkpointing)
        return Encoded(x[:, :-1], mask, x[:, -1])


class TextTokenizer(Protocol):
    """Turns texts into ids."""

    name: str
    vocabulary: int
    """Number of different ids."""
    padding: Literal["longest", "length"]
    """Whether ids are padded to the longest text of a batch or to the maximum length."""

    def __call__(self, texts: Sequence[str], length: int) -> tuple[Tensor, Tensor]:
        """Return ids ``[B, T]`` and bool mask ``[B, T]``.

        Texts are cut to ``length`` ids, begin and end included.
        """


class Bytes:
    """TextTokenizer of UTF-8 bytes; ids 0, 1 and 2 are padding, begin and end."""

    name, vocabulary = "UTF-8 bytes", 256 + 3
    padding: Literal["longest", "length"] = "longest"

    def __call__(self, texts: Sequence[str], length: int) -> tuple[Tensor, Tensor]:
        """Return ids ``[B, T]``, as long as the longest text needs, and their mask."""
        rows = [[1, *(b + 3 for b in text.encode("utf-8", "replace")[: length - 2]), 2] for text in texts]
        ids = torch.zeros(len(rows), max(map(len, rows), default=1), dtype=torch.long)
        for number, row in enumerate(rows):
            ids[number, : len(row)] = torch.tensor(row)
        return ids, ids != 0


TOKENIZERS: dict[str, Callable[[], TextTokenizer]] = {"bytes": Bytes, "clip-bpe": ClipBpe}
"""Values of ``text_encoder`` with which CoCa learns its own word embeddings."""


class TextDecoder(TextEncoder):
    """Word embeddings and the unimodal decoder, as a text encoder; ``pooled`` is the state of [CLS]."""

    def __init__(self, config: CoCaConfig, tokenizer: TextTokenizer, vocabulary: int) -> None:
        super().__init__()
        self.name, self.width = config.text_encoder, config.width
        self.tokenizer, self.vocabulary = tokenizer, vocabulary
        self.input = TextInput(config.text_length, tokenizer.name, tokenizer.padding)
        self.words = nn.Embedding(vocabulary, config.width)
        nn.init.normal_(self.words.weight, std=0.02)  # torch's default of 1 would drown the positions
        self.decoder = UnimodalDecoder(config)

    def blocks(self) -> Sequence[nn.Module]:
        """Return the embeddings, then each layer."""
        return (nn.ModuleList([self.words, self.decoder.embedding]), *self.decoder.layers)

    def enable_gradient_checkpointing(self) -> None:
        """Turn gradient checkpointing on."""
        self.decoder.checkpointing = True

    def tokenize(self, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Texts -> ids ``[B, T]`` and mask."""
        return self.tokenizer(texts, self.input.length)

    def encode(self, ids: Tensor, mask: Tensor) -> Encoded:
        """Ids -> states of the tokens; ``pooled`` is that of [CLS]."""
        out: Encoded = self.decoder(self.words(ids), mask)
        return out


class StateDecoder(nn.Module):
    """The unimodal decoder over the token states of another text encoder, which take the place of word embeddings."""

    def __init__(self, config: CoCaConfig, source: int) -> None:
        """``source``: number of features of the other encoder's states."""
        super().__init__()
        self.length = config.text_length
        self.decoder = UnimodalDecoder(config)
        # The scale of token states differs from encoder to encoder.
        self.adapter = nn.Sequential(
            nn.LayerNorm(source), FeatureDropout(config.input_dropout), nn.Linear(source, config.width)
        )

    def forward(self, text: Encoded) -> Encoded:
        """States ``[B, T, source]`` -> states ``[B, T, width]``, of which ``pooled`` is that of [CLS].

        Texts are cut to ``text_length`` tokens.
        """
        out: Encoded = self.decoder(self.adapter(text.tokens[:, : self.length]), text.mask[:, : self.length])
        return out


class AttentionalPooler(nn.Module):
    """An attention of learned queries over the image tokens, then LayerNorm."""

    def __init__(self, width: int, heads: int, source: int, queries: int) -> None:
        """``source``: number of features of the image tokens; ``width``: of the output."""
        super().__init__()
        self.queries = nn.Parameter(torch.randn(queries, width))
        self.query_norm, self.source_norm, self.norm = nn.LayerNorm(width), nn.LayerNorm(source), nn.LayerNorm(width)
        self.attention = Attention(width, heads, source)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Image tokens ``[B, K, source]`` and bool ``mask`` ``[B, K]`` -> ``[B, queries, width]``."""
        queries = self.query_norm(self.queries).expand(x.shape[0], -1, -1)
        attends = None if mask is None else mask[:, None, None]
        out: Tensor = self.norm(self.attention(queries, self.source_norm(x), attends))
        return out


class Skip(nn.Module):
    """Returns its first input; stands in for a module whose output no loss and no head reads.

    Such a module would keep its initial weights and still count as parameters.
    """

    def forward(self, x: Tensor, *_: Tensor) -> Tensor:
        """Return ``x``."""
        return x


class CascadedPoolers(nn.Module):
    """The paper's two poolers: one for captioning, and one for contrast over the output of the first."""

    def __init__(self, captioning: nn.Module, contrastive: nn.Module) -> None:
        super().__init__()
        self.captioning, self.contrastive = captioning, contrastive

    def forward(self, x: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Image tokens ``[B, K, source]`` -> caption tokens ``[B, Q, width]``, contrastive vector ``[B, width]``."""
        tokens = self.captioning(x, mask)
        return tokens, self.contrastive(tokens)[:, 0]


class SinglePooler(nn.Module):
    """open_clip's pooler: query 0 is for contrast, the others are for captioning."""

    def __init__(self, pooler: AttentionalPooler) -> None:
        super().__init__()
        self.pooler = pooler

    def forward(self, x: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Image tokens ``[B, K, source]`` -> caption tokens ``[B, Q, width]``, contrastive vector ``[B, width]``."""
        tokens = self.pooler(x, mask)
        return tokens[:, 1:], tokens[:, 0]


class MultimodalDecoder(nn.Module):
    """The multimodal text decoder: causal, with cross-attention to the caption tokens, then LayerNorm.

    [CLS] stands behind the text here too. Causal attention hides it from the tokens before it, so that captioning
    cannot read from it the words to predict.
    """

    def __init__(self, layers: Iterable[nn.Module], width: int) -> None:
        super().__init__()
        self.layers, self.norm = nn.ModuleList(layers), nn.LayerNorm(width)

    def forward(self, x: Tensor, image: Tensor, mask: Tensor) -> Tensor:
        """Unimodal states with [CLS] ``[B, T + 1, width]`` and caption tokens ``[B, Q, width]`` -> states.

        ``mask`` is bool ``[B, T]``. The states are ``[B, T + 1, width]``, or [CLS] alone, ``[B, 1, width]``, if the
        top layer has :class:`LastTokenAttention`.
        """
        attends = causal_mask(mask)
        for layer in self.layers:
            x = layer(x, image, attends)
        out: Tensor = self.norm(x)
        return out


class States(NamedTuple):
    """The outputs of encoders, poolers and decoders, which losses and classifier read."""

    image: Tensor
    """``[B, K, source]``, image tokens; zero where the image is missing."""
    image_mask: Tensor
    """bool ``[B, K]``; no row is all False."""
    contrast: Tensor
    """``[B, width]``, the image's vector for contrast."""
    text_cls: Tensor
    """``[B, width]``, [CLS] behind the unimodal decoder, after LayerNorm."""
    text_mask: Tensor
    """bool ``[B, T]``, True at tokens."""
    multimodal: Tensor
    """``[B, T + 1, width]``, states of the multimodal decoder; [CLS] is the last."""
    has_image: Tensor
    """bool ``[B]``."""
    has_text: Tensor
    """bool ``[B]``."""

    @property
    def pairs(self) -> Tensor:
        """bool ``[B]``, True where both an image and a text are shown."""
        return self.has_image & self.has_text


class ContrastiveLoss(nn.Module):
    """L_Con of section 3.1, over the pairs of a batch, in a space that image and text are projected to."""

    def __init__(self, config: CoCaConfig) -> None:
        super().__init__()
        self.weight = config.contrastive_weight
        self.image_projection = nn.Linear(config.width, config.embedding, bias=False)
        self.text_projection = nn.Linear(config.width, config.embedding, bias=False)
        self.logit_scale = nn.Parameter(torch.tensor(-math.log(config.temperature)))

    def embed_image(self, contrast: Tensor) -> Tensor:
        """The contrastive vector ``[B, width]`` -> unit vectors ``[B, embedding]``."""
        return F.normalize(self.image_projection(contrast).float(), dim=-1)

    def embed_text(self, cls: Tensor) -> Tensor:
        """The normalised unimodal [CLS] ``[B, width]`` -> unit vectors ``[B, embedding]``."""
        return F.normalize(self.text_projection(cls).float(), dim=-1)

    def forward(self, states: States, batch: Batch) -> dict[str, Tensor]:
        """Return the weighted loss by its name; nothing if the batch has fewer than two pairs."""
        pairs = states.pairs
        if pairs.sum() < 2:
            return {}
        image, text = self.embed_image(states.contrast[pairs]), self.embed_text(states.text_cls[pairs])
        # The limit of CLIP: a larger scale makes training unstable.
        scale = self.logit_scale.exp().clamp(max=100)
        return {"contrastive": self.weight * contrastive_loss(image, text, scale, batch.same_image()[pairs][:, pairs])}


def contrastive_loss(image: Tensor, text: Tensor, scale: Tensor, same_image: Tensor) -> Tensor:
    """Return the mean of the cross-entropies image to text and text to image; CLIP and open_clip halve the sum too.

    Args:
        image: unit vectors ``[B, embedding]``.
        text: unit vectors ``[B, embedding]``, row for row those of the images.
        scale: factor on the cosines, one over the temperature.
        same_image: bool ``[B, B]``, True for rows with one image, such as its names in several languages. They are not
            each other's negatives. The paper's batches have no such rows.
    """
    logits = scale * image @ text.T
    target = torch.arange(len(logits), device=logits.device)
    others = same_image & (target[:, None] != target)
    logits = logits.masked_fill(others, torch.finfo(logits.dtype).min)
    return (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2


class CaptioningLoss(nn.Module):
    """L_Cap of section 3.1: the state of each token predicts the next one, in the texts of pairs."""

    def __init__(self, config: CoCaConfig, vocabulary: int) -> None:
        super().__init__()
        self.weight = config.caption_weight
        self.words = nn.Linear(config.width, vocabulary, bias=False)

    def forward(self, states: States, batch: Batch) -> dict[str, Tensor]:
        """Return the weighted loss by its name; nothing if no pair has a word to predict."""
        if batch.text_ids is None:
            raise ValueError("the batch has no token ids to predict")
        known = states.text_mask[:, 1:] & states.pairs[:, None]
        if not known.any():
            return {}
        before = states.multimodal[:, :-2]  # neither the last token nor [CLS] has a next token
        loss = F.cross_entropy(self.words(before[known]).float(), batch.text_ids[:, 1:][known])
        return {"captioning": self.weight * loss}


class MultimodalCls(nn.Module):
    """Classifier input ``multimodal-cls``: [CLS] behind the multimodal decoder."""

    def forward(self, states: States) -> Tensor:
        """Return ``[B, width]``."""
        return states.multimodal[:, -1]


class PooledAndUnimodal(nn.Module):
    """Classifier input ``unimodal+pooled``: the image tokens through a pooler of their own, and the unimodal [CLS]."""

    def __init__(self, pooler: AttentionalPooler) -> None:
        """``pooler`` has one query."""
        super().__init__()
        self.pooler = pooler

    def forward(self, states: States) -> Tensor:
        """Return ``[B, 2 * width]``."""
        pooled = self.pooler(states.image, states.image_mask)[:, 0]
        return torch.cat([torch.where(states.has_image[:, None], pooled, 0), states.text_cls], -1)


class CoCa(TorchModel):
    """Image encoder, unimodal decoder, poolers, multimodal decoder, and a linear layer per task."""

    config: CoCaConfig
    image_encoder: ImageEncoder
    text_encoder: TextEncoder

    def __init__(self, config: CoCaConfig, context: ModelContext) -> None:
        """Build the model that ``config`` describes, with published weights where ``config`` names some.

        Raises:
            UserError: an encoder is unknown, or options contradict each other.
            MissingExtraError: a package is not installed.
            MissingWeightsError: published weights are neither on this machine nor to be downloaded.
        """
        super().__init__(config, context)
        published = load_published(config) if config.weights else None
        config = published.config if published else config
        contrast, caption = config.contrastive_weight > 0, config.caption_weight > 0
        fused, pooled = config.classify != "unimodal+pooled", config.classify != "multimodal-cls"
        width = config.width
        # Modules draw their initial weights in this order: another order gives every seed other scores.
        self.image_encoder = _image_encoder(config, published)
        self.text_encoder = _text_encoder(config, published)
        source = self.image_encoder.width
        self.poolers = _poolers(config, source) if contrast or caption or fused else CascadedPoolers(Skip(), Skip())
        self.multimodal = _multimodal_decoder(config) if caption or fused else Skip()
        self.text_norm = nn.LayerNorm(width) if contrast or pooled else Skip()
        self.losses = nn.ModuleDict()
        if isinstance(self.text_encoder, TextDecoder) and caption:
            self.losses["captioning"] = CaptioningLoss(config, self.text_encoder.vocabulary)
        if contrast:
            self.losses["contrastive"] = ContrastiveLoss(config)
        self.readouts = nn.ModuleList([MultimodalCls()] if fused else [])
        if pooled:
            self.readouts.append(PooledAndUnimodal(AttentionalPooler(width, config.pooler_heads, source, 1)))
        for layer in self.losses.modules():
            if isinstance(layer, nn.Linear):
                nn.init.normal_(layer.weight, std=width**-0.5)  # three times torch's default, as CLIP does
        if published:
            published.fill(self)
        # CoCa's own text encoder contains the unimodal decoder; behind another encoder it is a module of its own.
        own = isinstance(self.text_encoder, TextDecoder)
        self.unimodal = nn.Identity() if own else StateDecoder(config, self.text_encoder.width)
        self.input_dropout, self.dropout = FeatureDropout(config.input_dropout), nn.Dropout(config.dropout)
        self.heads = Heads((fused + 2 * pooled) * width, context)
        self.prior = ClassPrior(context)

    def forward(self, batch: Batch) -> Output:
        """Return logits of every task; in training also the losses ``contrastive`` and ``captioning``."""
        has_image, has_text = self._shown(batch)
        states = self._states(batch, has_image, has_text)
        losses: dict[str, Tensor] = {}
        if self.training:
            for loss in self.losses.values():
                losses |= loss(states, batch)
        features = torch.cat([readout(states) for readout in self.readouts], -1)
        logits = self.heads(self.dropout(features))
        return Output(self.prior(logits, has_image | has_text), losses, embedding=features)

    def _shown(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return bool ``[B]`` for image and text; modality dropout hides one of the two in some training examples."""
        has_image, has_text = batch.has_image, batch.has_text
        if not (self.training and self.config.modality_dropout):
            return has_image, has_text
        u, rate = torch.rand(len(batch), device=has_image.device), self.config.modality_dropout
        hide_image, hide_text = u < rate / 2, (u >= rate / 2) & (u < rate)
        return has_image & ~(hide_image & has_text), has_text & ~(hide_text & has_image)

    def _states(self, batch: Batch, has_image: Tensor, has_text: Tensor) -> States:
        """Run encoders, poolers and decoders.

        Outputs of a missing input are replaced by zeros before anything reads them: a mask alone would let NaN through,
        as NaN times zero is NaN.
        """
        image, text = self.image_encoder(batch), self.text_encoder(batch)
        text_mask = text.mask & has_text[:, None]
        text = self.unimodal(Encoded(torch.where(text_mask[:, :, None], text.tokens, 0), text_mask, text.pooled))
        cls = torch.where(has_text[:, None], text.pooled, 0)
        image_tokens = self.input_dropout(torch.where(has_image[:, None, None], image.tokens, 0))
        image_mask = image.mask | ~has_image[:, None]  # softmax needs a key in every row
        captions, contrast = self.poolers(image_tokens, image_mask)
        captions = torch.where(has_image[:, None, None], captions, 0)
        multimodal = self.multimodal(
            torch.cat([text.tokens, cls[:, None].to(text.tokens.dtype)], 1), captions, text.mask
        )
        return States(
            image_tokens, image_mask, contrast, self.text_norm(cls), text.mask, multimodal, has_image, has_text
        )


def _poolers(config: CoCaConfig, source: int) -> nn.Module:
    """Build the poolers; ``source``: number of features of the image tokens."""
    first = AttentionalPooler(config.width, config.pooler_heads, source, config.queries)
    if config.poolers == "single":
        return SinglePooler(first)
    contrast = config.contrastive_weight > 0
    return CascadedPoolers(
        first, AttentionalPooler(config.width, config.pooler_heads, config.width, 1) if contrast else Skip()
    )


def _multimodal_decoder(config: CoCaConfig) -> MultimodalDecoder:
    """Build the multimodal decoder; without captioning only [CLS] of its top layer is read."""
    width, heads, dropout = config.width, config.heads, config.dropout
    top = SelfAttention if config.caption_weight else LastTokenAttention
    layers = [
        MultimodalLayer(
            attention=attention(width, heads, dropout),
            mlp=MLP(width, dropout),
            between=MLP(width, dropout) if config.multimodal_block == "open_clip" else nn.Identity(),
            cross=CrossAttention(width, heads, dropout),
        )
        for attention in [*[SelfAttention] * (config.multimodal_layers - 1), top]
    ]
    return MultimodalDecoder(layers, width)


def _image_encoder(config: CoCaConfig, published: Published | None) -> ImageEncoder:
    """Build the image encoder; the weights of a published CoCa are filled in later."""
    if not config.image_encoder.startswith("vit:"):
        return image_encoder(config.image_encoder, config.image_tuning, tokens=True)
    vit = ViT(config.image_encoder, published.image_input if published else None)
    _tune(vit, config.image_tuning, "image", published)
    return vit


def _text_encoder(config: CoCaConfig, published: Published | None) -> TextEncoder:
    """Build the text encoder; the weights of a published CoCa are filled in later.

    Raises:
        UserError: captioning is on, and this text encoder gives it no words to predict.
    """
    if config.text_encoder not in TOKENIZERS:
        if config.caption_weight:
            raise UserError(
                f"coca: captioning predicts the next word, which the token states of {config.text_encoder} already "
                "contain; set caption_weight=0, or text_encoder to bytes or clip-bpe."
            )
        return text_encoder(config.text_encoder, config.text_tuning, tokens=True)
    tokenizer = TOKENIZERS[config.text_encoder]()
    text = TextDecoder(config, tokenizer, published.vocabulary if published else tokenizer.vocabulary)
    _tune(text, config.text_tuning, "text", published)
    if config.caption_weight and text.frozen:
        raise UserError(
            "coca: captioning needs token ids, which the cache of a frozen text encoder does not hold; set "
            "caption_weight=0 or text_tuning.frozen=false."
        )
    return text


def _tune(encoder: Encoder, tuning: Tuning, kind: Literal["image", "text"], published: Published | None) -> None:
    """Make one of CoCa's own encoders learn as ``tuning`` says.

    Raises:
        UserError: the options do not fit the encoder.
    """
    if tuning.lora_rank:
        raise UserError(
            f"coca: the {kind} encoder {encoder.name} does not support LoRA; leave {kind}_tuning.lora_rank out."
        )
    if tuning.frozen and not published:
        raise UserError(
            f"coca: the {kind} encoder {encoder.name} has no pretrained weights, so it cannot be frozen; set "
            f"{kind}_tuning.frozen=false."
        )
    # A saved model leaves out frozen weights that can be loaded by name; random ones cannot.
    encoder.published, encoder.keeps_tokens = published is not None and not published.random, True
    tuned(encoder, tuning)

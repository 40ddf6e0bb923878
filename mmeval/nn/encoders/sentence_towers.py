"""CLIP and SigLIP as ``sentence-transformers`` holds them: each tower by itself, and what the model does after it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from torch import Tensor, nn

from mmeval.files import digest
from mmeval.nn.encoder import Encoded, TextInput
from mmeval.nn.encoders import pretrained
from mmeval.nn.encoders.hf_image import HubImage
from mmeval.nn.encoders.hf_text import TextTower
from mmeval.nn.encoders.hf_tokens import PublishedTokenizer
from mmeval.nn.encoders.sentence_transformer import behind, whole

KINDS = ("clip", "metaclip_2", "siglip")
"""The ``model_type`` of those that we take apart."""


class SentenceTower(TextTower):
    """The text half, tokens projected as ``pooled`` is.

    SigLIP was trained on 64 tokens without a mask, and pools the last of them, padding or not. sentence-transformers
    pads to the longest text of a batch and passes a mask, so that a text's embedding changes with its neighbours; here
    it is as in training. The mask still says where the text stands.
    """

    def __init__(self, name: str, parts: Sequence[nn.Module], prompt: str = "") -> None:
        """``parts`` are the modules of a ``SentenceTransformer``; ``prompt`` is put before each text."""
        first: Any = parts[0]
        model, tokenizer = first.model, first.tokenizer
        siglip = model.config.model_type == "siglip"
        length = int(model.config.text_config.max_position_embeddings)
        if not siglip:
            length = min(length, first.max_seq_length or length)
        scaling = _scaling(model)
        read = TextInput(length, type(tokenizer).__name__, "length" if siglip else "longest", not siglip, prompt)
        super().__init__(name, model, PublishedTokenizer(tokenizer, length), read)
        self.logit_scale, self.logit_bias = scaling
        self.rest = nn.ModuleList(parts[1:])

    def tokenize(self, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Texts -> ids ``[B, T]`` and mask."""
        return super().tokenize([whole(text) for text in texts])

    def encode(self, ids: Tensor, mask: Tensor) -> Encoded:
        """Ids -> tokens and pooled, in the joint space."""
        return _finished(super().encode(ids, mask), self.rest)

    def _digest(self) -> str:
        return digest(super()._digest(), *map(repr, self.rest))


class SentenceImage(HubImage):
    """The image half; tokens are the patches, normed and projected where CLIP's class token is."""

    def __init__(self, name: str, parts: Sequence[nn.Module]) -> None:
        """``parts`` are the modules of a ``SentenceTransformer``.

        Raises:
            UserError: its pictures are prepared as we can't.
        """
        first: Any = parts[0]
        scaling = _scaling(first.model)
        read = getattr(first, "images", None) or pretrained.declared(first.processor.image_processor)
        super().__init__(name, first.model, read)
        self.logit_scale, self.logit_bias = scaling
        self.rest = nn.ModuleList(parts[1:])

    def encode(self, images: Tensor) -> Encoded:
        """uint8 ``[B, 3, H, W]`` -> tokens and pooled, in the joint space; SigLIP's tokens are its last states."""
        return _finished(super().encode(images), self.rest)

    def _digest(self) -> str:
        return digest(super()._digest(), *map(repr, self.rest))


def _finished(encoded: Encoded, parts: Iterable[nn.Module]) -> Encoded:
    features = {"sentence_embedding": encoded.pooled}
    for part in parts:
        features = part(features)
    return Encoded(behind(parts, encoded.tokens), encoded.mask, features["sentence_embedding"])


def _scaling(model: Any) -> tuple[float, float | None]:  # noqa: ANN401 - transformers' own class
    """What cosines are multiplied by and what is added, as trained."""
    bias = getattr(model, "logit_bias", None)
    return float(model.logit_scale.detach().exp()), None if bias is None else float(bias.detach())

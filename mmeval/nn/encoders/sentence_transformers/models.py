"""CLIP and SigLIP as ``sentence-transformers`` holds them: each tower by itself, and what the model does after it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from torch import Tensor, nn

from mmeval.files import digest
from mmeval.nn.encoder import Encoded, TextEncoder, TextInput
from mmeval.nn.encoders.huggingface import pretrained
from mmeval.nn.encoders.huggingface.image import HubImage
from mmeval.nn.encoders.huggingface.text import TextTower
from mmeval.nn.encoders.huggingface.tokenizer import PublishedTokenizer
from mmeval.nn.encoders.parts import by_layers

AFTER = ("Dense", "LayerNorm")
"""Modules behind the pooling that are applied to each token too, so that tokens stay as wide as ``pooled``."""
KINDS = ("clip", "metaclip_2", "siglip")
"""The ``model_type`` of those that we take apart."""


class SentenceText(TextEncoder):
    """A transformer, its pooling, and what follows; ``pooled`` is what the model's own ``encode`` gives.

    What follows (``Dense``) is applied to each token as well: where it is linear, the mean of the tokens is still the
    pooled vector of mean pooling. Scaling to length 1 is not.
    """

    def __init__(self, name: str, parts: Sequence[nn.Module], prompt: str = "") -> None:
        """``parts`` are the modules of a ``SentenceTransformer``; ``prompt`` is put before each text."""
        super().__init__()
        first: Any = parts[0]
        pretrained.without_pooler(first.model)
        self.name = name
        self.parts = nn.ModuleList(parts)
        self.width = dimension(parts)
        length = first.max_seq_length or first.tokenizer.model_max_length
        self.input = TextInput(int(length), type(first.tokenizer).__name__, prefix=prompt)
        # Some leave their prompt out of the pooling (Instructor).
        self._left_out = len(first.tokenizer(prompt, add_special_tokens=False).input_ids) if prompt else 0
        # Tokenizers are set to cut and pad by their first call, which would not be safe in several threads.
        self.tokenize(["a"])

    def blocks(self) -> Sequence[nn.Module]:
        """Embeddings, then each layer."""
        model: Any = self.parts[0]
        return tuple(part.within(model.model) for part in by_layers(model.model))

    def checkpoint(self) -> None:
        """Turn gradient checkpointing on.

        Raises:
            NotImplementedError: this transformer has none.
        """
        part: Any = self.parts[0]
        pretrained.checkpointed(part.model)

    def tokenize(self, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Texts -> ids ``[B, T]`` and mask, as the model's own preprocessing makes them."""
        part: Any = self.parts[0]
        made = part.preprocess([self.input.prefix + whole(text) for text in texts])
        return made["input_ids"], made["attention_mask"].bool()

    def encode(self, ids: Tensor, mask: Tensor) -> Encoded:
        """Ids -> tokens and pooled."""
        features: dict[str, Any] = {"input_ids": ids, "attention_mask": mask.long(), "modality": "text"}
        if self._left_out:
            features["prompt_length"] = self._left_out + 1  # the first special token too
        for part in self.parts:
            features = part(features)
        tokens = features["token_embeddings"]
        return Encoded(behind(self.parts, tokens), mask, features["sentence_embedding"])

    def _digest(self) -> str:
        return digest(super()._digest(), *(repr(part) for part in self.parts[1:]))  # pooling has no weights


def behind(parts: Iterable[nn.Module], tokens: Tensor) -> Tensor:
    """Tokens ``[B, T, D]`` after what stands behind the pooling; a token's share of each way of pooling is itself."""
    for module in parts:
        part: Any = module
        if type(part).__name__ == "Pooling":
            tokens = tokens.repeat(1, 1, part.pooling_output_dimension // part.embedding_dimension)
        elif type(part).__name__ in AFTER and getattr(part, "module_input_name", "") != "token_embeddings":
            tokens = part({"sentence_embedding": tokens})["sentence_embedding"]
    return tokens


def dimension(parts: Sequence[nn.Module]) -> int:
    """The width of what the last part that has one gives."""
    asked = (getattr(part, "get_embedding_dimension", None) for part in reversed(parts))
    return int(next(ask for ask in asked if ask is not None)())


def whole(text: str) -> str:
    """``text`` without halves of surrogate pairs, which tokenizers refuse."""
    return text.encode("utf-8", "replace").decode()


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
        scaling = pretrained.scaling(model)
        read = TextInput(length, type(tokenizer).__name__, "length" if siglip else "longest", not siglip, prompt)
        super().__init__(name, model, PublishedTokenizer(tokenizer, length), read)
        self.logit_bias, self.logit_scale = scaling
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
            UserError: its images are prepared as we can't.
        """
        first: Any = parts[0]
        scaling = pretrained.scaling(first.model)
        read = getattr(first, "images", None) or pretrained.declared(first.processor.image_processor)
        super().__init__(name, first.model, read)
        self.logit_bias, self.logit_scale = scaling
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

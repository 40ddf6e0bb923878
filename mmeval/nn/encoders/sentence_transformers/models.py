"""Encoders for modules of ``sentence-transformers``: text models, and the towers of CLIP and SigLIP."""

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
from mmeval.nn.encoders.parts import blocks_by_layer
from mmeval.nn.encoders.tokens import replace_surrogates

AFTER_POOLING = ("Dense", "LayerNorm")
"""Modules after the pooling that are applied to each token too, so that tokens are as wide as ``pooled``."""
TWO_TOWERS = ("clip", "metaclip_2", "siglip")
"""Values of ``model_type`` of the supported models with two towers."""


class SentenceText(TextEncoder):
    """A transformer, its pooling, and further modules; ``pooled`` is the result of the model's own ``encode``.

    ``Dense`` and ``LayerNorm`` after the pooling are applied to each token too. If they are linear, the mean of the
    tokens still equals the pooled vector of mean pooling. Normalisation to length 1 is not applied to tokens.
    """

    def __init__(self, name: str, parts: Sequence[nn.Module], prompt: str = "") -> None:
        """``parts`` are the modules of a ``SentenceTransformer``; ``prompt`` is put before each text."""
        super().__init__()
        first: Any = parts[0]
        pretrained.remove_pooler(first.model)
        self.name = name
        self.parts = nn.ModuleList(parts)
        self.width = _output_width(parts)
        length = first.max_seq_length or first.tokenizer.model_max_length
        self.input = TextInput(int(length), type(first.tokenizer).__name__, prefix=prompt)
        # Some models (Instructor) exclude the prompt from the pooling.
        self._prompt_tokens = len(first.tokenizer(prompt, add_special_tokens=False).input_ids) if prompt else 0
        # The first call sets a tokenizer's truncation and padding, which is not thread-safe.
        self.tokenize(["a"])

    def blocks(self) -> Sequence[nn.Module]:
        """Return the embeddings, then each layer."""
        model: Any = self.parts[0]
        return tuple(paths.within(model.model) for paths in blocks_by_layer(model.model))

    def enable_gradient_checkpointing(self) -> None:
        """Turn on gradient checkpointing.

        Raises:
            NotImplementedError: this transformer does not support it.
        """
        part: Any = self.parts[0]
        pretrained.enable_gradient_checkpointing(part.model)

    def tokenize(self, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Return ids ``[B, T]`` and mask of texts, from the model's own preprocessing."""
        part: Any = self.parts[0]
        features = part.preprocess([self.input.prefix + replace_surrogates(text) for text in texts])
        return features["input_ids"], features["attention_mask"].bool()

    def encode(self, ids: Tensor, mask: Tensor) -> Encoded:
        """Encode ids into tokens and pooled vectors."""
        features: dict[str, Any] = {"input_ids": ids, "attention_mask": mask.long(), "modality": "text"}
        if self._prompt_tokens:
            features["prompt_length"] = self._prompt_tokens + 1  # the first special token too
        for part in self.parts:
            features = part(features)
        tokens = features["token_embeddings"]
        return Encoded(_apply_to_tokens(self.parts, tokens), mask, features["sentence_embedding"])

    def _digest(self) -> str:
        return digest(super()._digest(), *(repr(part) for part in self.parts[1:]))  # pooling has no weights


def _apply_to_tokens(parts: Iterable[nn.Module], tokens: Tensor) -> Tensor:
    """Apply the modules after the pooling to tokens ``[B, T, D]``; pooling a single token returns the token."""
    for module in parts:
        part: Any = module
        if type(part).__name__ == "Pooling":
            tokens = tokens.repeat(1, 1, part.pooling_output_dimension // part.embedding_dimension)
        elif type(part).__name__ in AFTER_POOLING and getattr(part, "module_input_name", "") != "token_embeddings":
            tokens = part({"sentence_embedding": tokens})["sentence_embedding"]
    return tokens


def _output_width(parts: Sequence[nn.Module]) -> int:
    """Return the output width of the last module that declares one."""
    getters = (getattr(part, "get_embedding_dimension", None) for part in reversed(parts))
    return int(next(getter for getter in getters if getter is not None)())


class SentenceTower(TextTower):
    """The text tower of CLIP or SigLIP; tokens are projected like ``pooled``.

    SigLIP was trained on 64 tokens without a mask, and pools the last one, even if it is padding. sentence-transformers
    pads to the longest text of a batch and passes a mask, so that a text's embedding depends on its neighbours; this
    class does as in training. The mask of the tokens still marks the text.
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
        """Return ids ``[B, T]`` and mask ``[B, T]`` of texts."""
        return super().tokenize([replace_surrogates(text) for text in texts])

    def encode(self, ids: Tensor, mask: Tensor) -> Encoded:
        """Encode ids into tokens and pooled vectors in the joint space."""
        return _apply_rest(super().encode(ids, mask), self.rest)

    def _digest(self) -> str:
        return digest(super()._digest(), *map(repr, self.rest))


class SentenceImage(HubImage):
    """The image tower of CLIP or SigLIP; CLIP's patches are normed and projected like its class token."""

    def __init__(self, name: str, parts: Sequence[nn.Module]) -> None:
        """``parts`` are the modules of a ``SentenceTransformer``.

        Raises:
            UserError: its preprocessing is not supported.
        """
        first: Any = parts[0]
        scaling = pretrained.scaling(first.model)
        read = getattr(first, "images", None) or pretrained.image_input(first.processor.image_processor)
        super().__init__(name, first.model, read)
        self.logit_bias, self.logit_scale = scaling
        self.rest = nn.ModuleList(parts[1:])

    def encode(self, images: Tensor) -> Encoded:
        """Encode images into tokens and pooled vectors in the joint space; SigLIP's tokens are its last states."""
        return _apply_rest(super().encode(images), self.rest)

    def _digest(self) -> str:
        return digest(super()._digest(), *map(repr, self.rest))


def _apply_rest(encoded: Encoded, parts: Iterable[nn.Module]) -> Encoded:
    """Apply the modules that follow a tower to its pooled vectors and tokens."""
    features = {"sentence_embedding": encoded.pooled}
    for part in parts:
        features = part(features)
    return Encoded(_apply_to_tokens(parts, encoded.tokens), encoded.mask, features["sentence_embedding"])

"""Text encoders of ``transformers``: BERT and XLM-R, other language models, and the text towers of CLIP and SigLIP."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any
from urllib.parse import unquote

import torch
from torch import Tensor, nn

from mmeval.errors import UserError
from mmeval.nn.encoder import Encoded, TextEncoder, TextInput, masked_mean
from mmeval.nn.encoders.huggingface import pretrained
from mmeval.nn.encoders.huggingface.bert import BertEncoder, Pooling
from mmeval.nn.encoders.huggingface.tokenizer import PublishedTokenizer
from mmeval.nn.encoders.name import EncoderName
from mmeval.nn.encoders.parts import blocks_by_layer
from mmeval.nn.encoders.tokens import SpecialIds, SubwordTokenizer, pad_rows
from mmeval.nn.encoders.weights import WeightsSource, weights_source

BERTS = ("bert", "roberta", "xlm-roberta")
"""``model_type`` of the architectures with BERT's parts."""
DEFAULT_LENGTH = 512
"""Tokens at most, if neither the tokenizer nor the positions have a limit."""
E5 = re.compile(r"(multilingual-)?e5-(small|base|large)(-v2|-unsupervised)?")
"""Names of models that were trained with "query: " or "passage: " before each text (arXiv 2402.05672)."""


def build_text(name: EncoderName, frozen: bool) -> TextEncoder:  # noqa: ARG001 - built alike either way
    """Build ``hf:OWNER/NAME``, with the options ``pool``, ``length``, ``prefix``, ``revision`` and ``weights``."""
    source = weights_source(name, "pool", "length", "prefix")
    pretrained.transformers(f"The text encoder {name.full}")
    config = pretrained.configuration(source)
    if "text_config" in config.sub_configs or config.model_type.endswith("_text_model"):
        return _tower(name, source, config)
    pooling: Pooling = "cls" if name.choice("pool", "mean", "cls") == "cls" else "mean"
    tokenizer = pretrained.tokenizer(source)
    read = TextInput(_length(name, tokenizer, config), type(tokenizer).__name__, prefix=_prefix(name))
    if config.is_encoder_decoder:
        # get_encoder, because T5EncoderModel registers the word embeddings under two names, and both would be saved.
        model = pretrained.weights(source, config, "AutoModelForTextEncoding").get_encoder()
    else:
        model = pretrained.weights(source, config)
    if config.model_type in BERTS and getattr(tokenizer, "backend_tokenizer", None) is not None:
        encoder: TextEncoder = BertEncoder(name.full, model, _subwords(tokenizer), read, pooling)
    else:
        pretrained.remove_pooler(model)
        encoder = HubText(name.full, model, PublishedTokenizer(tokenizer, read.length), read, pooling)
    encoder.published = source.published
    return encoder


class HubText(TextEncoder):
    """Any model of ``transformers`` that takes ids and a mask; tokens are its last hidden states."""

    def __init__(
        self, name: str, model: nn.Module, tokenizer: PublishedTokenizer, read: TextInput, pooling: Pooling = "mean"
    ) -> None:
        """``pooling`` turns the states into ``pooled``: their mean over the mask, or the first state."""
        super().__init__()
        config: Any = model.config
        self.name, self.input, self.pooling, self.tokenizer = name, read, pooling, tokenizer
        self.model, self.width = model, int(getattr(config, "text_config", config).hidden_size)
        self._block_paths = blocks_by_layer(model)

    def blocks(self) -> Sequence[nn.Module]:
        """Return the embeddings, then each layer."""
        return tuple(paths.within(self.model) for paths in self._block_paths)

    def enable_gradient_checkpointing(self) -> None:
        """Turn on gradient checkpointing."""
        pretrained.enable_gradient_checkpointing(self.model)

    def tokenize(self, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Return ids ``[B, T]`` and mask ``[B, T]`` of texts, from the published tokenizer."""
        rows = self.tokenizer.rows([self.input.prefix + text for text in texts])
        if self.input.padding == "longest":
            return pad_rows(rows, self.tokenizer.pad)
        if not self.tokenizer.pads_left:
            return pad_rows(rows, self.tokenizer.pad, self.input.length)
        ids, mask = pad_rows([row[::-1] for row in rows], self.tokenizer.pad, self.input.length)
        return ids.flip(1), mask.flip(1)

    def encode(self, ids: Tensor, mask: Tensor) -> Encoded:
        """Encode ids ``[B, T]`` with their mask (True for a token) into the last hidden states ``[B, T, D]``.

        ``pooled`` ``[B, D]`` is their mean over the mask, or the first state (``pooling="cls"``).
        """
        states: Tensor = self.model(input_ids=ids, attention_mask=mask.long()).last_hidden_state
        if self.pooling == "cls":
            return Encoded(states, mask, states[:, 0])
        return Encoded(states, mask, masked_mean(states, mask))


class TextTower(HubText):
    """The text tower of CLIP, SigLIP and similar models; ``pooled`` lies in the joint space of images and texts.

    The same projection is applied to the tokens, so ``pooled`` is one of them: CLIP's end of text, SigLIP's last
    position.
    """

    def __init__(self, name: str, model: nn.Module, tokenizer: PublishedTokenizer, read: TextInput) -> None:
        """Wrap ``model``, in place; its image tower is removed."""
        super().__init__(name, model, tokenizer, read)
        pretrained.keep_tower(model, "text")
        self._block_paths = blocks_by_layer(model)
        self.width = getattr(self._projection, "out_features", self.width)

    def encode(self, ids: Tensor, mask: Tensor) -> Encoded:
        """Encode ids ``[B, T]`` with their mask into projected states ``[B, T, D]`` and text features ``[B, D]``."""
        model: Any = self.model
        options = {"attention_mask": mask.long()} if self.input.masked else {}
        features = model.get_text_features if hasattr(model, "get_text_features") else model
        out = features(input_ids=ids, **options)
        if torch.is_tensor(out):  # transformers before 5
            return Encoded(out[:, None], torch.ones_like(mask[:, :1]), out)
        return Encoded(self._projection(out.last_hidden_state), mask, out.pooler_output)

    @property
    def _projection(self) -> nn.Module:
        tower = getattr(self.model, "text_model", None) or self.model
        projection = getattr(self.model, "text_projection", None) or getattr(tower, "head", None)
        return projection if isinstance(projection, nn.Module) else nn.Identity()


def _tower(name: EncoderName, source: WeightsSource, config: Any) -> TextTower:  # noqa: ANN401
    if "pool" in name.options:
        raise UserError(f'"{name.full}": it has a pooling of its own; leave pool out.')
    # SigLIP was trained on texts padded to 64 tokens without a mask, and pools the last position (arXiv 2303.15343).
    siglip = config.model_type.startswith("siglip")
    if siglip and "length" in name.options:
        raise UserError(f'"{name.full}": its texts always have the length that it was trained on; leave length out.')
    tokenizer = pretrained.tokenizer(source)
    text_config = config.text_config if "text_config" in config.sub_configs else config
    length = text_config.max_position_embeddings if siglip else _length(name, tokenizer, text_config)
    read = TextInput(length, type(tokenizer).__name__, "length" if siglip else "longest", not siglip, _prefix(name))
    model = pretrained.weights(source, config)
    if not (hasattr(model, "get_text_features") or config.model_type.endswith("_text_model")):
        raise UserError(f'"{name.full}": {config.model_type} has no text features of its own.')
    encoder = TextTower(name.full, model, PublishedTokenizer(tokenizer, length), read)
    encoder.published = source.published
    return encoder


def _length(name: EncoderName, tokenizer: Any, config: Any) -> int:  # noqa: ANN401
    positions = getattr(config, "max_position_embeddings", None) or 1 << 20
    if config.model_type in ("roberta", "xlm-roberta", "camembert"):
        positions -= config.pad_token_id + 1  # the first position is the id after the padding's
    limit = min(positions, tokenizer.model_max_length)
    length = name.integer("length", int(limit) if limit < 1 << 20 else DEFAULT_LENGTH, int(min(positions, 1 << 15)))
    if length < 3:
        raise UserError(f'"{name.full}": length={length} leaves no room for a text.')
    return length


def _prefix(name: EncoderName) -> str:
    default = "query: " if E5.fullmatch(name.argument.rstrip("/").rpartition("/")[2]) else ""
    prefix = name.options.get("prefix")
    if prefix is None:
        return default
    return "" if prefix == "none" else unquote(prefix)


def _subwords(tokenizer: Any) -> SubwordTokenizer:  # noqa: ANN401
    ids = (tokenizer.pad_token_id, tokenizer.cls_token_id, tokenizer.sep_token_id, tokenizer.mask_token_id)
    special = SpecialIds(*(-1 if token is None else token for token in ids))
    return SubwordTokenizer(type(tokenizer).__name__, tokenizer.backend_tokenizer, special)

"""Text encoders of ``transformers``: BERT and its like, others by their last states, the towers of CLIP and SigLIP."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any
from urllib.parse import unquote

import torch
from torch import Tensor, nn

from mmeval.errors import UserError
from mmeval.nn.encoder import Encoded, TextEncoder, TextInput
from mmeval.nn.encoders.huggingface import pretrained
from mmeval.nn.encoders.huggingface.bert import BertEncoder, Pooling
from mmeval.nn.encoders.huggingface.tokenizer import PublishedTokenizer
from mmeval.nn.encoders.name import Named
from mmeval.nn.encoders.parts import by_layers
from mmeval.nn.encoders.tokens import Special, SubwordTokenizer, padded
from mmeval.nn.encoders.weights import Source, source

BERTS = ("bert", "roberta", "xlm-roberta")
"""Architectures with BERT's parts."""
LONGEST = 512
"""Tokens, where neither tokenizer nor positions have a limit."""
E5 = re.compile(r"(multilingual-)?e5-(small|base|large)(-v2|-unsupervised)?")
"""Names of models that were trained on texts behind "query: " and "passage: " (arXiv 2402.05672)."""


def text(named: Named, frozen: bool) -> TextEncoder:  # noqa: ARG001 - made alike either way
    """``hf:OWNER/NAME``, with the options ``pool``, ``length``, ``prefix``, ``revision`` and ``weights``."""
    found = source(named, "pool", "length", "prefix")
    pretrained.transformers(f"The text encoder {named.full}")
    config = pretrained.configuration(found)
    if "text_config" in config.sub_configs or config.model_type.endswith("_text_model"):
        return _tower(named, found, config)
    pooling: Pooling = "cls" if named.choice("pool", "mean", "cls") == "cls" else "mean"
    tokenizer = pretrained.tokenizer(found)
    read = TextInput(_length(named, tokenizer, config), _kind(tokenizer), prefix=_prefix(named))
    if config.is_encoder_decoder:
        # Its encoder's only name for the word vectors: T5EncoderModel has two, and both would be saved.
        model = pretrained.weights(found, config, "AutoModelForTextEncoding").get_encoder()
    else:
        model = pretrained.weights(found, config)
    if config.model_type in BERTS and getattr(tokenizer, "backend_tokenizer", None) is not None:
        made: TextEncoder = BertEncoder(named.full, model, _subwords(tokenizer), read, pooling)
    else:
        pretrained.without_pooler(model)
        made = HubText(named.full, model, PublishedTokenizer(tokenizer, read.length), read, pooling)
    made.published = found.published
    return made


class HubText(TextEncoder):
    """Any model of ``transformers`` that reads ids and a mask: tokens are its last hidden states."""

    def __init__(
        self, name: str, model: nn.Module, tokenizer: PublishedTokenizer, read: TextInput, pooling: Pooling = "mean"
    ) -> None:
        """``pooling`` makes ``pooled`` of the states: their mean over the mask, or the first."""
        super().__init__()
        config: Any = model.config
        self.name, self.input, self.pooling, self.tokenizer = name, read, pooling, tokenizer
        self.model, self.width = model, int(getattr(config, "text_config", config).hidden_size)
        self._places = by_layers(model)

    def blocks(self) -> Sequence[nn.Module]:
        """Embeddings, then each layer."""
        return tuple(place.within(self.model) for place in self._places)

    def checkpoint(self) -> None:
        """Turn gradient checkpointing on."""
        pretrained.checkpointed(self.model)

    def tokenize(self, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Texts -> ids ``[B, T]`` and mask, as the published tokenizer gives them."""
        rows = self.tokenizer.rows([self.input.prefix + text for text in texts])
        if self.input.padding == "longest":
            return padded(rows, self.tokenizer.pad)
        if not self.tokenizer.pads_left:
            return padded(rows, self.tokenizer.pad, self.input.length)
        ids, mask = padded([row[::-1] for row in rows], self.tokenizer.pad, self.input.length)
        return ids.flip(1), mask.flip(1)

    def encode(self, ids: Tensor, mask: Tensor) -> Encoded:
        """Ids -> last hidden states; ``pooled`` is their mean over the mask, or the first."""
        states: Tensor = self.model(input_ids=ids, attention_mask=mask.long()).last_hidden_state
        if self.pooling == "cls":
            return Encoded(states, mask, states[:, 0])
        weights = mask[:, :, None].to(states.dtype)
        return Encoded(states, mask, (states * weights).sum(1) / weights.sum(1).clamp(min=1))


class TextTower(HubText):
    """The text half of CLIP, SigLIP and their like; ``pooled`` lies in the space that images and texts share.

    Tokens are brought there too, by the same projection, so that ``pooled`` is one of them: CLIP's end of text,
    SigLIP's last position.
    """

    def __init__(self, name: str, model: nn.Module, tokenizer: PublishedTokenizer, read: TextInput) -> None:
        """``model`` holds both halves; that of images is dropped."""
        super().__init__(name, model, tokenizer, read)
        pretrained.only(model, "text")
        self._places = by_layers(model)
        self.width = getattr(self._projection, "out_features", self.width)

    def encode(self, ids: Tensor, mask: Tensor) -> Encoded:
        """Ids -> projected states, and the model's own text features."""
        model: Any = self.model
        told = {"attention_mask": mask.long()} if self.input.masked else {}
        features = model.get_text_features if hasattr(model, "get_text_features") else model
        out = features(input_ids=ids, **told)
        if torch.is_tensor(out):  # transformers before 5
            return Encoded(out[:, None], torch.ones_like(mask[:, :1]), out)
        return Encoded(self._projection(out.last_hidden_state), mask, out.pooler_output)

    @property
    def _projection(self) -> nn.Module:
        tower = getattr(self.model, "text_model", None) or self.model
        found = getattr(self.model, "text_projection", None) or getattr(tower, "head", None)
        return found if isinstance(found, nn.Module) else nn.Identity()


def _tower(named: Named, found: Source, config: Any) -> TextTower:  # noqa: ANN401
    if "pool" in named.options:
        raise UserError(f'"{named.full}": it has a pooling of its own; leave pool out.')
    # SigLIP is trained on texts padded to 64 without a mask, and pools the last position (arXiv 2303.15343).
    alike = config.model_type.startswith("siglip")
    if alike and "length" in named.options:
        raise UserError(f'"{named.full}": its texts always have the length that it was trained on; leave length out.')
    tokenizer = pretrained.tokenizer(found)
    half = config.text_config if "text_config" in config.sub_configs else config
    length = half.max_position_embeddings if alike else _length(named, tokenizer, half)
    read = TextInput(length, _kind(tokenizer), "length" if alike else "longest", not alike, _prefix(named))
    model = pretrained.weights(found, config)
    if not (hasattr(model, "get_text_features") or config.model_type.endswith("_text_model")):
        raise UserError(f'"{named.full}": {config.model_type} has no text features of its own.')
    made = TextTower(named.full, model, PublishedTokenizer(tokenizer, length), read)
    made.published = found.published
    return made


def _length(named: Named, tokenizer: Any, config: Any) -> int:  # noqa: ANN401
    positions = getattr(config, "max_position_embeddings", None) or 1 << 20
    if config.model_type in ("roberta", "xlm-roberta", "camembert"):
        positions -= config.pad_token_id + 1  # they are counted from there on
    limit = min(positions, tokenizer.model_max_length)
    length = named.number("length", int(limit) if limit < 1 << 20 else LONGEST, int(min(positions, 1 << 15)))
    if length < 3:
        raise UserError(f'"{named.full}": length={length} leaves no room for a text.')
    return length


def _prefix(named: Named) -> str:
    own = "query: " if E5.fullmatch(named.rest.rstrip("/").rpartition("/")[2]) else ""
    asked = named.options.get("prefix")
    return own if asked is None else "" if asked == "none" else unquote(asked)


def _kind(tokenizer: Any) -> str:  # noqa: ANN401
    return type(tokenizer).__name__


def _subwords(tokenizer: Any) -> SubwordTokenizer:  # noqa: ANN401
    ids = (tokenizer.pad_token_id, tokenizer.cls_token_id, tokenizer.sep_token_id, tokenizer.mask_token_id)
    special = Special(*(-1 if one is None else one for one in ids))
    return SubwordTokenizer(_kind(tokenizer), tokenizer.backend_tokenizer, special)

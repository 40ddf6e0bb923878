"""BERT and its like (XLM-R, multilingual-e5) in parts: as a text encoder, and as the trunk of single-stream models."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn

from mmeval.nn.encoder import Encoded, TextEncoder, TextInput
from mmeval.nn.encoders.huggingface.pretrained import checkpointed
from mmeval.nn.encoders.tokens import Tokenizer, framed, padded

Pooling = Literal["mean", "cls"]


class BertEncoder(TextEncoder):
    """A ``transformers`` model with BERT's parts: ``embeddings`` (words, positions, types, norm) and ``encoder``.

    ``encode`` is the model's own forward pass. A single-stream model calls the parts instead: ``words`` for its text,
    ``embed`` for what it makes a sequence of, ``layers``, and ``take_pooler``.
    """

    def __init__(
        self, name: str, model: nn.Module, tokenizer: Tokenizer, read: TextInput, pooling: Pooling = "mean"
    ) -> None:
        """``model`` is a ``BertModel`` or ``XLMRobertaModel``; ``pooling`` makes ``pooled`` of its last states."""
        super().__init__()
        config: Any = model.config
        self.name, self.width, self.input, self.pooling = name, config.hidden_size, read, pooling
        self.tokenizer = tokenizer
        self.specials = True
        """Whether ``tokenize`` puts the text between [CLS] and [SEP]."""
        self.model = model
        # In a tuple, which torch doesn't look into: a pooler that nobody asks for must not be a parameter.
        self._pooler = (getattr(model, "pooler", None),)
        if self._pooler[0] is not None:
            setattr(model, "pooler", None)  # noqa: B010 - torch's stubs refuse None
        # RoBERTa counts positions from the padding's id on.
        self.first_position = config.pad_token_id + 1 if "roberta" in config.model_type else 0

    @property
    def embeddings(self) -> Any:  # noqa: ANN401 - transformers' own class
        """Word, position and type tables, norm and dropout."""
        return self.model.embeddings

    def blocks(self) -> Sequence[nn.Module]:
        """Embeddings, then each layer."""
        encoder: Any = self.model.encoder
        return (self.embeddings, *encoder.layer)

    def held(self) -> Sequence[nn.Module]:
        """The layers, not the embeddings: what MMBT's authors hold (arXiv 1909.02950)."""
        return self.blocks()[1:]

    def checkpoint(self) -> None:
        """Turn gradient checkpointing on."""
        checkpointed(self.model)

    def tokenize(self, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Texts -> ids ``[B, T]`` and mask."""
        rows = self.tokenizer.cut([self.input.prefix + text for text in texts])
        if self.specials:
            rows = framed(rows, self.tokenizer.special, self.input.length)
        rows = [row[: self.input.length] for row in rows]
        return padded(rows, self.tokenizer.special.pad, self.input.length if self.input.padding == "length" else None)

    def encode(self, ids: Tensor, mask: Tensor) -> Encoded:
        """Ids -> last hidden states; ``pooled`` is their mean over the mask, or the first."""
        states = self.layers(self.embed(self.words(ids), torch.arange(ids.shape[1], device=ids.device)), mask)
        if self.pooling == "cls":
            return Encoded(states, mask, states[:, 0])
        weights = mask[:, :, None].to(states.dtype)
        return Encoded(states, mask, (states * weights).sum(1) / weights.sum(1).clamp(min=1))

    def words(self, ids: Tensor) -> Tensor:
        """Word vectors ``[B, T, D]``, without position, type or norm."""
        vectors: Tensor = self.embeddings.word_embeddings(ids)
        return vectors

    def embed(self, content: Tensor, positions: Tensor, types: Tensor | int = 0) -> Tensor:
        """``LayerNorm(content + position + type)`` and dropout: BERT's embedding of any tokens.

        Args:
            content: ``[B, T, D]``, from ``words`` or an image.
            positions: int64 ``[T]`` or ``[B, T]``, counted from 0.
            types: int64 ``[T]`` or ``[B, T]``, or one type for all.
        """
        table = self.embeddings
        kinds = torch.full_like(positions, types) if isinstance(types, int) else types
        x = content + table.position_embeddings(positions + self.first_position) + table.token_type_embeddings(kinds)
        out: Tensor = table.dropout(table.LayerNorm(x))
        return out

    def layers(self, x: Tensor, mask: Tensor) -> Tensor:
        """``[B, T, D]`` and bool ``[B, T]`` -> states ``[B, T, D]``."""
        encoder: Any = self.model.encoder
        hidden = torch.zeros(mask.shape, dtype=x.dtype, device=x.device).masked_fill(~mask, torch.finfo(x.dtype).min)
        states: Tensor = encoder(x, attention_mask=hidden[:, None, None]).last_hidden_state
        return states

    def take_pooler(self) -> nn.Module:
        """``[B, T, D]`` -> ``tanh(W first + b)`` ``[B, D]``: the checkpoint's pooler, or a new one if it has none."""
        (own,) = self._pooler
        if own is None:
            from transformers.models.bert.modeling_bert import BertPooler

            own = BertPooler(self.model.config)  # type: ignore[no-untyped-call]
            nn.init.normal_(own.dense.weight, std=0.02)
            nn.init.zeros_(own.dense.bias)
        return own

    def need_types(self, count: int) -> None:
        """Make sure of ``count`` token types; new ones start as the mean of those there are (as MMBT's third does)."""
        table = self.embeddings.token_type_embeddings
        missing = count - table.num_embeddings
        if missing > 0:
            weight = torch.cat([table.weight.data, table.weight.data.mean(0, keepdim=True).expand(missing, -1)])
            grown = nn.Embedding(count, self.width)
            grown.weight.data = weight
            self.embeddings.token_type_embeddings = grown
            self.embeddings.token_type_embeddings.weight.requires_grad_(table.weight.requires_grad)

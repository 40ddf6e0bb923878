"""BERT, XLM-R and multilingual-e5, as text encoders and as trunks of single-stream models."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn

from mmeval.nn.encoder import Encoded, TextEncoder, TextInput, masked_mean
from mmeval.nn.encoders.huggingface.pretrained import enable_gradient_checkpointing
from mmeval.nn.encoders.tokens import Tokenizer, add_special_tokens, pad_rows

Pooling = Literal["mean", "cls"]


class BertEncoder(TextEncoder):
    """A ``transformers`` model with BERT's parts: ``embeddings`` (words, positions, types, norm) and ``encoder``.

    ``encode`` is the model's own forward pass. A single-stream model calls the parts instead: ``words`` for its text,
    ``embed`` for its sequence of text and image tokens, ``layers``, and ``take_pooler``.
    """

    def __init__(
        self, name: str, model: nn.Module, tokenizer: Tokenizer, read: TextInput, pooling: Pooling = "mean"
    ) -> None:
        """``model`` is a ``BertModel`` or ``XLMRobertaModel``; ``pooling`` turns its last states into ``pooled``."""
        super().__init__()
        config: Any = model.config
        self.name, self.width, self.input, self.pooling = name, config.hidden_size, read, pooling
        self.tokenizer = tokenizer
        self.specials = True
        """Whether :meth:`tokenize` puts each text between [CLS] and [SEP]."""
        self.model = model
        # In a tuple, so that torch does not register it: an unused pooler must not be a parameter of the encoder.
        self._pooler = (getattr(model, "pooler", None),)
        if self._pooler[0] is not None:
            setattr(model, "pooler", None)  # noqa: B010 - torch's stubs refuse None
        # RoBERTa's first position is the id after the padding's.
        self.first_position = config.pad_token_id + 1 if "roberta" in config.model_type else 0

    @property
    def embeddings(self) -> Any:  # noqa: ANN401 - transformers' own class
        """Word, position and type tables, norm and dropout."""
        return self.model.embeddings

    def blocks(self) -> Sequence[nn.Module]:
        """Return the embeddings, then each layer."""
        encoder: Any = self.model.encoder
        return (self.embeddings, *encoder.layer)

    def frozen_at_first(self) -> Sequence[nn.Module]:
        """Return the layers but not the embeddings, as MMBT's authors freeze them (arXiv 1909.02950)."""
        return self.blocks()[1:]

    def enable_gradient_checkpointing(self) -> None:
        """Turn on gradient checkpointing."""
        enable_gradient_checkpointing(self.model)

    def tokenize(self, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Return ids ``[B, T]`` and mask ``[B, T]`` of texts."""
        rows = self.tokenizer.tokenize([self.input.prefix + text for text in texts])
        if self.specials:
            rows = add_special_tokens(rows, self.tokenizer.special, self.input.length)
        rows = [row[: self.input.length] for row in rows]
        return pad_rows(rows, self.tokenizer.special.pad, self.input.length if self.input.padding == "length" else None)

    def encode(self, ids: Tensor, mask: Tensor) -> Encoded:
        """Encode ids into last hidden states; ``pooled`` is their mean over the mask, or the first state."""
        states = self.layers(self.embed(self.words(ids), torch.arange(ids.shape[1], device=ids.device)), mask)
        if self.pooling == "cls":
            return Encoded(states, mask, states[:, 0])
        return Encoded(states, mask, masked_mean(states, mask))

    def words(self, ids: Tensor) -> Tensor:
        """Return word vectors ``[B, T, D]``, without position, type or norm."""
        vectors: Tensor = self.embeddings.word_embeddings(ids)
        return vectors

    def embed(self, content: Tensor, positions: Tensor, types: Tensor | int = 0) -> Tensor:
        """Return BERT's embedding ``[B, T, D]`` of any tokens: ``LayerNorm(content + position + type)`` with dropout.

        Args:
            content: ``[B, T, D]``, from :meth:`words` or an image encoder.
            positions: int64 ``[T]`` or ``[B, T]``, counted from 0.
            types: int64 ``[T]`` or ``[B, T]``, or one type for all.
        """
        table = self.embeddings
        type_ids = torch.full_like(positions, types) if isinstance(types, int) else types
        x = content + table.position_embeddings(positions + self.first_position) + table.token_type_embeddings(type_ids)
        out: Tensor = table.dropout(table.LayerNorm(x))
        return out

    def layers(self, x: Tensor, mask: Tensor) -> Tensor:
        """Run the layers on ``x`` ``[B, T, D]`` with the mask ``[B, T]``; returns the last states ``[B, T, D]``."""
        encoder: Any = self.model.encoder
        bias = torch.zeros(mask.shape, dtype=x.dtype, device=x.device).masked_fill(~mask, torch.finfo(x.dtype).min)
        states: Tensor = encoder(x, attention_mask=bias[:, None, None]).last_hidden_state
        return states

    def take_pooler(self) -> nn.Module:
        """Return the checkpoint's pooler, or a new one if it has none, for the caller to register.

        It maps states ``[B, T, D]`` to ``tanh(W first + b)`` ``[B, D]``, where ``first`` is the first state.
        """
        (own,) = self._pooler
        if own is None:
            from transformers.models.bert.modeling_bert import BertPooler

            own = BertPooler(self.model.config)  # type: ignore[no-untyped-call]
            nn.init.normal_(own.dense.weight, std=0.02)
            nn.init.zeros_(own.dense.bias)
        return own

    def ensure_token_types(self, count: int) -> None:
        """Extend the table of token types to ``count`` rows; new rows start as the mean of the old ones.

        This is how MMBT's authors add a third type.
        """
        table = self.embeddings.token_type_embeddings
        missing = count - table.num_embeddings
        if missing > 0:
            weight = torch.cat([table.weight.data, table.weight.data.mean(0, keepdim=True).expand(missing, -1)])
            extended = nn.Embedding(count, self.width)
            extended.weight.data = weight
            extended.weight.requires_grad_(table.weight.requires_grad)
            self.embeddings.token_type_embeddings = extended

"""Text towers of ``open_clip``: its transformer (CLIP, SigLIP, CoCa), and models of ``transformers``."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor, nn

from mmeval.errors import UserError
from mmeval.files import digest
from mmeval.nn.encoder import Encoded, TextEncoder, TextInput
from mmeval.nn.encoders.huggingface.pretrained import enable_gradient_checkpointing
from mmeval.nn.encoders.parts import block_of, blocks_by_layer
from mmeval.nn.encoders.tokens import replace_surrogates


def text_tower(
    name: str, text: nn.Module, tokenizer: Callable[[list[str]], Tensor], width: int, hidden: bool
) -> OpenClipText:
    """Return the encoder for a text tower.

    Args:
        name: the encoder's name.
        text: ``model.text``, which is changed in place.
        tokenizer: the result of ``open_clip.get_tokenizer``.
        width: the width of the joint space.
        hidden: whether to return the states before the projection (``space=hidden``).

    Raises:
        UserError: the class of the tower is not supported.
    """
    from open_clip.hf_model import HFTextEncoder
    from open_clip.transformer import TextTransformer

    known = {TextTransformer: ClipText, HFTextEncoder: HfText}
    if type(text) not in known:
        raise UserError(f'"{name}": {type(text).__name__} is no text tower that mmeval supports.')
    encoder: OpenClipText = known[type(text)](name, text, tokenizer, width, hidden)
    return encoder


class OpenClipText(TextEncoder):
    """Base of text towers; nothing is normalised to length 1.

    The mask covers the text with its start and end, even if the model itself attends to padding.
    """

    input: TextInput
    logit_scale: float
    """Factor of the cosines, as trained."""
    logit_bias: float | None
    """Added to the scaled cosines (SigLIP); None without a bias."""
    architecture: str = ""
    """The model's configuration as JSON; it is part of the digest because weights show neither activation nor heads."""

    def __init__(
        self, name: str, text: nn.Module, tokenizer: Callable[[list[str]], Tensor], width: int, hidden: bool
    ) -> None:
        """Wrap ``text``; the arguments are those of :func:`text_tower`."""
        super().__init__()
        self.name, self.width, self.hidden = name, width, hidden
        self.text: Any = text
        self.tokenizer: Any = tokenizer
        self.input = self._input(int(getattr(tokenizer, "context_length", 77)), type(tokenizer).__name__)
        if hidden:
            self.width = self._unproject()
        # The first call sets a tokenizer's truncation and padding, which is not thread-safe.
        self.tokenizer(["a"])

    @abstractmethod
    def _input(self, length: int, tokenizer: str) -> TextInput: ...

    @abstractmethod
    def _unproject(self) -> int:
        """Remove the projection; returns the width of the states before it."""

    def tokenize(self, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Return ids ``[B, length]`` and mask of texts; a truncated text keeps its end-of-text token."""
        ids: Tensor = self.tokenizer([replace_surrogates(text) for text in texts])
        mask = self._text_mask(ids)
        mask[:, 0] |= ~mask.any(1)  # a text without any token
        return ids, mask

    def _text_mask(self, ids: Tensor) -> Tensor:
        """Return bool ``[B, T]``, True for tokens of the text."""
        backend = getattr(self.tokenizer, "tokenizer", None)
        if backend is None:
            # CLIP's tokenizer pads with 0, which is also a token; the end of text has the highest id.
            return _up_to(ids == ids.amax(1, keepdim=True))
        if backend.pad_token_id == backend.eos_token_id:
            return _up_to(ids == backend.pad_token_id)
        return ids.ne(backend.pad_token_id)

    def _digest(self) -> str:
        return digest(super()._digest(), self.architecture)


class ClipText(OpenClipText):
    """open_clip's transformer; ``pooled`` comes from the end of text, the last token (SigLIP) or CoCa's class token."""

    def __init__(
        self, name: str, text: nn.Module, tokenizer: Callable[[list[str]], Tensor], width: int, hidden: bool
    ) -> None:
        """Wrap ``text``; the arguments are those of :func:`text_tower`."""
        super().__init__(name, text, tokenizer, width, hidden)
        self.text.output_tokens = True

    def _input(self, length: int, tokenizer: str) -> TextInput:
        masked = self.text.use_pad_mask or self.text.cls_emb is not None
        return TextInput(length, tokenizer, padding="length", masked=masked)

    def _unproject(self) -> int:
        self.text.text_projection = None
        return int(self.text.width)

    def blocks(self) -> Sequence[nn.Module]:
        """Return the embeddings, then each layer."""
        first = ("token_embedding", "positional_embedding", "cls_emb")
        names = [name for name, _ in self.text.named_parameters() if name.split(".")[0] in first]
        return (block_of(self.text, names).within(self.text), *self.text.transformer.resblocks)

    def enable_gradient_checkpointing(self) -> None:
        """Turn on gradient checkpointing."""
        self.text.set_grad_checkpointing(True)

    def encode(self, ids: Tensor, mask: Tensor) -> Encoded:
        """Encode ids ``[B, length]`` into tokens and pooled vectors, in the joint space unless ``space=hidden``."""
        pooled, tokens = self.text(ids)  # pooled is projected, tokens never are
        if self.text.cls_emb is not None:
            tokens = self.text.ln_final(tokens)  # CoCa leaves them without the norm, for its decoder
        projection = self.text.text_projection
        if isinstance(projection, nn.Module):
            tokens = projection(tokens)
        elif projection is not None:
            tokens = tokens @ projection
        return Encoded(tokens, mask, pooled)


class HfText(OpenClipText):
    """A model of ``transformers`` with pooling and projection: XLM-R, mT5, NLLB."""

    def _input(self, length: int, tokenizer: str) -> TextInput:
        return TextInput(length, tokenizer)

    def _unproject(self) -> int:
        projection = self.text.proj
        self.text.proj = nn.Identity()
        first = next((m for m in projection.modules() if isinstance(m, nn.Linear)), None)
        return self.width if first is None else first.in_features

    def blocks(self) -> Sequence[nn.Module]:
        """Return the embeddings, then each layer."""
        return tuple(paths.within(self.text.transformer) for paths in blocks_by_layer(self.text.transformer))

    def enable_gradient_checkpointing(self) -> None:
        """Turn on gradient checkpointing.

        Raises:
            NotImplementedError: this model does not support it.
        """
        enable_gradient_checkpointing(self.text.transformer)

    def tokenize(self, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Return ids and mask, padded only to the longest text, because the model gets the mask."""
        ids, mask = super().tokenize(texts)
        used = mask.any(0).nonzero()
        first, last = int(used[0]), int(used[-1])  # padding may be on the left
        return ids[:, first : last + 1], mask[:, first : last + 1]

    def encode(self, ids: Tensor, mask: Tensor) -> Encoded:
        """Encode ids ``[B, T]`` into tokens and pooled vectors, in the joint space unless ``space=hidden``."""
        attention_mask = mask.long()
        out = self.text.transformer(input_ids=ids, attention_mask=attention_mask)
        pooled = self.text.proj(self.text.pooler(out, attention_mask))
        return Encoded(self.text.proj(out.last_hidden_state), mask, pooled)


def _up_to(ends: Tensor) -> Tensor:
    """Return True up to the first end in each row, and for a whole row without an end."""
    before: Tensor = ends.cumsum(1) - ends.long() == 0
    return before

"""Text towers of ``open_clip``: its own transformer (CLIP, SigLIP, CoCa), and those of ``transformers``."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor, nn

from mmeval.errors import UserError
from mmeval.files import digest
from mmeval.nn.encoder import Encoded, TextEncoder, TextInput
from mmeval.nn.encoders.huggingface.pretrained import checkpointed
from mmeval.nn.encoders.parts import by_layers, place


def text_tower(
    name: str, text: nn.Module, tokenizer: Callable[[list[str]], Tensor], width: int, hidden: bool
) -> OpenClipText:
    """The encoder over one text tower.

    Args:
        name: the encoder's.
        text: ``model.text``; it is changed.
        tokenizer: what ``open_clip.get_tokenizer`` gives.
        width: of the joint space.
        hidden: whether states before the projection are wanted.

    Raises:
        UserError: it is no tower that we know.
    """
    from open_clip.hf_model import HFTextEncoder
    from open_clip.transformer import TextTransformer

    known = {TextTransformer: ClipText, HFTextEncoder: HfText}
    if type(text) not in known:
        raise UserError(f'"{name}": {type(text).__name__} is no text tower that mmeval knows.')
    made: OpenClipText = known[type(text)](name, text, tokenizer, width, hidden)
    return made


class OpenClipText(TextEncoder):
    """A text tower; nothing is normalised to length 1.

    The mask says where the text stands, its start and end included, also where the model itself looks at padding.
    """

    input: TextInput
    logit_scale: float
    """What cosines are multiplied by, as trained."""
    logit_bias: float | None
    """What is then added (SigLIP)."""
    architecture: str = ""
    """The model's configuration, as JSON: activation and heads are in no weight."""

    def __init__(
        self, name: str, text: nn.Module, tokenizer: Callable[[list[str]], Tensor], width: int, hidden: bool
    ) -> None:
        """Take ``text``; see :func:`text_tower`."""
        super().__init__()
        self.name, self.width, self.hidden = name, width, hidden
        self.text: Any = text
        self.tokenizer: Any = tokenizer
        self.input = self._input(int(getattr(tokenizer, "context_length", 77)), type(tokenizer).__name__)
        if hidden:
            self.width = self._unproject()
        # Tokenizers are set to cut and pad by their first call, which would not be safe in several threads.
        self.tokenizer(["a"])

    @abstractmethod
    def _input(self, length: int, tokenizer: str) -> TextInput: ...

    @abstractmethod
    def _unproject(self) -> int:
        """Take the projection away; the width of what is left."""

    def tokenize(self, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Texts -> ids ``[B, length]`` and mask; what is beyond the length is cut off, the end of text stays."""
        # Half of a surrogate pair is no text to any tokenizer.
        whole = [text.encode("utf-8", "replace").decode() for text in texts]
        ids: Tensor = self.tokenizer(whole)
        mask = self._stands(ids)
        mask[:, 0] |= ~mask.any(1)  # a text of which nothing is left
        return ids, mask

    def _stands(self, ids: Tensor) -> Tensor:
        """Where text stands, bool ``[B, T]``."""
        backend = getattr(self.tokenizer, "tokenizer", None)
        if backend is None:
            # CLIP's own pads with 0, which is also a token; the end of text is the highest id there is.
            return _up_to(ids == ids.amax(1, keepdim=True))
        if backend.pad_token_id == backend.eos_token_id:
            return _up_to(ids == backend.pad_token_id)
        return ids.ne(backend.pad_token_id)

    def _digest(self) -> str:
        return digest(super()._digest(), self.architecture)


class ClipText(OpenClipText):
    """open_clip's own; ``pooled`` is the state at the end of text, the last one (SigLIP), or of CoCa's class token."""

    def __init__(
        self, name: str, text: nn.Module, tokenizer: Callable[[list[str]], Tensor], width: int, hidden: bool
    ) -> None:
        """As the base."""
        super().__init__(name, text, tokenizer, width, hidden)
        self.text.output_tokens = True

    def _input(self, length: int, tokenizer: str) -> TextInput:
        masked = self.text.use_pad_mask or self.text.cls_emb is not None
        return TextInput(length, tokenizer, padding="length", masked=masked)

    def _unproject(self) -> int:
        self.text.text_projection = None
        return int(self.text.width)

    def blocks(self) -> Sequence[nn.Module]:
        """Embeddings, then each layer."""
        first = ("token_embedding", "positional_embedding", "cls_emb")
        names = [name for name, _ in self.text.named_parameters() if name.split(".")[0] in first]
        return (place(self.text, names).within(self.text), *self.text.transformer.resblocks)

    def checkpoint(self) -> None:
        """Turn gradient checkpointing on."""
        self.text.set_grad_checkpointing(True)

    def encode(self, ids: Tensor, mask: Tensor) -> Encoded:
        """Ids ``[B, length]`` -> tokens and pooled, both in the joint space unless ``space=hidden``."""
        pooled, tokens = self.text(ids)  # pooled is projected, tokens never are
        if self.text.cls_emb is not None:
            tokens = self.text.ln_final(tokens)  # CoCa keeps them raw for its decoder
        projection = self.text.text_projection
        if isinstance(projection, nn.Module):
            tokens = projection(tokens)
        elif projection is not None:
            tokens = tokens @ projection
        return Encoded(tokens, mask, pooled)


class HfText(OpenClipText):
    """A model of ``transformers``, pooled and projected: XLM-R, mT5, NLLB."""

    def _input(self, length: int, tokenizer: str) -> TextInput:
        return TextInput(length, tokenizer)

    def _unproject(self) -> int:
        projection = self.text.proj
        self.text.proj = nn.Identity()
        first = next((m for m in projection.modules() if isinstance(m, nn.Linear)), None)
        return self.width if first is None else first.in_features

    def blocks(self) -> Sequence[nn.Module]:
        """Embeddings, then each layer."""
        return tuple(part.within(self.text.transformer) for part in by_layers(self.text.transformer))

    def checkpoint(self) -> None:
        """Turn gradient checkpointing on.

        Raises:
            NotImplementedError: this model has none.
        """
        checkpointed(self.text.transformer)

    def tokenize(self, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """As the base, but to the longest of these texts: the model is told where padding stands."""
        ids, mask = super().tokenize(texts)
        used = mask.any(0).nonzero()
        first, last = int(used[0]), int(used[-1])  # padding may come first
        return ids[:, first : last + 1], mask[:, first : last + 1]

    def encode(self, ids: Tensor, mask: Tensor) -> Encoded:
        """Ids ``[B, T]`` -> tokens and pooled, both in the joint space unless ``space=hidden``."""
        shown = mask.long()
        out = self.text.transformer(input_ids=ids, attention_mask=shown)
        return Encoded(self.text.proj(out.last_hidden_state), mask, self.text.proj(self.text.pooler(out, shown)))


def _up_to(ends: Tensor) -> Tensor:
    """True up to the first end of each row, all of a row without one."""
    before: Tensor = ends.cumsum(1) - ends.long() == 0
    return before

"""Examples -> Batch, prepared as the model's encoders declare."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from mmeval.data.batch import Batch
from mmeval.data.examples import Examples
from mmeval.data.images import decode_batch
from mmeval.engine.cache import Embeddings
from mmeval.engine.embeddings import embeddings, fits, text_embeddings
from mmeval.nn.encoder import ImageEncoder
from mmeval.nn.model import TorchModel


class Collate:
    """Makes the batch of any rows of ``examples`` for one model; safe to call from several threads."""

    def __init__(self, examples: Examples, model: TorchModel, device: torch.device, *, labels: bool) -> None:
        """``labels``: whether batches carry them; prediction is made without."""
        self.examples, self.model = examples, model
        self._labels = {t.name: torch.from_numpy(examples.labels(t.name)) for t in model.context.tasks if labels}
        self._attributes = {
            name: _indices(examples.attribute(name), of) for name, of in model.context.attributes.items()
        }
        # Read once here, so that threads share them.
        self._texts, self._languages, self._image_rows = examples.texts, examples.languages, examples.image_rows
        self._images = self._frozen_images(device)
        self._shown, self._text_rows = _distinct(self._texts)
        self._cached_texts = self._frozen_texts(device)
        # Of what is shown, not of the id: what two examples are called must not move a prediction.
        shown = zip(self._texts, self._languages, examples.image_digests(self._image_rows), strict=True)
        self._seeds = torch.tensor([_seed(*parts) for parts in shown], dtype=torch.int64)

    def __call__(self, rows: NDArray[np.int64]) -> Batch:
        """The batch of ``rows``, in their order, on the CPU."""
        texts = [self._texts[row] for row in rows]
        image_rows = self._image_rows[rows]
        return Batch(
            has_image=torch.from_numpy(image_rows >= 0),
            has_text=torch.tensor([bool(text.strip()) for text in texts]),
            languages=tuple(self._languages[row] for row in rows),
            labels={name: values[rows] for name, values in self._labels.items()},
            seeds=self._seeds[rows],
            **self._image_fields(image_rows),
            **self._text_fields(rows, texts),
            attributes={name: values[rows] for name, values in self._attributes.items()},
        )

    def _image_fields(self, image_rows: NDArray[np.int64]) -> dict[str, torch.Tensor]:
        encoder, cached = self.model.image_encoder, self._images
        if encoder is None:
            return {}
        if cached is None:
            if not (image_rows >= 0).any():
                return {}
            read = encoder.input
            size, encoded = (read.height, read.width), self.examples.encoded_images(image_rows)
            return {"images": decode_batch(encoded, size, read.interpolation, read.crop)}
        fields = {"image_embeddings": torch.from_numpy(cached.gather(image_rows))}
        return fields | ({"image_tokens": cached.gather_tokens(image_rows)[0]} if encoder.keeps_tokens else {})

    def _text_fields(self, rows: NDArray[np.int64], texts: list[str]) -> dict[str, torch.Tensor]:
        encoder, cached = self.model.text_encoder, self._cached_texts
        if encoder is None:
            return {}
        if encoder.frozen and not self._shown:
            # What it makes of nothing, nobody looks at.
            return {"text_embeddings": torch.zeros(len(rows), encoder.width)}
        if cached is None:
            ids, mask = encoder.tokenize(texts)
            return {"text_ids": ids, "text_mask": mask}
        numbers = self._text_rows[rows]
        fields = {"text_embeddings": torch.from_numpy(cached.gather(numbers))}
        if encoder.keeps_tokens:
            fields["text_tokens"], fields["text_mask"] = cached.gather_tokens(numbers)
        return fields

    def _frozen_images(self, device: torch.device) -> Embeddings | None:
        encoder, rows = self.model.image_encoder, self._image_rows
        if encoder is None or not encoder.frozen or not (rows >= 0).any():
            return None
        if encoder.keeps_tokens and not fits(encoder, len(np.unique(rows)), _tokens_of_a_image(encoder, device)):
            return None
        return embeddings(encoder, self.examples.store, rows, device)

    def _frozen_texts(self, device: torch.device) -> Embeddings | None:
        encoder = self.model.text_encoder
        if encoder is None or not encoder.frozen or not self._shown:
            return None
        if encoder.keeps_tokens and not fits(encoder, len(self._shown), encoder.input.length):
            return None
        return text_embeddings(encoder, self._shown, device)


def _distinct(texts: Sequence[str]) -> tuple[list[str], NDArray[np.int64]]:
    """Each text that shows something, once, and which of them each row has (-1: none)."""
    number = {text: i for i, text in enumerate(dict.fromkeys(text for text in texts if text.strip()))}
    return list(number), np.array([number.get(text, -1) for text in texts], np.int64)


def _tokens_of_a_image(encoder: ImageEncoder, device: torch.device) -> int:
    # Moved outside of inference mode: weights that come to a device within it can't be loaded or trained any more.
    encoder.to(device)
    with torch.inference_mode():
        blank = torch.zeros(1, 3, encoder.input.height, encoder.input.width, dtype=torch.uint8, device=device)
        return encoder.encode(blank).tokens.shape[1]


def _indices(values: Sequence[str], known: Sequence[str]) -> torch.Tensor:
    index = {value: number for number, value in enumerate(known)}
    return torch.tensor([index.get(value, -1) for value in values], dtype=torch.int64)


def _seed(*shown: str) -> int:
    content = "\0".join(shown).encode()
    return int.from_bytes(hashlib.blake2b(content, digest_size=8).digest(), "little", signed=True)

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
from mmeval.engine.embeddings import Embeddings, embeddings
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
        self._embeddings = self._frozen_image_embeddings(device)
        # Read once here, so that threads share them.
        self._texts, self._languages, self._image_rows = examples.texts, examples.languages, examples.image_rows
        # Of what is shown, not of the id: what two examples are called must not move a prediction.
        shown = zip(self._texts, self._languages, examples.image_digests(self._image_rows), strict=True)
        self._seeds = torch.tensor([_seed(*parts) for parts in shown], dtype=torch.int64)

    def __call__(self, rows: NDArray[np.int64]) -> Batch:
        """The batch of ``rows``, in their order, on the CPU."""
        texts = [self._texts[row] for row in rows]
        image_rows = self._image_rows[rows]
        ids, mask = self.model.text_encoder.tokenize(texts) if self.model.text_encoder else (None, None)
        cached = self._embeddings
        return Batch(
            has_image=torch.from_numpy(image_rows >= 0),
            has_text=torch.tensor([bool(text.strip()) for text in texts]),
            languages=tuple(self._languages[row] for row in rows),
            labels={name: values[rows] for name, values in self._labels.items()},
            seeds=self._seeds[rows],
            images=None if cached else self._pixels(image_rows),
            image_embeddings=torch.from_numpy(cached.gather(image_rows)) if cached else None,
            text_ids=ids,
            text_mask=mask,
            attributes={name: values[rows] for name, values in self._attributes.items()},
        )

    def _frozen_image_embeddings(self, device: torch.device) -> Embeddings | None:
        encoder = self.model.image_encoder
        rows = self.examples.image_rows
        if encoder is None or not encoder.frozen or not (rows >= 0).any():
            return None
        return embeddings(encoder, self.examples.store, rows, device)

    def _pixels(self, image_rows: NDArray[np.int64]) -> torch.Tensor | None:
        encoder = self.model.image_encoder
        if encoder is None or not (image_rows >= 0).any():
            return None
        size = (encoder.input.height, encoder.input.width)
        return decode_batch(self.examples.encoded_images(image_rows), size, encoder.input.interpolation)


def _indices(values: Sequence[str], known: Sequence[str]) -> torch.Tensor:
    index = {value: number for number, value in enumerate(known)}
    return torch.tensor([index.get(value, -1) for value in values], dtype=torch.int64)


def _seed(*shown: str) -> int:
    content = "\0".join(shown).encode()
    return int.from_bytes(hashlib.blake2b(content, digest_size=8).digest(), "little", signed=True)

"""Batches for a model, prepared as its encoders declare their input."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np
import torch
from numpy.typing import NDArray

from mmeval.data.batch import Batch
from mmeval.data.examples import Examples
from mmeval.data.images import decode_batch
from mmeval.engine.cache import Embeddings, to_float16
from mmeval.engine.embeddings import image_embeddings, text_embeddings, tokens_fit_cache
from mmeval.nn.encoder import Encoded, ImageEncoder
from mmeval.nn.model import TorchModel

CPU = torch.device("cpu")


class Collate:
    """A callable that builds the batch of any rows of ``examples`` for one model; several threads may call it."""

    def __init__(self, examples: Examples, model: TorchModel, device: torch.device, *, labels: bool) -> None:
        """Embed the inputs of frozen encoders on ``device``, or read them from the cache.

        ``labels``: whether batches carry labels; they must not in prediction.
        """
        self.examples, self.model = examples, model
        self._labels = {t.name: torch.from_numpy(examples.labels(t.name)) for t in model.context.tasks if labels}
        self._attributes = {
            name: _indices(examples.attribute(name), values) for name, values in model.context.attributes.items()
        }
        # Columns are read once, here, and shared by all threads.
        self._texts, self._languages, self._image_rows = examples.texts, examples.languages, examples.image_rows
        self._image_embeddings = self._embed_images(device)
        self._distinct_texts, self._text_numbers = _distinct(self._texts)
        self._text_embeddings = self._embed_texts(device)
        # Seeds follow from the inputs, not from the id: renaming examples must not change predictions.
        inputs = zip(self._texts, self._languages, examples.image_digests(self._image_rows), strict=True)
        self._seeds = torch.tensor([input_seed(*values) for values in inputs], dtype=torch.int64)

    def __call__(self, rows: NDArray[np.int64]) -> Batch:
        """Return the batch of ``rows``, in their order, on the CPU."""
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
        encoder, embeddings = self.model.image_encoder, self._image_embeddings
        if encoder is None:
            return {}
        if embeddings is None:
            if not (image_rows >= 0).any():
                return {}
            read = encoder.input
            size, encoded = (read.height, read.width), self.examples.encoded_images(image_rows)
            return {"images": decode_batch(encoded, size, read.interpolation, read.crop)}
        fields = {"image_embeddings": torch.from_numpy(embeddings.gather(image_rows))}
        if encoder.keeps_tokens:
            fields["image_tokens"], _ = embeddings.gather_tokens(image_rows)
        return fields

    def _text_fields(self, rows: NDArray[np.int64], texts: list[str]) -> dict[str, torch.Tensor]:
        encoder, embeddings = self.model.text_encoder, self._text_embeddings
        if encoder is None:
            return {}
        if encoder.frozen and not self._distinct_texts:
            # Skip encoding: no text is shown, so the output is masked anyway.
            return {"text_embeddings": torch.zeros(len(rows), encoder.width)}
        if embeddings is None:
            ids, mask = encoder.tokenize(texts)
            return {"text_ids": ids, "text_mask": mask}
        numbers = self._text_numbers[rows]
        fields = {"text_embeddings": torch.from_numpy(embeddings.gather(numbers))}
        if encoder.keeps_tokens:
            fields["text_tokens"], fields["text_mask"] = embeddings.gather_tokens(numbers)
        return fields

    def _embed_images(self, device: torch.device) -> Embeddings | None:
        """Return the embeddings of all images; None if the encoder learns, or if it has to run on every batch."""
        encoder, rows = self.model.image_encoder, self._image_rows
        if encoder is None or not encoder.frozen or not (rows >= 0).any():
            return None
        if encoder.keeps_tokens:
            tokens = _tokens_per_image(encoder, device)
            if not tokens_fit_cache(encoder, len(np.unique(rows)), tokens):
                return None
        return image_embeddings(encoder, self.examples.store, rows, device)

    def _embed_texts(self, device: torch.device) -> Embeddings | None:
        """Return the embeddings of all distinct texts; None as for images."""
        encoder, texts = self.model.text_encoder, self._distinct_texts
        if encoder is None or not encoder.frozen or not texts:
            return None
        if encoder.keeps_tokens and not tokens_fit_cache(encoder, len(texts), encoder.input.length):
            return None
        return text_embeddings(encoder, texts, device)


def collate_single(
    model: TorchModel,
    image: bytes | None,
    text: str,
    language: str,
    digest: str = "",
    attributes: Mapping[str, str] = MappingProxyType({}),
    device: torch.device = CPU,
) -> Batch:
    """Return the batch of a single example, without a Store and without threads.

    Args:
        model: the model, on ``device``; frozen encoders run at once.
        image: a prepared image; None for none.
        text: the text; empty for none.
        language: its language.
        digest: the digest of the image, as the Store has it.
        attributes: further inputs by name.
        device: where frozen encoders run.
    """
    image_encoder, text_encoder = model.image_encoder, model.text_encoder
    has_text = bool(text.strip())
    fields: dict[str, torch.Tensor] = {}
    if image_encoder is not None and image is not None:
        read = image_encoder.input
        images = decode_batch([image], (read.height, read.width), read.interpolation, read.crop)
        if image_encoder.frozen:
            with torch.inference_mode():
                encoded = image_encoder.encode(images.to(device))
            fields["image_embeddings"] = encoded.pooled.float()
            if image_encoder.keeps_tokens:
                fields["image_tokens"], _ = _as_cached(encoded)
        else:
            fields["images"] = images
    if text_encoder is not None:
        if text_encoder.frozen and not has_text:
            fields["text_embeddings"] = torch.zeros(1, text_encoder.width)
        elif text_encoder.frozen:
            ids, mask = text_encoder.tokenize([text])
            with torch.inference_mode():
                encoded = text_encoder.encode(ids.to(device), mask.to(device))
            fields["text_embeddings"] = encoded.pooled.float()
            if text_encoder.keeps_tokens:
                fields["text_tokens"], fields["text_mask"] = _as_cached(encoded)
        else:
            fields["text_ids"], fields["text_mask"] = text_encoder.tokenize([text])
    known = model.context.attributes.items()
    return Batch(
        has_image=torch.tensor([image is not None]),
        has_text=torch.tensor([has_text]),
        languages=(language,),
        labels={},
        seeds=torch.tensor([input_seed(text, language, digest)], dtype=torch.int64),
        **fields,
        attributes={name: _indices([attributes.get(name, "")], values) for name, values in known},
    )


def _as_cached(encoded: Encoded) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the tokens ``[1, T, D]`` of a single example and their mask as the cache gives them: without padding."""
    tokens = torch.from_numpy(to_float16(encoded.tokens[0][encoded.mask[0]])).float()[None]
    return tokens, torch.ones(tokens.shape[:2], dtype=torch.bool)


def _distinct(texts: Sequence[str]) -> tuple[list[str], NDArray[np.int64]]:
    """Return the distinct texts that are not blank, and for each row the number of its text (-1: blank)."""
    number = {text: i for i, text in enumerate(dict.fromkeys(text for text in texts if text.strip()))}
    return list(number), np.array([number.get(text, -1) for text in texts], np.int64)


def _tokens_per_image(encoder: ImageEncoder, device: torch.device) -> int:
    # Moved outside of inference mode: weights that are moved within it can't be loaded or trained any more.
    encoder.to(device)
    with torch.inference_mode():
        blank = torch.zeros(1, 3, encoder.input.height, encoder.input.width, dtype=torch.uint8, device=device)
        return encoder.encode(blank).tokens.shape[1]


def _indices(values: Sequence[str], known: Sequence[str]) -> torch.Tensor:
    """Return the position of each value in ``known``; -1 for a value that training did not have."""
    index = {value: number for number, value in enumerate(known)}
    return torch.tensor([index.get(value, -1) for value in values], dtype=torch.int64)


def input_seed(*values: str) -> int:
    """Return the seed of an example, from its text, its language and the digest of its image."""
    content = "\0".join(values).encode()
    return int.from_bytes(hashlib.blake2b(content, digest_size=8).digest(), "little", signed=True)

"""Cached text embeddings and tokens: computed once, and equal to the encoder's output."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from mmeval import Batch, Examples, ModelContext, TorchConfig, Tuning, embed_texts
from mmeval.data.store import Store
from mmeval.engine import embeddings
from mmeval.engine.collate import Collate
from mmeval.engine.embeddings import text_embeddings
from mmeval.nn import Heads, Output, TextEncoder, TorchModel, image_encoder
from mmeval.nn.encoders.name import EncoderName
from mmeval.nn.encoders.scratch.small_bert import build_text
from mmeval.nn.tuning import tuned
from mmeval.protocol import Inputs

CPU = torch.device("cpu")
TEXTS = ["red apple", "", "Красное яблоко", "りんご", "red apple", "a much longer text than all of the others, by far"]


def frozen(tokens: bool = True) -> TextEncoder:
    torch.manual_seed(0)
    encoder = build_text(EncoderName.parse("small-bert:1x32"), frozen=False)
    encoder.keeps_tokens = tokens
    return tuned(encoder, Tuning(frozen=True))


class Reader(TorchModel):
    """A model with two frozen encoders whose tokens it reads."""

    def __init__(self, context: ModelContext, encoder: TextEncoder) -> None:
        super().__init__(TorchConfig(), context)
        self.text_encoder = encoder
        self.image_encoder = image_encoder("efficientnet-lite0:64", frozen=True, tokens=True)
        self.heads = Heads(encoder.width, context)

    def forward(self, batch: Batch) -> Output:
        return Output(self.heads(self.text_encoder(batch).pooled))


@pytest.fixture
def collate(store: Store, context: ModelContext) -> Callable[..., Collate]:
    def make(encoder: TextEncoder) -> Collate:
        return Collate(Examples(store, "test"), Reader(context, encoder), CPU, labels=False)

    return make


def test_cached_texts_equal_the_encoders_output() -> None:
    """Tokens are stored as float16; padding by longer texts in the batch changes nothing."""
    encoder = frozen()
    embeddings = text_embeddings(encoder, TEXTS, CPU)
    tokens, mask = embeddings.gather_tokens(np.arange(len(TEXTS)))
    with torch.inference_mode():
        for number, text in enumerate(TEXTS):
            alone = encoder.encode(*encoder.tokenize([text]))
            np.testing.assert_allclose(embeddings.gather(np.array([number]))[0], alone.pooled[0], atol=1e-5)
            torch.testing.assert_close(tokens[number][mask[number]], alone.tokens[0], atol=5e-3, rtol=1e-3)
    assert mask.sum(1).tolist() == [encoder.tokenize([text])[1].sum().item() for text in TEXTS]


def test_batch_from_the_cache_equals_the_encoders_batch(
    collate: Callable[..., Collate], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A data set too large for the cache must give the same model. Missing texts have no token."""
    rows = np.arange(42)
    with_cache = collate(frozen())
    cached = with_cache(rows)
    assert cached.text_ids is None
    assert cached.images is None
    monkeypatch.setattr(embeddings, "MAX_TOKEN_BYTES", 0)
    without_cache = collate(frozen())
    direct = without_cache(rows)
    assert direct.text_embeddings is None
    assert direct.image_embeddings is None
    for name in ("text_encoder", "image_encoder"):
        with torch.inference_mode():
            first, second = (
                getattr(source.model, name)(batch) for source, batch in ((with_cache, cached), (without_cache, direct))
            )
        torch.testing.assert_close(first.pooled, second.pooled, atol=1e-4, rtol=1e-3)
        for row in rows:
            torch.testing.assert_close(
                first.tokens[row][first.mask[row]], second.tokens[row][second.mask[row]], atol=1e-2, rtol=1e-2
            )
        assert not first.mask[~getattr(cached, f"has_{name.split('_')[0]}")].any()


def test_second_collate_reads_the_cache(collate: Callable[..., Collate], monkeypatch: pytest.MonkeyPatch) -> None:
    """A frozen encoder with a hundred million parameters must not run in every epoch of every run."""
    first = collate(frozen())(np.arange(9))
    encoder = frozen()
    monkeypatch.setattr(type(encoder), "encode", lambda *_: pytest.fail("computed again"))
    again = collate(encoder)(np.arange(9))
    assert first.text_tokens is not None
    assert again.text_tokens is not None
    torch.testing.assert_close(again.text_tokens, first.text_tokens, rtol=0, atol=0)


def test_entries_with_and_without_tokens_are_separate() -> None:
    """Tokens are only stored for models that read them, and such models never get an entry without tokens."""
    text_embeddings(frozen(tokens=False), TEXTS, CPU)
    tokens, mask = text_embeddings(frozen(tokens=True), TEXTS, CPU).gather_tokens(np.array([0, -1]))
    assert mask[0].any()
    assert not mask[1].any()
    assert not tokens[1].any()


def test_embed_texts_keeps_the_order_and_gives_zeros_for_empty_texts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embeddings, "text_encoder", lambda *_, **__: frozen(tokens=False))
    vectors = embed_texts(TEXTS, "any")
    assert vectors.shape == (6, 32)
    np.testing.assert_array_equal(vectors[0], vectors[4])
    assert not vectors[1].any()
    assert embed_texts(["", " "], "any").tolist() == np.zeros((2, 32)).tolist()


def test_tokens_beyond_float16_stay_finite(tmp_path: Path) -> None:
    """Some transformers have states of many thousands; infinity in the cache would make every loss NaN."""
    from mmeval.engine.cache import to_float16

    stored = to_float16(torch.tensor([[1e6, -1e6, 1.0]]))
    assert np.isfinite(stored).all()


def test_frozen_encoder_does_not_run_where_no_text_is_shown(
    store: Store, context: ModelContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise `--inputs image` costs a forward pass of the text encoder for each example of each epoch."""
    encoder = frozen()
    monkeypatch.setattr(type(encoder), "encode", lambda *_: pytest.fail("the encoder ran"))
    batch = Collate(Examples(store, "test", Inputs.IMAGE), Reader(context, encoder), CPU, labels=False)(np.arange(5))
    encoded = encoder(batch)
    assert not encoded.mask.any()
    assert not encoded.pooled.any()

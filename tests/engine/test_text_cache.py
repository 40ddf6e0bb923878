"""What a frozen text encoder makes of a text: computed once, its tokens too, and the same as without the cache."""

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
from mmeval.nn.encoders.name import Named
from mmeval.nn.encoders.scratch.small_bert import text
from mmeval.nn.tuning import tuned
from mmeval.protocol import Inputs

CPU = torch.device("cpu")
TEXTS = ["red apple", "", "Красное яблоко", "りんご", "red apple", "a much longer text than all of the others, by far"]


def frozen(tokens: bool = True) -> TextEncoder:
    torch.manual_seed(0)
    encoder = text(Named.parse("small-bert:1x32"), frozen=False)
    encoder.keeps_tokens = tokens
    return tuned(encoder, Tuning(frozen=True))


class Reader(TorchModel):
    """A model that reads the tokens of frozen encoders."""

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


def test_texts_and_their_tokens_are_the_encoders_own() -> None:
    """Tokens as float16; a text in a batch of longer ones is the same text."""
    encoder = frozen()
    found = text_embeddings(encoder, TEXTS, CPU)
    tokens, mask = found.gather_tokens(np.arange(len(TEXTS)))
    with torch.inference_mode():
        for number, one in enumerate(TEXTS):
            alone = encoder.encode(*encoder.tokenize([one]))
            np.testing.assert_allclose(found.gather(np.array([number]))[0], alone.pooled[0], atol=1e-5)
            torch.testing.assert_close(tokens[number][mask[number]], alone.tokens[0], atol=5e-3, rtol=1e-3)
    assert mask.sum(1).tolist() == [encoder.tokenize([one])[1].sum().item() for one in TEXTS]


def test_a_batch_from_the_cache_is_the_batch_that_the_encoder_makes(
    collate: Callable[..., Collate], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a model would be another one where its data set is too large for the cache. Missing texts have no token."""
    rows = np.arange(42)
    cached = collate(frozen())
    kept = cached(rows)
    assert kept.text_ids is None
    assert kept.images is None
    monkeypatch.setattr(embeddings, "MOST_TOKENS", 0)
    plain = collate(frozen())
    direct = plain(rows)
    assert direct.text_embeddings is None
    assert direct.image_embeddings is None
    for name in ("text_encoder", "image_encoder"):
        with torch.inference_mode():
            one, other = (getattr(made.model, name)(batch) for made, batch in ((cached, kept), (plain, direct)))
        torch.testing.assert_close(one.pooled, other.pooled, atol=1e-4, rtol=1e-3)
        for row in rows:
            torch.testing.assert_close(
                one.tokens[row][one.mask[row]], other.tokens[row][other.mask[row]], atol=1e-2, rtol=1e-2
            )
        assert not one.mask[~getattr(kept, f"has_{name.split('_')[0]}")].any()


def test_what_was_computed_once_is_read(collate: Callable[..., Collate], monkeypatch: pytest.MonkeyPatch) -> None:
    """A frozen encoder of a hundred million parameters can't be asked in every epoch of every run."""
    first = collate(frozen())(np.arange(9))
    encoder = frozen()
    monkeypatch.setattr(type(encoder), "encode", lambda *_: pytest.fail("computed again"))
    again = collate(encoder)(np.arange(9))
    assert first.text_tokens is not None
    assert again.text_tokens is not None
    torch.testing.assert_close(again.text_tokens, first.text_tokens, rtol=0, atol=0)


def test_pooled_and_tokens_are_kept_apart() -> None:
    """A model that reads no tokens must not pay for them, nor find an entry without them when it does."""
    text_embeddings(frozen(tokens=False), TEXTS, CPU)
    tokens, mask = text_embeddings(frozen(tokens=True), TEXTS, CPU).gather_tokens(np.array([0, -1]))
    assert mask[0].any()
    assert not mask[1].any()
    assert not tokens[1].any()


def test_embed_texts_gives_rows_in_order_and_zeros_for_what_is_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embeddings, "text_encoder", lambda *_, **__: frozen(tokens=False))
    found = embed_texts(TEXTS, "any")
    assert found.shape == (6, 32)
    np.testing.assert_array_equal(found[0], found[4])
    assert not found[1].any()
    assert embed_texts(["", " "], "any").tolist() == np.zeros((2, 32)).tolist()


def test_a_token_beyond_float16_stays_finite(tmp_path: Path) -> None:
    """Some transformers have a few states of thousands; infinity in the cache would become NaN in every loss."""
    from mmeval.engine.cache import half

    kept = half(torch.tensor([[1e6, -1e6, 1.0]]))
    assert np.isfinite(kept).all()


def test_where_no_text_is_shown_a_frozen_encoder_is_not_asked(
    store: Store, context: ModelContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`--inputs image` would else cost a forward pass of the text encoder for each example of each epoch."""
    encoder = frozen()
    monkeypatch.setattr(type(encoder), "encode", lambda *_: pytest.fail("asked"))
    batch = Collate(Examples(store, "test", Inputs.IMAGE), Reader(context, encoder), CPU, labels=False)(np.arange(5))
    encoded = encoder(batch)
    assert not encoded.mask.any()
    assert not encoded.pooled.any()

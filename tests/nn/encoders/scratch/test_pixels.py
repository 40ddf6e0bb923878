"""Pixels, patches and the convolution stem, the image inputs of Perceiver IO."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from mmeval import Batch, UserError
from mmeval.nn import image_encoder


def random_images(size: int) -> torch.Tensor:
    return torch.randint(256, (2, 3, size, size), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(("name", "patch"), [("pixels:16", 1), ("patches:16x4", 4)])
def test_patches_match_the_reference(name: str, patch: int) -> None:
    """Another order of pixels within a patch would make published weights useless."""
    from transformers.models.perceiver.modeling_perceiver import space_to_depth

    encoder = image_encoder(name)
    images = random_images(16)
    expected = space_to_depth(encoder.input.normalise(images), spatial_block_size=patch)  # type: ignore[no-untyped-call]
    encoded = encoder.encode(images)
    torch.testing.assert_close(encoded.tokens, expected.flatten(1, 2), rtol=0, atol=0)
    assert encoder.width == 3 * patch**2
    assert encoded.mask.all()
    assert encoded.mask.shape == (2, (16 // patch) ** 2)


def test_convolution_matches_the_reference() -> None:
    """The last row and column are excluded, because the reference's pooling drops them."""
    from transformers.models.perceiver.modeling_perceiver import Conv2DDownsample

    torch.manual_seed(0)
    encoder: Any = image_encoder("conv:32x8").eval()
    reference: Any = Conv2DDownsample(out_channels=8).eval()  # type: ignore[no-untyped-call]
    torch.nn.init.uniform_(reference.batchnorm.running_mean, -0.5, 0.5)
    encoder.conv.load_state_dict(reference.conv.state_dict())
    encoder.norm.load_state_dict(reference.batchnorm.state_dict())
    images = random_images(32)
    with torch.no_grad():
        expected = reference(encoder.input.normalise(images))
        tokens = encoder.encode(images).tokens.transpose(1, 2).unflatten(2, (8, 8))
    torch.testing.assert_close(tokens[:, :, :7, :7], expected)


@pytest.mark.parametrize("name", ["pixels:16", "patches:16x4", "conv:16x8"])
def test_batch_without_images_has_masked_tokens(name: str) -> None:
    """A data set without a single image must not stop a run."""
    absent = torch.zeros(3, dtype=torch.bool)
    encoded = image_encoder(name)(Batch(absent, absent, ("en",) * 3, {}, torch.arange(3)))
    assert not encoded.mask.any()
    assert encoded.tokens.shape[2] == encoded.pooled.shape[1] == image_encoder(name).width
    assert encoded.pooled.abs().sum() == 0


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("patches:30x4", "SIZE must be a multiple of 4 up to 1024."),
        ("pixels:2000", "SIZE must be a multiple of 1 up to 1024."),
        ("conv:30x8", "SIZE must be a multiple of 4 up to 1024."),
        ("patches:32", "write SIZExPATCH."),
        ("pixels:0", "write SIZE."),
        ("pixels:8?weights=random", 'this encoder has no option "weights"; it has none.'),
    ],
)
def test_invalid_sizes_raise_user_error(name: str, message: str) -> None:
    with pytest.raises(UserError, match=message.replace("?", r"\?")):
        image_encoder(name)


def test_untrained_convolution_cannot_be_frozen() -> None:
    with pytest.raises(UserError, match="has no pretrained weights, so it can't be frozen"):
        image_encoder("conv:16x8", frozen=True)
    assert image_encoder("patches:16x4", frozen=True).frozen

"""Parts of vision-language pre-training."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from mmeval.nn import (
    WordHead,
    corrupt_words,
    masked_cross_entropy,
    masked_mean,
    masked_word_loss,
    swap_images,
)


def test_word_head_is_linear_gelu_norm_then_word_vectors_and_bias() -> None:
    head = WordHead(8, 5)
    nn.init.normal_(head.bias)
    states, table = torch.randn(3, 8), torch.randn(5, 8)
    x = states @ head.dense.weight.T + head.dense.bias
    x = x * 0.5 * (1 + torch.erf(x / 2**0.5))
    x = (x - x.mean(1, keepdim=True)) / (x.var(1, unbiased=False, keepdim=True) + 1e-12).sqrt()
    torch.testing.assert_close(head(states, table), x @ table.T + head.bias, rtol=1e-4, atol=1e-5)


def test_corrupted_words_are_mask_random_or_unchanged() -> None:
    torch.manual_seed(0)
    ids = torch.randint(6, 262, (100, 50))
    masked = torch.rand(ids.shape) < 0.5
    changed = corrupt_words(ids, masked, 3, 262)
    assert torch.equal(changed[~masked], ids[~masked])
    mask = (changed == 3)[masked].float().mean()
    same = (changed == ids)[masked].float().mean()
    other = ((changed != ids) & (changed != 3))[masked].float().mean()
    assert [mask.item(), same.item(), other.item()] == pytest.approx([0.8, 0.1, 0.1], abs=0.03)


def test_swapped_image_still_matches_if_it_is_the_same_image() -> None:
    """On data with one image in many languages, neighbours often share the image."""
    features = torch.tensor([1.0, 1.0, 2.0, 3.0])[:, None, None].expand(-1, 4, 2)
    torch.manual_seed(0)
    for _ in range(20):
        changed, matched = swap_images(features, torch.tensor([True, True, True, False]))
        assert matched[1]
        assert matched[3]
        assert (changed[:, 0, 0] == features[:, 0, 0]).tolist() == matched.tolist()


def test_half_of_the_complete_pairs_get_the_image_of_the_previous_example() -> None:
    size = 400
    own = torch.arange(size)
    both = own % 5 != 0
    torch.manual_seed(0)
    changed, matched = swap_images(own[:, None, None].expand(-1, 4, 2), both)
    assert torch.equal(changed[:, 0, 0], torch.where(matched, own, own - 1))
    swappable = both & both.roll(1)
    assert matched[~swappable].all()
    assert matched[swappable].float().mean() == pytest.approx(0.5, abs=0.1)


def test_masked_means_ignore_other_rows_and_are_zero_without_any() -> None:
    logits, target = torch.randn(4, 3), torch.tensor([0, 2, 1, 1])
    mask, nothing = torch.tensor([True, False, True, False]), torch.zeros(4, dtype=torch.bool)
    log = logits.log_softmax(1)
    torch.testing.assert_close(masked_cross_entropy(logits, target, mask), -(log[0, 0] + log[2, 1]) / 2)
    assert masked_cross_entropy(logits, target, nothing) == 0
    losses = torch.tensor([1.0, torch.nan, 3.0, torch.inf])
    assert masked_mean(losses, mask) == 2
    assert masked_mean(losses, nothing) == 0


def test_masked_word_loss_is_the_mean_cross_entropy_of_masked_words() -> None:
    torch.manual_seed(0)
    head, states, table, ids = WordHead(8, 5), torch.randn(2, 3, 8), torch.randn(5, 8), torch.randint(5, (2, 3))
    masked = torch.tensor([[True, False, False], [False, True, True]])
    log = head(states, table).log_softmax(-1)
    expected = -(log[0, 0, ids[0, 0]] + log[1, 1, ids[1, 1]] + log[1, 2, ids[1, 2]]) / 3
    torch.testing.assert_close(masked_word_loss(head, states, table, ids, masked), expected)
    assert masked_word_loss(head, states, table, ids, torch.zeros_like(masked)) == 0

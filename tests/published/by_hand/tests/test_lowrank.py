"""The contract for lowrank, and tests of its factors."""

import torch
from mmeval_lowrank.model import Factor

import mmeval.testing


@mmeval.testing.contract("lowrank")
def test_contract(check):
    check()


@mmeval.testing.contract("lowrank", changes=["rank=1", "freeze_image=false", "image_encoder=small-cnn", "width=16"])
def test_contract_of_rank_one_with_a_trained_image_encoder(check):
    check()


def test_a_missing_modality_contributes_ones():
    factor = Factor(5, rank=3, width=7, dropout=0.0)
    out = factor(torch.randn(2, 5), torch.tensor([True, False]))
    assert out.shape == (2, 3, 7)
    assert torch.equal(out[1], torch.ones(3, 7))
    assert not torch.equal(out[0], torch.ones(3, 7))


def test_equals_the_full_tensor():
    """The product of the factors equals the outer product times the full weight tensor (equation 5)."""
    image, text = Factor(3, 2, 4, 0.0), Factor(5, 2, 4, 0.0)
    a, b, present = torch.randn(6, 3), torch.randn(6, 5), torch.ones(6, dtype=torch.bool)
    low = (image(a, present) * text(b, present)).sum(1)
    full = torch.einsum("rdw,rew->dew", image.weight, text.weight)
    ones = torch.ones(6, 1)
    outer = torch.einsum("bd,be->bde", torch.cat([a, ones], 1), torch.cat([b, ones], 1))
    torch.testing.assert_close(low, torch.einsum("bde,dew->bw", outer, full))

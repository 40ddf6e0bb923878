"""The contract, and what is lowrank's own."""

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
    """Equation 5: the product of the factors is the product of outer product and full weight tensor."""
    image, text = Factor(3, 2, 4, 0.0), Factor(5, 2, 4, 0.0)
    a, b, here = torch.randn(6, 3), torch.randn(6, 5), torch.ones(6, dtype=torch.bool)
    low = (image(a, here) * text(b, here)).sum(1)
    full = torch.einsum("rdw,rew->dew", image.weight, text.weight)
    one = torch.ones(6, 1)
    outer = torch.einsum("bd,be->bde", torch.cat([a, one], 1), torch.cat([b, one], 1))
    torch.testing.assert_close(low, torch.einsum("bde,dew->bw", outer, full))

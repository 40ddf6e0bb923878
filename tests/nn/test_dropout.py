"""Dropout of whole features."""

from __future__ import annotations

import pytest
import torch

from mmeval.nn import FeatureDropout


def test_feature_dropout_removes_a_feature_from_all_tokens_of_an_example() -> None:
    torch.manual_seed(0)
    drop, x = FeatureDropout(0.25), torch.ones(40, 5, 50)
    out = drop.train()(x)
    assert torch.equal(out, out[:, :1].expand_as(x))
    assert out.unique().tolist() == pytest.approx([0, 4 / 3])
    assert (out[:, 0] == 0).float().mean() == pytest.approx(0.25, abs=0.03)
    assert len({tuple(row) for row in out[:, 0].tolist()}) == 40


def test_feature_dropout_is_the_identity_in_evaluation_and_without_a_rate() -> None:
    x = torch.randn(2, 3, 4)
    assert FeatureDropout(0.5).eval()(x) is x
    assert FeatureDropout(0.0)(x) is x

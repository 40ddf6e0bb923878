"""Running statistics equal those of all training examples, and missing examples don't count."""

from __future__ import annotations

import torch

from mmeval.nn import RunningStandardizer
from mmeval.nn.standardize import MEMORY


def test_features_have_mean_0_and_variance_1_over_all_batches() -> None:
    """Rows that are not present and evaluation leave the statistics as they are; a constant feature stays finite."""
    torch.manual_seed(0)
    x, standardizer = torch.randn(500, 4) * torch.tensor([0.1, 1, 10, 0]) + 3, RunningStandardizer(4)
    present = torch.rand(500) < 0.7
    x[~present] = 1e6
    for start in range(0, 500, 64):
        standardizer(x[start : start + 64], present[start : start + 64])
    rows = x[present]
    torch.testing.assert_close(standardizer.mean, rows.mean(0), rtol=1e-4, atol=1e-4)
    before = standardizer.mean.clone()
    y = standardizer.eval()(rows, present[present])
    torch.testing.assert_close(standardizer.mean, before, rtol=0, atol=0)
    torch.testing.assert_close(y.std(0)[:3], torch.ones(3), rtol=0.05, atol=0.01)
    assert y.abs().max() <= 5
    assert y.isfinite().all()


def test_batch_without_present_rows_changes_nothing() -> None:
    standardizer = RunningStandardizer(3).train()
    before = {name: x.clone() for name, x in standardizer.state_dict().items()}
    standardizer(torch.full((4, 3), 7.0), torch.zeros(4, dtype=torch.bool))
    assert all(torch.equal(x, before[name]) for name, x in standardizer.state_dict().items())


def test_statistics_follow_an_encoder_that_changes() -> None:
    """After a million examples, new ones replace old ones."""
    standardizer, present = RunningStandardizer(3).train(), torch.ones(1000, dtype=torch.bool)
    standardizer.count.fill_(MEMORY)
    for _ in range(5):
        standardizer(torch.ones(1000, 3), present)
    assert standardizer.count == MEMORY
    torch.testing.assert_close(standardizer.mean, torch.full((3,), 1 - (1 - 1000 / MEMORY) ** 5))


def test_no_gradient_flows_through_the_statistics() -> None:
    """They are constants: the gradient is one over the deviation."""
    torch.manual_seed(0)
    x, standardizer = torch.randn(50, 2, requires_grad=True), RunningStandardizer(2).train()
    standardizer(x, torch.ones(50, dtype=torch.bool)).sum().backward()
    assert not standardizer.mean.requires_grad
    assert x.grad is not None
    deviation = (standardizer.square - standardizer.mean.square()).sqrt()
    torch.testing.assert_close(x.grad, (1 / deviation).expand(50, 2))

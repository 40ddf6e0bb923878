"""Modality dropout hides one of two modalities, equally often either, and never the only one."""

from __future__ import annotations

import pytest
import torch

from mmeval.nn import drop_modality


def test_one_of_two_modalities_remains() -> None:
    torch.manual_seed(0)
    present = torch.ones(4000, 2, dtype=torch.bool)
    kept = drop_modality(present, 1.0)
    assert (kept.sum(1) == 1).all()
    assert kept[:, 0].float().mean() == pytest.approx(0.5, abs=0.03)


def test_only_modality_is_never_hidden() -> None:
    present = torch.tensor([[True, False], [False, True], [False, False]] * 50)
    assert torch.equal(drop_modality(present, 1.0), present)


@pytest.mark.parametrize("probability", [0.0, 0.3])
def test_probability_is_the_share_of_examples_that_lose_a_modality(probability: float) -> None:
    torch.manual_seed(0)
    kept = drop_modality(torch.ones(4000, 2, dtype=torch.bool), probability)
    assert (kept.sum(1) == 1).float().mean() == pytest.approx(probability, abs=0.03 if probability else 0)

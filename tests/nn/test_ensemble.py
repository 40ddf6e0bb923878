"""Members of an ensemble are independent classifiers whose log-probabilities are averaged."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmeval import ModelContext, Task
from mmeval.nn import EnsembleHeads, average_log_probabilities, member_losses
from mmeval.nn.ensemble import EnsembleLinear

CONTEXT = ModelContext((Task("t", ("a", "b", "c")), Task("u.v", ("x", "y"))), {"t": (1, 2, 7), "u.v": (0, 4)})
LABELS = {"t": torch.tensor([0, 1, 2, -1, 0, 1]), "u.v": torch.tensor([1, -1, 0, 1, 1, 0])}
BOTH = torch.ones(6, 2, dtype=torch.bool)


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def outputs(heads: int = 2) -> list[dict[str, Tensor]]:
    """Logits of three members per head."""
    return [{"t": torch.randn(3, 6, 3), "u.v": torch.randn(3, 6, 2)} for _ in range(heads)]


def test_members_are_separate_linear_layers() -> None:
    layer, x = EnsembleLinear(3, 5, 4), torch.randn(3, 7, 5)
    nn.init.normal_(layer.bias)
    for k, bias in enumerate(layer.bias.view(3, 4)):
        torch.testing.assert_close(layer(x)[k], F.linear(x[k], layer.weight[k].t(), bias))


def test_weights_are_drawn_as_those_of_a_linear_layer() -> None:
    """Uniform, at most one over the root of the number of inputs."""
    layer = EnsembleLinear(3, 400, 5)
    assert layer.weight.abs().max() <= 1 / 20
    assert layer.weight.std().item() == pytest.approx(1 / 20 / 3**0.5, rel=0.1)


def test_biases_are_vectors() -> None:
    """The optimizer excludes vectors from weight decay."""
    assert EnsembleLinear(3, 400, 5).bias.ndim == 1


@pytest.mark.parametrize("hidden", [None, 8])
def test_heads_return_logits_of_every_member_and_task(hidden: int | None) -> None:
    logits = EnsembleHeads(4, CONTEXT, members=3, hidden=hidden)(torch.randn(6, 4))
    assert {task: tuple(x.shape) for task, x in logits.items()} == {"t": (3, 6, 3), "u.v": (3, 6, 2)}
    assert not torch.equal(logits["t"][0], logits["t"][1])


@pytest.mark.parametrize("place", ["input", "hidden"])
def test_each_member_has_its_own_dropout_mask_in_training_only(place: str) -> None:
    """With the same mask, the members would learn alike."""
    rates = {"input": 0.0, "hidden": 0.0, place: 0.5}
    heads = EnsembleHeads(
        64, CONTEXT, members=2, hidden=64, input_dropout=rates["input"], hidden_dropout=rates["hidden"]
    )
    dropouts: list[Any] = [layer for layer in heads.layers if isinstance(layer, nn.Dropout)]
    assert [layer.p for layer in dropouts] == [rates["input"], rates["hidden"]]
    dropped: list[Tensor] = []
    dropouts[0 if place == "input" else 1].register_forward_hook(lambda _, __, x: dropped.append(x == 0))
    heads.train()(torch.randn(6, 64))
    assert dropped[0].shape == (2, 6, 64)
    assert 0.4 < dropped[0].float().mean() < 0.6
    assert not torch.equal(dropped[0][0], dropped[0][1])
    x = torch.randn(6, 64)
    assert torch.equal(heads.eval()(x)["t"], heads(x)["t"])


def test_log_probabilities_of_all_members_and_heads_are_averaged() -> None:
    first, second = outputs()
    average = average_log_probabilities([first, second], BOTH)
    expected = torch.cat([first["t"], second["t"]]).log_softmax(2).mean(0)
    torch.testing.assert_close(average["t"], expected)


def test_only_heads_with_an_input_are_averaged() -> None:
    first, second = outputs()
    present = BOTH.clone()
    present[2, 0] = False
    average = average_log_probabilities([first, second], present)
    torch.testing.assert_close(average["t"][2], second["t"][:, 2].log_softmax(1).mean(0))


def test_average_is_finite_where_no_head_has_an_input() -> None:
    average = average_log_probabilities(outputs(), ~BOTH)
    assert torch.equal(average["t"], torch.zeros(6, 3))


def test_logits_of_a_single_member_are_returned_unchanged() -> None:
    logits = {"t": torch.randn(1, 6, 3)}
    assert torch.equal(average_log_probabilities([logits], BOTH[:, :1])["t"], logits["t"][0])


@pytest.mark.parametrize("heads", [1, 2])
def test_gradient_of_a_member_is_the_one_of_its_own_cross_entropy(heads: int) -> None:
    """It doesn't depend on the predictions or the number of the other members; heads are averaged."""
    given = outputs(heads)
    own = given[0]["t"].requires_grad_()
    losses = member_losses(given, BOTH[:, :heads], {"t": LABELS["t"]}, label_smoothing=0.1)
    (gradient,) = torch.autograd.grad(sum(losses.values()), own)  # type: ignore[arg-type]
    loss = F.cross_entropy(own[1], LABELS["t"], ignore_index=-1, label_smoothing=0.1)
    (expected,) = torch.autograd.grad(loss, own)
    torch.testing.assert_close(gradient[1], expected[1] / heads)


def test_heads_without_an_input_have_no_loss() -> None:
    given = outputs()
    for output in given:
        output["t"].requires_grad_()
    present = BOTH.clone()
    present[0, 0] = False
    member_losses(given, present, LABELS)["members of t"].backward()
    first, second = (output["t"].grad for output in given)
    assert first is not None
    assert second is not None
    assert not first[:, 0].any()
    assert second[:, 0].any()


def test_task_without_labels_has_no_loss() -> None:
    labels = {"t": torch.full((6,), -1), "u.v": LABELS["u.v"]}
    assert list(member_losses(outputs(), BOTH, labels)) == ["members of u.v"]

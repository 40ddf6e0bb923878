"""Multi-label tasks in the parts of torch models: loss, class prior, ensembles, nested tasks."""

from __future__ import annotations

import json

import pytest
import torch
import torch.nn.functional as F

from mmeval import ModelContext, Task
from mmeval.engine.fit import task_loss
from mmeval.nn import (
    ClassPrior,
    EnsembleHeads,
    NestedTasks,
    Output,
    average_log_probabilities,
    classification_loss,
    member_losses,
)

CONTEXT = ModelContext(
    (Task("kind", ("a", "b", "c")), Task("tags", ("x", "y"), multilabel=True)),
    {"kind": (1, 2, 7), "tags": (2, 8)},
    labelled={"kind": 10, "tags": 8},
)
LABELS = {"kind": torch.tensor([0, 1, -1]), "tags": torch.tensor([[1, 0], [-1, -1], [1, 1]], dtype=torch.int8)}


def test_the_context_is_equal_after_writing_and_reading_json() -> None:
    saved = json.loads(json.dumps(CONTEXT.as_json()))
    assert ModelContext.from_json(saved) == CONTEXT
    assert saved["tasks"][0] == {"name": "kind", "classes": ["a", "b", "c"]}  # as earlier versions wrote it
    assert CONTEXT.multilabel == {"tags"}


def test_shares_of_a_multi_label_task_are_of_its_labelled_examples() -> None:
    assert CONTEXT.shares("tags") == (0.25, 1.0)
    assert CONTEXT.shares("kind") == (0.1, 0.2, 0.7)
    none = ModelContext(CONTEXT.tasks, {"kind": (0, 0, 0), "tags": (0, 0)})
    assert none.shares("tags") == (0.5, 0.5)
    assert none.shares("kind") == (1 / 3, 1 / 3, 1 / 3)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_the_loss_is_the_binary_cross_entropy_of_labelled_examples(smoothing: float) -> None:
    logits = torch.tensor([[2.0, -1.0], [9.0, 9.0], [0.5, 0.3]])
    loss = classification_loss(logits, LABELS["tags"], smoothing)
    p, y = logits[[0, 2]].sigmoid(), torch.tensor([[1.0, 0.0], [1.0, 1.0]])
    y = y * (1 - smoothing) + smoothing / 2
    torch.testing.assert_close(loss, -(y * p.log() + (1 - y) * (1 - p).log()).mean())
    assert classification_loss(logits[1:2], LABELS["tags"][1:2]) is None


def test_losses_of_both_kinds_of_tasks_add_up() -> None:
    logits = {"kind": torch.randn(3, 3), "tags": torch.randn(3, 2)}
    total = task_loss(Output(logits), LABELS, 0.0)
    kind = F.cross_entropy(logits["kind"][:2], LABELS["kind"][:2])
    tags = F.binary_cross_entropy_with_logits(logits["tags"][[0, 2]], LABELS["tags"][[0, 2]].float())
    torch.testing.assert_close(total, kind + tags)


def test_examples_without_inputs_get_the_shares_of_the_classes() -> None:
    logits = {"kind": torch.zeros(2, 3), "tags": torch.zeros(2, 2)}
    tags = ClassPrior(CONTEXT)(logits, torch.tensor([True, False]))["tags"].sigmoid()
    torch.testing.assert_close(tags, torch.tensor([[0.5, 0.5], [0.25, 1.0]]), atol=1e-5, rtol=0)


def test_an_ensemble_averages_the_log_odds_of_a_multi_label_task() -> None:
    """The mean of log-probabilities over all classes would make one class more probable where another is less."""
    outputs = [{"kind": torch.randn(2, 3, 3), "tags": torch.randn(2, 3, 2)} for _ in range(2)]
    present = torch.tensor([[True, True], [True, False], [False, True]])
    mean = average_log_probabilities(outputs, present, CONTEXT.multilabel)["tags"]
    torch.testing.assert_close(mean[0], (outputs[0]["tags"][:, 0].sum(0) + outputs[1]["tags"][:, 0].sum(0)) / 4)
    torch.testing.assert_close(mean[1], outputs[0]["tags"][:, 1].mean(0))
    torch.testing.assert_close(mean[2], outputs[1]["tags"][:, 2].mean(0))


def test_members_of_an_ensemble_learn_a_multi_label_task() -> None:
    heads = EnsembleHeads(4, CONTEXT, members=3)
    output, present = heads(torch.randn(3, 4)), torch.tensor([[True], [True], [False]])
    loss = member_losses([output], present, LABELS)["members of tags"]
    rows = output["tags"][:, :1]  # the second row has no label, the third no input
    expected = F.binary_cross_entropy_with_logits(rows, LABELS["tags"][None, :1].float().expand(3, 1, 2)) * 3
    torch.testing.assert_close(loss, expected)


def test_a_multi_label_task_is_never_nested() -> None:
    nested = NestedTasks(CONTEXT)
    assert nested.pairs == []
    nested.train()({"kind": torch.zeros(3, 3), "tags": torch.zeros(3, 2)}, LABELS)

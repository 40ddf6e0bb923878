"""A coarser task follows a finer one only where training shows that it may."""

from __future__ import annotations

import torch

from mmeval import ModelContext, Task
from mmeval_late_fusion.hierarchy import Hierarchy

TASKS = (Task("a.group", ("animal", "food")), Task("sub", ("cat", "dog", "pear", "never seen")))
CONTEXT = ModelContext(TASKS, {"a.group": (2, 1), "sub": (1, 1, 1, 0)})
NESTED = {"a.group": torch.tensor([0, 0, 1, 0]), "sub": torch.tensor([0, 1, 2, -1])}
LOGITS = {"a.group": torch.tensor([[0.0, 5.0]]), "sub": torch.tensor([[0.1, 0.4, 0.4, 0.1]]).log()}


def test_a_coarse_class_is_the_sum_of_the_fine_ones_in_it() -> None:
    """Cat .1 and dog .4 are animals; what training never had is shared as the training split is, 2 : 1."""
    hierarchy = Hierarchy(CONTEXT)
    hierarchy.meet(NESTED)
    said = hierarchy(LOGITS)
    expected = torch.tensor([[0.5 + 0.1 * 2 / 3, 0.4 + 0.1 / 3]])
    torch.testing.assert_close(said["a.group"].exp(), expected)
    torch.testing.assert_close(said["sub"], LOGITS["sub"])


def test_tasks_that_are_not_nested_answer_for_themselves() -> None:
    """Colour doesn't follow from shape, however many shapes there are."""
    hierarchy = Hierarchy(CONTEXT)
    assert hierarchy(LOGITS)["a.group"] is LOGITS["a.group"]  # nothing met yet
    hierarchy.meet(NESTED)
    hierarchy.meet({"a.group": torch.tensor([1]), "sub": torch.tensor([0])})
    assert hierarchy(LOGITS)["a.group"] is LOGITS["a.group"]


def test_only_examples_with_both_labels_are_counted() -> None:
    """-1 is no class, least of all the last one."""
    hierarchy = Hierarchy(CONTEXT)
    hierarchy.meet({"a.group": torch.tensor([0, -1, 1, -1]), "sub": torch.tensor([0, 1, -1, -1])})
    assert hierarchy.get_buffer("met_0").nonzero().tolist() == [[0, 0]]


def test_what_was_met_is_saved_with_the_weights() -> None:
    """Else a loaded model would predict something else than the one that was scored."""
    hierarchy = Hierarchy(CONTEXT)
    hierarchy.meet(NESTED)
    again = Hierarchy(CONTEXT)
    again.load_state_dict(hierarchy.state_dict())
    torch.testing.assert_close(again(LOGITS)["a.group"], hierarchy(LOGITS)["a.group"])


def test_a_single_task_or_missing_labels_are_no_error() -> None:
    alone = Hierarchy(ModelContext(TASKS[:1], {"a.group": (2, 1)}))
    alone.meet(NESTED)
    assert list(alone({"a.group": LOGITS["a.group"]})) == ["a.group"]
    hierarchy = Hierarchy(CONTEXT)
    hierarchy.meet({"sub": torch.tensor([1])})
    assert hierarchy(LOGITS)["a.group"] is LOGITS["a.group"]

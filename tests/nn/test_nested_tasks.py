"""A coarse task is predicted from a finer one only where the training labels are nested."""

from __future__ import annotations

import torch

from mmeval import ModelContext, Task
from mmeval.nn import NestedTasks

TASKS = (Task("a.group", ("animal", "food")), Task("sub", ("cat", "dog", "pear", "never seen")))
CONTEXT = ModelContext(TASKS, {"a.group": (2, 1), "sub": (1, 1, 1, 0)})
NESTED = {"a.group": torch.tensor([0, 0, 1, 0]), "sub": torch.tensor([0, 1, 2, -1])}
LOGITS = {"a.group": torch.tensor([[0.0, 5.0]]), "sub": torch.tensor([[0.1, 0.4, 0.4, 0.1]]).log()}


def trained(*batches: dict[str, torch.Tensor], context: ModelContext = CONTEXT) -> NestedTasks:
    nested = NestedTasks(context)
    for labels in batches:
        nested(LOGITS, labels)
    return nested.eval()


def test_coarse_probability_is_the_sum_of_the_fine_ones() -> None:
    """Cat .1 and dog .4 are animals; the unseen class is split 2 : 1, as the training examples are."""
    logits = trained(NESTED)(LOGITS, {})
    expected = torch.tensor([[0.5 + 0.1 * 2 / 3, 0.4 + 0.1 / 3]])
    torch.testing.assert_close(logits["a.group"].exp(), expected)
    torch.testing.assert_close(logits["sub"], LOGITS["sub"])


def test_logits_are_unchanged_before_training() -> None:
    assert torch.equal(trained()(LOGITS, {})["a.group"], LOGITS["a.group"])


def test_logits_are_unchanged_if_tasks_are_not_nested() -> None:
    """Cats are animals in one example and food in another."""
    not_nested = {"a.group": torch.tensor([1]), "sub": torch.tensor([0])}
    assert torch.equal(trained(NESTED, not_nested)(LOGITS, {})["a.group"], LOGITS["a.group"])


def test_logits_are_unchanged_in_training() -> None:
    """Otherwise the labels of the coarse task would train the logits of the finer one."""
    nested = trained(NESTED).train()
    assert torch.equal(nested(LOGITS, NESTED)["a.group"], LOGITS["a.group"])


def test_labels_are_not_counted_in_evaluation() -> None:
    nested = trained(NESTED)
    before = nested.get_buffer("counts_0").clone()
    nested(LOGITS, NESTED)
    assert torch.equal(nested.get_buffer("counts_0"), before)


def test_only_examples_with_both_labels_are_counted() -> None:
    """A label of -1 is missing; as an index it would be the last class."""
    nested = trained({"a.group": torch.tensor([0, -1, 1, -1]), "sub": torch.tensor([0, 1, -1, -1])})
    assert nested.get_buffer("counts_0").nonzero().tolist() == [[0, 0]]


def test_counts_are_saved_with_the_weights() -> None:
    """A loaded model must predict the same as the saved one."""
    nested, loaded = trained(NESTED), trained()
    loaded.load_state_dict(nested.state_dict())
    torch.testing.assert_close(loaded(LOGITS, {})["a.group"], nested(LOGITS, {})["a.group"])


def test_single_task_is_supported() -> None:
    nested = trained(NESTED, context=ModelContext(TASKS[:1], {"a.group": (2, 1)}))
    assert list(nested({"a.group": LOGITS["a.group"]}, {})) == ["a.group"]


def test_batch_without_labels_of_a_task_is_supported() -> None:
    nested = trained({"sub": torch.tensor([1])})
    assert torch.equal(nested(LOGITS, {})["a.group"], LOGITS["a.group"])


def test_the_choice_is_no_branch_so_that_a_model_can_be_exported() -> None:
    program = torch.export.export(trained().eval(), (LOGITS, {}), strict=False).module()
    assert torch.equal(program(LOGITS, {})["a.group"], LOGITS["a.group"])

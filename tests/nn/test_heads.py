"""Task heads with any names of tasks, and the class prior for examples without inputs."""

from __future__ import annotations

import pytest
import torch

from mmeval import ModelContext, Task
from mmeval.nn import ClassPrior, Heads

TASKS = (Task("shape.kind", ("circle", "square", "other")), Task("main colour", ("red", "blue")), Task("", ("a",)))
CONTEXT = ModelContext(TASKS, {"shape.kind": (6, 2, 0), "main colour": (0, 0), "": (8,)})
CLASSES = {task.name: len(task.classes) for task in TASKS}
PRESENT = torch.tensor([True, False, True, False])


def logits(**options: bool) -> dict[str, torch.Tensor]:
    return {name: torch.ones(4, classes, **options) * 5 for name, classes in CLASSES.items()}


def test_tasks_may_have_any_name() -> None:
    """Columns of real tables have dots and spaces, which torch does not allow in names of modules."""
    outputs = Heads(8, CONTEXT)(torch.randn(4, 8))
    assert {name: tuple(values.shape) for name, values in outputs.items()} == {
        name: (4, classes) for name, classes in CLASSES.items()
    }


def test_each_task_has_its_own_layer() -> None:
    heads = Heads(8, CONTEXT)
    features = torch.randn(4, 8)
    before = heads(features)
    with torch.no_grad():
        heads.layers[1].weight.zero_()
    after = heads(features)
    assert [torch.equal(before[name], after[name]) for name in CLASSES] == [True, False, True]


def test_state_dict_names_use_positions() -> None:
    """Saved models depend on these names, which must not contain names of tasks."""
    shapes = {key: tuple(value.shape) for key, value in Heads(8, CONTEXT).state_dict().items()}
    assert shapes == {
        "layers.0.weight": (3, 8),
        "layers.0.bias": (3,),
        "layers.1.weight": (2, 8),
        "layers.1.bias": (2,),
        "layers.2.weight": (1, 8),
        "layers.2.bias": (1,),
    }
    assert ClassPrior(CONTEXT).state_dict() == {}


def test_examples_without_inputs_get_the_class_prior() -> None:
    outputs = ClassPrior(CONTEXT)(logits(), PRESENT)
    shares = outputs["shape.kind"].softmax(1)
    torch.testing.assert_close(shares[1], torch.tensor([0.75, 0.25, 0.0]), atol=1e-5, rtol=0)
    assert torch.equal(shares[1], shares[3])
    for name, values in logits().items():
        assert torch.equal(outputs[name][PRESENT], values[PRESENT])


def test_class_missing_in_training_has_a_small_prior() -> None:
    """The logarithm of zero would make the loss infinite, and weights NaN in the first step."""
    outputs = ClassPrior(CONTEXT)(logits(), PRESENT)
    assert all(values.isfinite().all() for values in outputs.values())
    assert 0 < outputs["shape.kind"].softmax(1)[1, 2] < 1e-5
    torch.testing.assert_close(outputs["main colour"].softmax(1)[1], torch.tensor([0.5, 0.5]))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_logits_keep_their_dtype(dtype: torch.dtype) -> None:
    """On a GPU logits are bf16."""
    outputs = ClassPrior(CONTEXT)({name: values.to(dtype) for name, values in logits().items()}, PRESENT)
    assert {values.dtype for values in outputs.values()} == {dtype}


def test_prior_has_no_gradient_and_other_logits_have() -> None:
    """Examples without inputs must not contribute to the gradient of the logits."""
    given = logits(requires_grad=True)
    for values in given.values():
        values.retain_grad()
    prior = ClassPrior(CONTEXT)
    assert list(prior.parameters()) == []
    sum(values.sum() for values in prior(given, PRESENT).values()).backward()
    for values in given.values():
        assert torch.equal(values.grad, PRESENT[:, None].float().expand_as(values))


def test_nan_logits_of_examples_without_inputs_are_replaced() -> None:
    """A model that averages over tokens computes 0 / 0 for an empty example."""
    given = {name: values.masked_fill(~PRESENT[:, None], torch.nan) for name, values in logits().items()}
    assert all(values.isfinite().all() for values in ClassPrior(CONTEXT)(given, PRESENT).values())


def test_loaded_model_has_the_prior_of_its_training() -> None:
    """The prior is computed from the context, which is saved beside the weights."""
    context = ModelContext.from_json(CONTEXT.as_json())
    for (_, first), (_, second) in zip(
        ClassPrior(CONTEXT).named_buffers(), ClassPrior(context).named_buffers(), strict=True
    ):
        assert torch.equal(first, second)

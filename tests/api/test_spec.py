"""Specs: a missing, unknown or wrong field raises a SpecError of one sentence."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pydantic
import pytest

from mmeval import Archive, DatasetSpec, MetricSpec, ModelConfig, ModelSpec, Recipe
from mmeval.errors import SpecError, UserError
from mmeval.plugin.registry import Spec


class Small(ModelConfig):
    """Options of a small model."""

    width: int = 3
    recipe: Recipe = Recipe()


class Bare(ModelConfig):
    width: int


class Picky(ModelConfig):
    width: int = 3

    @pydantic.model_validator(mode="after")
    def _fits(self) -> Picky:
        raise ValueError("width fits nothing")


class NotOurs(pydantic.BaseModel):
    width: int = 3


def build(*_: object) -> None: ...


MODEL = {
    "name": "x",
    "summary": "-",
    "config": Small,
    "build": build,
    "version": "1",
    "inputs": ("text",),
    "paper": "none",
    "licence": "MIT",
    "presets": {"tiny": {"width": 4, "recipe.epochs": 2}},
}
DATASET = {"name": "x", "summary": "-", "card": Path("x.md"), "source": build}
METRIC = {"name": "x", "summary": "-", "per_example": build}
GOOD = {ModelSpec: MODEL, DatasetSpec: DATASET, MetricSpec: METRIC}
KINDS = pytest.mark.parametrize("kind", list(GOOD), ids=lambda kind: kind.__name__)


def complaint(call: Callable[[], object], kind: type[UserError] = SpecError) -> str:
    with pytest.raises(kind) as caught:
        call()
    assert "\n" not in str(caught.value)
    return str(caught.value)


@KINDS
def test_equal_fields_make_equal_specs(kind: type[Spec]) -> None:
    """The distribution is empty until the plugin is loaded."""
    spec = kind(**GOOD[kind])
    assert spec == kind(**GOOD[kind])
    assert spec.distribution == ""


@KINDS
def test_positional_arguments_are_refused(kind: type[Spec]) -> None:
    expected = f"{kind.__name__} takes its fields by keyword: {kind.__name__}(name=..., ...)"
    assert complaint(lambda: kind(*GOOD[kind].values())) == expected


@KINDS
def test_a_spec_can_not_be_changed(kind: type[Spec]) -> None:
    """A run reads the spec more than once, and must find the same each time."""
    spec = kind(**GOOD[kind])
    with pytest.raises(pydantic.ValidationError, match="frozen"):
        spec.name = "y"  # type: ignore[misc]
    assert spec.model_copy(update={"name": "y"}).name == "y"
    assert spec.name == "x"


REQUIRED = {kind: [name for name in fields if name != "source"] for kind, fields in GOOD.items()}


@pytest.mark.parametrize(("kind", "field"), [(kind, field) for kind, fields in REQUIRED.items() for field in fields])
def test_a_missing_field_is_named(kind: type[Spec], field: str) -> None:
    rest = {name: value for name, value in GOOD[kind].items() if name != field}
    called = kind.__name__ if field == "name" else f'{kind.__name__} "x"'
    assert complaint(lambda: kind(**rest)) == f"{called} lacks {field}"


def test_a_metric_has_either_per_example_or_function() -> None:
    assert MetricSpec(name="x", summary="-", function=build).needs_probabilities is False
    assert MetricSpec(name="x", summary="-", function=build, uses="probabilities").needs_probabilities is True
    assert MetricSpec(name="x", summary="-", per_example=build).needs_probabilities is True
    both = complaint(lambda: MetricSpec(name="x", summary="-", per_example=build, function=build))
    assert both.startswith('MetricSpec "x": per_example and function exclude each other; give one of them')
    uses = complaint(lambda: MetricSpec(name="x", summary="-", per_example=build, uses="probabilities"))
    assert uses.startswith('MetricSpec "x": per_example always gets probabilities; uses="probabilities" belongs to')


@KINDS
def test_all_missing_fields_are_named_at_once(kind: type[Spec]) -> None:
    """An author who has nine fields to fill in reads one message, not nine."""
    first, *rest = REQUIRED[kind]
    assert complaint(kind) == f"{kind.__name__} lacks {', '.join([first, *rest])}"
    assert complaint(lambda: kind(name="x")) == f'{kind.__name__} "x" lacks {", ".join(rest)}'


@pytest.mark.parametrize(
    ("kind", "fields", "expected"),
    [
        (ModelSpec, MODEL | {"reference": ()}, 'ModelSpec "x" has no field "reference"; did you mean "references"?'),
        (DatasetSpec, DATASET | {"credits": "me"}, 'DatasetSpec "x" has no field "credits"; did you mean "credit"?'),
        (MetricSpec, METRIC | {"colour": "red"}, 'MetricSpec "x" has no field "colour"'),
        (
            ModelSpec,
            {("license" if name == "licence" else name): value for name, value in MODEL.items()},
            'ModelSpec "x" has no field "license"; did you mean "licence"?',
        ),
    ],
)
def test_an_unknown_field_is_answered_with_the_nearest(kind: type[Spec], fields: dict[str, Any], expected: str) -> None:
    """In the last case `licence` is also missing; the message names the misspelt field, which helps more."""
    assert complaint(lambda: kind(**fields)) == expected


@pytest.mark.parametrize("fields", [{}, {"source": build, "archive": Archive(open=build, get="get it")}])
def test_a_data_set_has_either_a_source_or_an_archive(fields: dict[str, Any]) -> None:
    message = complaint(lambda: DatasetSpec(name="x", summary="-", card=None, **fields))
    assert message == 'DatasetSpec "x": it must have a source or an archive, and not both'


EMPTY = "must not be empty, it is"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        *(({field: ""}, f"{field} {EMPTY} ''") for field in ("summary", "version", "paper", "licence")),
        ({"summary": " \n"}, f"summary {EMPTY} ' \\n'"),
        ({"version": 1.0}, "version must be a string, it is 1.0"),
        ({"build": "model.build"}, "build must be a function, it is 'model.build'"),
        ({"inputs": "text"}, "inputs must be a tuple, it is 'text'"),
        ({"inputs": ["text"]}, "inputs must be a tuple, it is ['text']"),
        ({"inputs": ()}, 'inputs must name "image", "text" or both, it is ()'),
        ({"inputs": ("audio",)}, 'inputs must name "image", "text" or both, it is (\'audio\',)'),
        ({"inputs": (["text"],)}, "inputs[0] must be a string, it is ['text']"),
        ({"config": {"width": 3}}, "config must be a subclass of ModelConfig, it is {'width': 3}"),
        ({"config": NotOurs(width=4)}, "config must be a subclass of ModelConfig, it is NotOurs(width=4)"),
        ({"config": NotOurs}, f"config must be a subclass of ModelConfig, it is {NotOurs!r}"),
        ({"presets": {"tiny": {"widht": 3}}}, 'its preset tiny sets "widht", which Small does not have'),
        ({"presets": {"tiny": {"recipe": {}}}}, 'its preset tiny sets "recipe", which Small does not have'),
        ({"presets": {}}, 'it lacks its default preset "tiny" (presets: none)'),
        ({"presets": {"big": {}, "huge": {}}}, 'it lacks its default preset "tiny" (presets: big, huge)'),
        ({"default_preset": "small"}, 'it lacks its default preset "small" (presets: tiny)'),
        ({"presets": ["tiny"]}, "presets must be a dictionary, it is ['tiny']"),
        ({"presets": {"tiny": None}}, 'presets["tiny"] must be a dictionary, it is None'),
        ({"presets": {1: {}}}, "a key of presets must be a string, it is 1"),
        ({"references": "https://arxiv.org"}, "references must be a tuple, it is 'https://arxiv.org'"),
    ],
)
def test_a_wrong_field_of_a_model_is_named(changes: dict[str, Any], expected: str) -> None:
    """When the plugin is loaded, not as a traceback of the run that uses the field first."""
    assert complaint(lambda: ModelSpec(**MODEL | changes)) == f'ModelSpec "x": {expected}'


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (Bare, "Bare.width needs a valid default: field required"),
        (Picky, "Picky needs valid defaults: value error, width fits nothing"),
    ],
)
def test_a_config_needs_valid_defaults(config: type[ModelConfig], expected: str) -> None:
    """`--plugin x` alone must work, and `mmeval plugins show` shows the default of every option."""
    assert complaint(lambda: ModelSpec(**MODEL | {"config": config})) == expected


@pytest.mark.parametrize(
    ("kind", "changes", "expected"),
    [
        (DatasetSpec, {"card": "x.md"}, "card must be an instance of Path, it is 'x.md'"),
        (DatasetSpec, {"source": "x"}, "source must be a function, it is 'x'"),
        (DatasetSpec, {"summary": None}, "summary must be a string, it is None"),
        (DatasetSpec, {"credit": 3}, "credit must be a string, it is 3"),
        (DatasetSpec, {"archive": "x"}, "archive must be a dictionary or instance of Archive, it is 'x'"),
        (DatasetSpec, {"variants": ["x"]}, "variants must be a dictionary, it is ['x']"),
        (MetricSpec, {"per_example": None, "function": 1}, "function must be a function, it is 1"),
        (MetricSpec, {"uses": "scores"}, "uses must be 'labels' or 'probabilities', it is 'scores'"),
        (MetricSpec, {"per_example": 1}, "per_example must be a function, it is 1"),
        (MetricSpec, {"summary": ""}, f"summary {EMPTY} ''"),
    ],
)
def test_a_wrong_field_of_a_data_set_or_metric_is_named(
    kind: type[Spec], changes: dict[str, Any], expected: str
) -> None:
    assert complaint(lambda: kind(**GOOD[kind] | changes)) == f'{kind.__name__} "x": {expected}'


@KINDS
@pytest.mark.parametrize("name", ["a", "2", "my-model", "My.Model_2"])
def test_a_valid_name_is_accepted(kind: type[Spec], name: str) -> None:
    assert kind(**GOOD[kind] | {"name": name}).name == name


@KINDS
@pytest.mark.parametrize("name", ["", " ", "-a", ".a", "a b", "a/b", "../a", "ä", "a.py", "a\nb"])
def test_an_invalid_name_is_refused(kind: type[Spec], name: str) -> None:
    """`--plugin a/b` and `--plugin a.py` are files, `--plugin -a` is an option."""
    message = complaint(lambda: kind(**GOOD[kind] | {"name": name}))
    assert message.startswith(kind.__name__)
    assert f"name must be letters, digits, dots, dashes and underscores, it is {name!r}" in message


@KINDS
@pytest.mark.parametrize("name", [3, None])
def test_a_name_must_be_a_string(kind: type[Spec], name: object) -> None:
    message = complaint(lambda: kind(**GOOD[kind] | {"name": name}))
    assert message.startswith(kind.__name__)
    assert message.endswith(f": name must be a string, it is {name}")

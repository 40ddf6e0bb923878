"""Specs: a field that is missing, unknown or wrong is one sentence, to a plugin's author and to its users."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pydantic
import pytest

from mmeval import Archive, DatasetSpec, MetricSpec, ModelConfig, ModelSpec, Recipe
from mmeval.errors import PluginError, SpecError, UserError
from mmeval.plugin.manager import Manager
from mmeval.plugin.registry import Spec

Install = Callable[..., None]


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
def test_a_spec_is_written_by_position_or_by_name(kind: type[Spec]) -> None:
    """And says of itself where it came from only once it is loaded."""
    fields = GOOD[kind]
    first, *rest = fields
    spec = kind(**fields)
    assert spec == kind(*fields.values()) == kind(fields[first], **{name: fields[name] for name in rest})
    assert spec.distribution == ""


REQUIRED = {kind: [name for name in fields if name != "source"] for kind, fields in GOOD.items()}


@pytest.mark.parametrize(("kind", "field"), [(kind, field) for kind, fields in REQUIRED.items() for field in fields])
def test_what_is_missing_is_named(kind: type[Spec], field: str) -> None:
    """Python's own words would be `__init__() missing 1 required positional argument`, of which plugin isn't said."""
    rest = {name: value for name, value in GOOD[kind].items() if name != field}
    called = kind.__name__ if field == "name" else f'{kind.__name__} "x"'
    assert complaint(lambda: kind(**rest)) == f"{called} lacks {field}"


@KINDS
def test_all_that_is_missing_is_named_at_once(kind: type[Spec]) -> None:
    """Else an author runs into each of nine fields in turn."""
    first, *rest = REQUIRED[kind]
    assert complaint(kind) == f"{kind.__name__} lacks {', '.join([first, *rest])}"
    assert complaint(lambda: kind("x")) == f'{kind.__name__} "x" lacks {", ".join(rest)}'


@pytest.mark.parametrize(
    ("kind", "fields", "said"),
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
def test_an_unknown_field_is_answered_with_the_nearest(kind: type[Spec], fields: dict[str, Any], said: str) -> None:
    """The last one is both: `license` is there, `licence` is missing, and only the first helps."""
    assert complaint(lambda: kind(**fields)) == said


@pytest.mark.parametrize(("kind", "has"), [(ModelSpec, 12), (DatasetSpec, 11)])
def test_too_many_values_are_counted(kind: type[Spec], has: int) -> None:
    assert complaint(lambda: kind(*range(20))) == f"{kind.__name__} has {has} fields, it was given 20"


@pytest.mark.parametrize("fields", [{}, {"source": build, "archive": Archive(build, "get it")}])
def test_a_data_set_comes_from_packages_or_from_files(fields: dict[str, Any]) -> None:
    """Of neither nothing could be read; of both, nobody could tell which was."""
    said = complaint(lambda: DatasetSpec("x", "-", None, **fields))
    assert said == 'DatasetSpec "x": it must have a source or an archive, and not both'


@KINDS
def test_a_field_given_twice_is_refused(kind: type[Spec]) -> None:
    """As Python does: else one of the two values is dropped without a word."""
    assert complaint(lambda: kind("y", **GOOD[kind])) == f'{kind.__name__} "x" was given name twice'


TEXT = "must be a text that says something, it is"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        *(({field: ""}, f"{field} {TEXT} ''") for field in ("summary", "version", "paper", "licence")),
        ({"summary": " \n"}, f"summary {TEXT} ' \\n'"),
        ({"version": 1.0}, f"version {TEXT} 1.0"),
        ({"build": "model.build"}, "build must be a function, it is 'model.build'"),
        ({"inputs": "text"}, 'inputs must be a tuple of "image", "text", it is \'text\''),
        ({"inputs": ["text"]}, 'inputs must be a tuple of "image", "text", it is [\'text\']'),
        ({"inputs": ()}, 'inputs must be a tuple of "image", "text", it is ()'),
        ({"inputs": ("audio",)}, 'inputs must be a tuple of "image", "text", it is (\'audio\',)'),
        ({"inputs": (["text"],)}, 'inputs must be a tuple of "image", "text", it is ([\'text\'],)'),
        ({"config": {"width": 3}}, "config must be a subclass of mmeval.ModelConfig, it is a dict"),
        ({"config": NotOurs(width=4)}, "config must be a subclass of mmeval.ModelConfig, it is a NotOurs"),
        ({"config": NotOurs}, "config must be a subclass of mmeval.ModelConfig, it is NotOurs"),
        ({"presets": {"tiny": {"widht": 3}}}, 'its preset tiny sets "widht", which Small does not have'),
        ({"presets": {"tiny": {"recipe": {}}}}, 'its preset tiny sets "recipe", which Small does not have'),
        ({"presets": {}}, 'it lacks its default preset "tiny" (presets: none)'),
        ({"presets": {"big": {}, "huge": {}}}, 'it lacks its default preset "tiny" (presets: big, huge)'),
        ({"default_preset": "small"}, 'it lacks its default preset "small" (presets: tiny)'),
        ({"presets": ["tiny"]}, "presets must be a mapping of mappings, it is ['tiny']"),
        ({"presets": {"tiny": None}}, "presets must be a mapping of mappings, it is {'tiny': None}"),
        ({"presets": {1: {}}}, "presets must be a mapping of mappings, it is {1: {}}"),
        ({"references": "https://arxiv.org"}, "references must be a tuple of texts, it is 'https://arxiv.org'"),
    ],
)
def test_a_wrong_field_of_a_model_is_named(changes: dict[str, Any], said: str) -> None:
    """At the start, in words: not as a traceback of the run in which the field is used first."""
    assert complaint(lambda: ModelSpec(**MODEL | changes)) == f'ModelSpec "x": {said}'


@pytest.mark.parametrize(
    ("config", "said"),
    [
        (Bare, "Bare.width needs a default that holds: field required"),
        (Picky, "Picky needs defaults that hold: value error, width fits nothing"),
    ],
)
def test_a_config_works_as_it_stands(config: type[ModelConfig], said: str) -> None:
    """`--plugin x` alone must do, and `mmeval plugins show` has a default to show of every option."""
    assert complaint(lambda: ModelSpec(**MODEL | {"config": config})) == said


@pytest.mark.parametrize(
    ("kind", "changes", "said"),
    [
        (DatasetSpec, {"card": "x.md"}, "card must be a pathlib.Path, it is 'x.md'"),
        (DatasetSpec, {"source": "x"}, "source must be a function, it is 'x'"),
        (DatasetSpec, {"summary": None}, f"summary {TEXT} None"),
        (DatasetSpec, {"credit": 3}, "credit must be a text, it is 3"),
        (MetricSpec, {"per_example": 1}, "per_example must be a function, it is 1"),
        (MetricSpec, {"summary": ""}, f"summary {TEXT} ''"),
    ],
)
def test_a_wrong_field_of_a_data_set_or_metric_is_named(kind: type[Spec], changes: dict[str, Any], said: str) -> None:
    assert complaint(lambda: kind(**GOOD[kind] | changes)) == f'{kind.__name__} "x": {said}'


@KINDS
@pytest.mark.parametrize("name", ["a", "2", "my-model", "My.Model_2"])
def test_a_name_that_can_be_typed_is_taken(kind: type[Spec], name: str) -> None:
    assert kind(**GOOD[kind] | {"name": name}).name == name


@KINDS
@pytest.mark.parametrize("name", ["", " ", "-a", ".a", "a b", "a/b", "../a", "ä", "a.py", "a\nb", 3, None])
def test_a_name_that_can_not_be_typed_is_refused(kind: type[Spec], name: object) -> None:
    """`--plugin a/b` and `--plugin a.py` are files, `--plugin -a` is an option."""
    said = complaint(lambda: kind(**GOOD[kind] | {"name": name}))
    assert said.startswith(kind.__name__)
    assert f"name must be letters, digits, dots, dashes and underscores, it is {name!r}" in said


PLUGIN = """import mmeval
from pathlib import Path

class Bare(mmeval.ModelConfig):
    width: int

@mmeval.hookimpl
def register_{hook}(register):
    register({spec})
"""


@pytest.mark.parametrize(
    ("hook", "spec", "said"),
    [
        (
            "models",
            'mmeval.ModelSpec("odd", "-", licence="MIT")',
            'ModelSpec "odd" lacks config, build, version, inputs, paper, presets',
        ),
        (
            "models",
            'mmeval.ModelSpec("odd", "-", Bare, print, "1", ("text",), "none", "MIT", {"tiny": {}})',
            "Bare.width needs a default that holds: field required",
        ),
        (
            "datasets",
            'mmeval.DatasetSpec("odd", "-", "odd.md", print)',
            "DatasetSpec \"odd\": card must be a pathlib.Path, it is 'odd.md'",
        ),
        ("metrics", 'mmeval.MetricSpec("odd", "", print)', f"MetricSpec \"odd\": summary {TEXT} ''"),
    ],
)
def test_a_user_learns_whose_spec_is_wrong(install: Install, hook: str, spec: str, said: str) -> None:
    """Whoever runs a plugin can't mend it, but knows whom to write to."""
    install("odd", PLUGIN.format(hook=hook, spec=spec), f"mmeval.{hook}")
    manager = Manager()
    find = {"models": manager.model, "datasets": manager.dataset, "metrics": manager.metric}[hook]
    assert complaint(lambda: find("odd"), PluginError) == f"Plugin odd (acme-odd 1.0): {said}; tell its authors."


@pytest.mark.parametrize(
    ("hook", "spec", "shown", "kind"),
    [
        ("models", "'odd'", "'odd'", "ModelSpec"),
        ("models", "None", "None", "ModelSpec"),
        ("models", "mmeval.DatasetSpec('odd', '-', Path('odd.md'), print)", "DatasetSpec(name='odd', ", "ModelSpec"),
        ("datasets", "mmeval.DatasetSpec", "<class 'mmeval.api.spec.DatasetSpec'>", "DatasetSpec"),
        ("metrics", "len", "<built-in function len>", "MetricSpec"),
    ],
)
def test_what_is_no_spec_is_not_registered(install: Install, hook: str, spec: str, shown: str, kind: str) -> None:
    install("odd", PLUGIN.format(hook=hook, spec=spec), f"mmeval.{hook}")
    manager = Manager()
    find = {"models": manager.model, "datasets": manager.dataset, "metrics": manager.metric}[hook]
    said = complaint(lambda: find("odd"), PluginError)
    assert said.startswith(f"Plugin odd (acme-odd 1.0) registers {shown}")
    assert said.endswith(f", which is no {kind}; tell its authors.")


def test_a_spec_of_ones_own_class_is_a_spec(install: Install) -> None:
    """An author may add fields of their own."""
    own = "import mmeval\n\nclass Own(mmeval.MetricSpec):\n    pass\n"
    install("own", own + PLUGIN.format(hook="metrics", spec='Own("own", "-", len)'), "mmeval.metrics")
    assert Manager().metric("own").name == "own"

"""Plugins that register wrong specs: the message says what is wrong and names the plugin."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from mmeval.errors import PluginError
from mmeval.plugin.manager import Manager

Install = Callable[..., None]


def complaint(call: Callable[[], object]) -> str:
    with pytest.raises(PluginError) as caught:
        call()
    return str(caught.value)


PLUGIN = """import mmeval
from pathlib import Path

class Bare(mmeval.ModelConfig):
    width: int

@mmeval.hookimpl
def register_{hook}(register):
    register({spec})
"""


@pytest.mark.parametrize(
    ("hook", "spec", "expected"),
    [
        (
            "models",
            'mmeval.ModelSpec(name="odd", summary="-", licence="MIT")',
            'ModelSpec "odd" lacks config, build, version, inputs, paper, presets',
        ),
        (
            "models",
            'mmeval.ModelSpec(name="odd", summary="-", config=Bare, build=print, version="1", inputs=("text",), '
            'paper="none", licence="MIT", presets={"tiny": {}})',
            "Bare.width needs a valid default: field required",
        ),
        (
            "datasets",
            'mmeval.DatasetSpec(name="odd", summary="-", card="odd.md", source=print)',
            "DatasetSpec \"odd\": card must be an instance of Path, it is 'odd.md'",
        ),
        (
            "metrics",
            'mmeval.MetricSpec(name="odd", summary="", per_example=print)',
            "MetricSpec \"odd\": summary must not be empty, it is ''",
        ),
    ],
)
def test_the_message_names_the_plugin_with_the_wrong_spec(
    install: Install, hook: str, spec: str, expected: str
) -> None:
    """A user can't repair a plugin, but can write to its authors."""
    install("odd", PLUGIN.format(hook=hook, spec=spec), f"mmeval.{hook}")
    manager = Manager()
    find = {"models": manager.model, "datasets": manager.dataset, "metrics": manager.metric}[hook]
    assert complaint(lambda: find("odd")) == f"Plugin odd (acme-odd 1.0): {expected}; tell its authors."


@pytest.mark.parametrize(
    ("hook", "spec", "shown", "kind"),
    [
        ("models", "'odd'", "'odd'", "ModelSpec"),
        ("models", "None", "None", "ModelSpec"),
        (
            "models",
            "mmeval.DatasetSpec(name='odd', summary='-', card=Path('odd.md'), source=print)",
            "DatasetSpec(name='odd', ",
            "ModelSpec",
        ),
        ("datasets", "mmeval.DatasetSpec", "<class 'mmeval.api.spec.DatasetSpec'>", "DatasetSpec"),
        ("metrics", "len", "<built-in function len>", "MetricSpec"),
    ],
)
def test_an_object_of_another_class_is_not_registered(
    install: Install, hook: str, spec: str, shown: str, kind: str
) -> None:
    install("odd", PLUGIN.format(hook=hook, spec=spec), f"mmeval.{hook}")
    manager = Manager()
    find = {"models": manager.model, "datasets": manager.dataset, "metrics": manager.metric}[hook]
    message = complaint(lambda: find("odd"))
    assert message.startswith(f"Plugin odd (acme-odd 1.0) registers {shown}")
    assert message.endswith(f", which is not a {kind}; tell its authors.")


def test_a_subclass_of_a_spec_is_registered(install: Install) -> None:
    """An author may add fields of their own."""
    own = "import mmeval\n\nclass Own(mmeval.MetricSpec):\n    colour: str\n"
    spec = 'Own(name="own", summary="-", per_example=len, colour="red")'
    install("own", own + PLUGIN.format(hook="metrics", spec=spec), "mmeval.metrics")
    metric = Manager().metric("own")
    assert (metric.name, metric.colour, metric.distribution) == ("own", "red", "acme-own 1.0")

"""Options: typed, frozen, and every mistake is one sentence that helps."""

from __future__ import annotations

from typing import Any, Literal

import pytest
from pydantic import Field, ValidationError

from mmeval import ModelConfig, Recipe, UserError
from mmeval.api.config import Option, options
from mmeval.plugin.configure import configure

SHOW = "`mmeval plugins show small` lists the options."


class SmallConfig(ModelConfig):
    """Options of a small model, whose recipe isn't mmeval's."""

    width: int = Field(8, ge=1, le=64)
    """Features per layer,
    counted once."""
    mode: Literal["sum", "mean"] = "sum"
    """How to pool."""
    layers: tuple[int, ...] = (1, 2)
    weights: dict[str, float] = Field({})
    seed_text: str | None = None
    recipe: Recipe = Recipe(epochs=12, batch_size=256)


def configured(*changes: str, **preset: Any) -> SmallConfig:
    return configure(SmallConfig, "small", preset, changes)


def complaint(change: str) -> str:
    with pytest.raises(UserError) as caught:
        configured(change)
    return str(caught.value)


def test_options_are_listed_with_type_default_and_help() -> None:
    """What `mmeval plugins show` shows; a plugin's own options come first, groups by dotted name after them."""
    found = {option.name: option for option in options(SmallConfig())}
    recipe = [f"recipe.{name}" for name in Recipe.model_fields]
    assert list(found) == ["width", "mode", "layers", "weights", "seed_text", *recipe]
    assert found["width"] == Option("width", "int", 8, "Features per layer, counted once.")
    assert found["mode"] == Option("mode", "Literal['sum', 'mean']", "sum", "How to pool.")
    assert found["recipe.epochs"].default == 12
    assert found["recipe.epochs"].help == "Passes over the training split, at most."


def test_every_option_that_is_listed_can_be_set_to_its_default() -> None:
    for option in options(SmallConfig()):
        if isinstance(option.default, str | int | float):
            assert configured(f"{option.name}={option.default}") == SmallConfig(), option.name


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("widht=3", f'--set widht=3: small has no option "widht". Did you mean "width"? {SHOW}'),
        ("epochs=3", f'--set epochs=3: small has no option "epochs". Did you mean "recipe.epochs"? {SHOW}'),
        ("xyz=3", f'--set xyz=3: small has no option "xyz". {SHOW}'),
        ("=3", f'--set =3: small has no option "". {SHOW}'),
        ("width", f"--set width: write it as key=value, e.g. --set width=... {SHOW}"),
        (
            "width=wide",
            f"--set width=wide: input should be a valid integer, unable to parse string as an integer. {SHOW}",
        ),
        ("width=0", f"--set width=0: input should be greater than or equal to 1. {SHOW}"),
        ("width=65", f"--set width=65: input should be less than or equal to 64. {SHOW}"),
        ("mode=max", f"--set mode=max: input should be 'sum' or 'mean'. {SHOW}"),
        ("recipe.warmup_ratio=1.5", f"--set recipe.warmup_ratio=1.5: input should be less than or equal to 1. {SHOW}"),
        ("recipe.learning_rate=0", f"--set recipe.learning_rate=0: input should be greater than 0. {SHOW}"),
        ("layers=[1", f"--set layers=[1: input should be a valid tuple. {SHOW}"),
    ],
)
def test_a_mistake_is_one_sentence_that_says_what_to_do(change: str, said: str) -> None:
    assert complaint(change) == said


def test_one_changed_option_leaves_the_plugins_other_defaults() -> None:
    """Else `--set recipe.epochs=3` also trains with mmeval's batch size instead of the plugin's."""
    assert configured("recipe.epochs=3") == SmallConfig(recipe=Recipe(epochs=3, batch_size=256))


def test_a_change_goes_before_the_preset_and_the_last_change_before_others() -> None:
    preset = {"width": 16, "recipe.epochs": 5}
    assert configured(**preset) == SmallConfig(width=16, recipe=Recipe(epochs=5, batch_size=256))
    found = configured("width=32", "width=33", **preset)
    assert (found.width, found.recipe.epochs) == (33, 5)
    assert preset == {"width": 16, "recipe.epochs": 5}


def test_lists_and_mappings_are_json() -> None:
    found = configured("layers=[3, 4, 5]", 'weights={"en": 0.5}')
    assert (found.layers, found.weights) == ((3, 4, 5), {"en": 0.5})


def test_a_value_may_hold_an_equals_sign_or_be_none() -> None:
    assert configured("seed_text=a=b").seed_text == "a=b"
    assert configured("seed_text=none").seed_text is None


def test_a_config_can_not_be_changed_later() -> None:
    """It is written into the record before the run; a model that changed it would make the record lie."""
    found = configured()
    with pytest.raises(ValidationError, match="frozen"):
        found.width = 3
    with pytest.raises(ValidationError, match="frozen"):
        found.recipe.epochs = 3


def test_a_plugins_own_defaults_are_checked() -> None:
    """A typing error of its author shows at once, not when a user changes the option."""

    class Broken(ModelConfig):
        width: int = Field(0, ge=1)

    with pytest.raises(ValidationError, match="greater than or equal to 1"):
        Broken()

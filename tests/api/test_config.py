"""Options are typed and frozen, and every mistake raises a UserError of one sentence."""

from __future__ import annotations

from typing import Any, Literal

import pytest
from pydantic import Field, ValidationError

from mmeval import ModelConfig, Recipe, UserError
from mmeval.api.config import Option, options
from mmeval.plugin.configure import configure

SHOW = "`mmeval plugins show small` lists the options."


class SmallConfig(ModelConfig):
    """Options of a small model, with another recipe than mmeval's default."""

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
    """A plugin's own options come first, then groups with dotted names, as `mmeval plugins show` prints them."""
    listed = {option.name: option for option in options(SmallConfig())}
    recipe = [f"recipe.{name}" for name in Recipe.model_fields]
    assert list(listed) == ["width", "mode", "layers", "weights", "seed_text", *recipe]
    assert listed["width"] == Option("width", "int", 8, "Features per layer, counted once.")
    assert listed["mode"] == Option("mode", "Literal['sum', 'mean']", "sum", "How to pool.")
    assert listed["recipe.epochs"].default == 12
    assert listed["recipe.epochs"].help == "Largest number of passes over the training split."


def test_every_listed_option_accepts_its_default() -> None:
    for option in options(SmallConfig()):
        if isinstance(option.default, str | int | float):
            assert configured(f"{option.name}={option.default}") == SmallConfig(), option.name


@pytest.mark.parametrize(
    ("change", "message"),
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
def test_a_mistake_raises_user_error_with_advice(change: str, message: str) -> None:
    assert complaint(change) == message


def test_one_changed_option_leaves_the_plugins_other_defaults() -> None:
    """`--set recipe.epochs=3` must not replace the plugin's batch size by mmeval's."""
    assert configured("recipe.epochs=3") == SmallConfig(recipe=Recipe(epochs=3, batch_size=256))


def test_changes_override_the_preset_and_the_last_change_wins() -> None:
    preset = {"width": 16, "recipe.epochs": 5}
    assert configured(**preset) == SmallConfig(width=16, recipe=Recipe(epochs=5, batch_size=256))
    config = configured("width=32", "width=33", **preset)
    assert (config.width, config.recipe.epochs) == (33, 5)
    assert preset == {"width": 16, "recipe.epochs": 5}


def test_lists_and_mappings_are_json() -> None:
    config = configured("layers=[3, 4, 5]", 'weights={"en": 0.5}')
    assert (config.layers, config.weights) == ((3, 4, 5), {"en": 0.5})


def test_a_value_may_contain_an_equals_sign_or_be_none() -> None:
    assert configured("seed_text=a=b").seed_text == "a=b"
    assert configured("seed_text=none").seed_text is None


def test_a_config_can_not_be_changed_later() -> None:
    """The record holds the config as it was before the run."""
    config = configured()
    with pytest.raises(ValidationError, match="frozen"):
        config.width = 3
    with pytest.raises(ValidationError, match="frozen"):
        config.recipe.epochs = 3


def test_a_plugins_own_defaults_are_checked() -> None:
    """The author notices a wrong default at once, not a user who changes the option."""

    class Broken(ModelConfig):
        width: int = Field(0, ge=1)

    with pytest.raises(ValidationError, match="greater than or equal to 1"):
        Broken()

"""Checks of a plugin's declaration: spec, options and presets."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from pydantic import ValidationError

from mmeval.api.config import Config, options
from mmeval.errors import MissingExtraError, MissingWeightsError
from mmeval.plugin.compat import DECLARATION
from mmeval.plugin.configure import configure
from mmeval.plugin.listing import entry_points, stated_api, stated_api_of
from mmeval.testing.check import CheckFailed, NotApplicable, contract_check
from mmeval.testing.plugin_under_test import PluginUnderTest
from mmeval.testing.presets import PresetResult, check_preset
from mmeval.version import API_VERSION

MAX_SUMMARY = 120


@contract_check(
    "metadata",
    "the spec states summary, paper and licence, and the module states the version of the plugin API",
    "a report couldn't say which model was scored and whether it may be used",
)
def metadata(plugin: PluginUnderTest) -> None:
    """Check that summary, paper and licence are filled in, references are URLs, and the API version is stated."""
    spec = plugin.spec
    if "\n" in spec.summary or len(spec.summary) > MAX_SUMMARY:
        raise CheckFailed(f"summary must be one line of at most {MAX_SUMMARY} characters")
    for field in ("summary", "paper", "licence"):
        if getattr(spec, field).strip().upper().startswith(("TODO", "TBD", "FIXME")):
            raise CheckFailed(f'{field} is still "{getattr(spec, field)}"')
    for reference in spec.references:
        if not reference.startswith(("https://", "http://")):
            raise CheckFailed(f'references contains "{reference}", which is not a URL')
    if _stated_api(plugin.name) is None:
        raise CheckFailed(f'the module states no {DECLARATION}; put {DECLARATION} = "{API_VERSION}" into it')


@contract_check(
    "unknown-options",
    "unknown options are refused in every group of options",
    "a misspelt --set would be ignored, and the score would belong to another model",
)
def unknown_options(plugin: PluginUnderTest) -> None:
    """Check that every group of options forbids unknown ones and is frozen."""
    for name, group in _groups(plugin.config):
        try:
            type(group).model_validate({**group.model_dump(), "no_such_option": 1})
        except ValidationError:
            pass
        else:
            raise CheckFailed(f'{name} accepts an unknown option; leave extra="forbid" as it is')
        if not type(group).model_config.get("frozen"):
            raise CheckFailed(f"{name} can be changed after a run has recorded it; leave frozen=True as it is")


@contract_check(
    "documented-options",
    "every option has a help text and keeps its value when written as JSON",
    "`mmeval plugins show` couldn't explain an option, or a saved model couldn't be loaded",
)
def documented_options(plugin: PluginUnderTest) -> None:
    """Check that each field has a docstring, and that the config is equal after writing and reading JSON."""
    undocumented = [option.name for option in options(plugin.config) if not option.help]
    if undocumented:
        raise CheckFailed(f"options without a docstring: {', '.join(undocumented)}")
    try:
        restored = type(plugin.config).model_validate(plugin.config.model_dump(mode="json"))
    except ValidationError as error:
        raise CheckFailed(f"its config can't be read back from JSON: {error.errors()[0]['msg']}") from None
    if restored != plugin.config:
        changed = [a.name for a, b in zip(options(restored), options(plugin.config), strict=True) if a != b]
        raise CheckFailed(f"options that JSON changes: {', '.join(changed)}")


@contract_check(
    "presets",
    "every preset builds a model; without its published weights it trains one step with random ones",
    "a listed preset would fail when a user names it",
)
def presets(plugin: PluginUnderTest) -> str:
    """Build each preset, or the same architecture with random weights, which then trains one step.

    A preset too large for a quick check is only built, on the meta device; ``mmeval.testing.try_preset`` trains it.
    """
    unavailable: list[str] = []
    results: list[PresetResult] = []
    for preset, values in plugin.spec.presets.items():
        config = configure(plugin.spec.config, plugin.spec.name, values)
        try:
            results.append(check_preset(plugin, preset, config, bounded=True))
        except (MissingExtraError, MissingWeightsError) as error:
            unavailable.append(f"{preset}: {error}")
    if unavailable:
        raise NotApplicable(f"can't be built on this machine: {' '.join(unavailable)}")
    trained = [str(result) for result in results if result.random_weights and result.ran]
    large = [str(result) for result in results if result.random_weights and not result.ran]
    remarks = [f"with random weights: {', '.join(trained)}"] if trained else []
    remarks += [f"too large for a training step here, so only built: {', '.join(large)}"] if large else []
    return "; ".join(remarks)


def _stated_api(plugin: str) -> str | None:
    if plugin.endswith(".py"):
        return stated_api_of(Path(plugin))
    return next((stated_api(entry.module) for entry in entry_points("model") if entry.name == plugin), None)


def _groups(config: Config, name: str = "") -> Iterator[tuple[str, Config]]:
    """Yield a config and its nested groups, each with its dotted name."""
    yield name or type(config).__name__, config
    for field in type(config).model_fields:
        value = getattr(config, field)
        if isinstance(value, Config):
            yield from _groups(value, f"{name}.{field}" if name else field)

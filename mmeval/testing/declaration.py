"""Rules about what a plugin declares: its spec, its options, its presets."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from pydantic import ValidationError

from mmeval.api.config import Config, options
from mmeval.errors import MissingExtraError, MissingWeightsError
from mmeval.plugin import compat as api
from mmeval.plugin.configure import configure
from mmeval.plugin.listing import entry_points, stated_api, stated_api_of
from mmeval.testing.check import rule
from mmeval.testing.outcome import Broken, NotApplicable
from mmeval.testing.presets import Trial, tried
from mmeval.testing.subject import Subject
from mmeval.version import API_VERSION

LONGEST_SUMMARY = 120


@rule(
    "metadata",
    "spec and module say what the model is, which paper and licence it has, and which API it was made for",
    "a report couldn't say what was scored, or whether it may be used",
)
def metadata(subject: Subject) -> None:
    """Paper and licence are filled in, the summary is one line, addresses are addresses, the API is stated."""
    spec = subject.spec
    if "\n" in spec.summary or len(spec.summary) > LONGEST_SUMMARY:
        raise Broken(f"summary must be one line of at most {LONGEST_SUMMARY} characters")
    for field in ("summary", "paper", "licence"):
        if getattr(spec, field).strip().upper().startswith(("TODO", "TBD", "FIXME")):
            raise Broken(f'{field} is still "{getattr(spec, field)}"')
    for reference in spec.references:
        if not reference.startswith(("https://", "http://")):
            raise Broken(f'references holds "{reference}", which is no address')
    if _stated(subject.plugin) is None:
        raise Broken(f'the module states no {api.DECLARATION}; put {api.DECLARATION} = "{API_VERSION}" into it')


@rule(
    "unknown-options",
    "an option that doesn't exist is refused, in every group of options",
    "a misspelt --set would be ignored, and another model scored than the one that was asked for",
)
def unknown_options(subject: Subject) -> None:
    """Every group of options forbids extras and is frozen."""
    for name, group in _groups(subject.config):
        try:
            type(group).model_validate({**group.model_dump(), "no_such_option": 1})
        except ValidationError:
            pass
        else:
            raise Broken(f'{name} takes an option that doesn\'t exist; leave extra="forbid" as it is')
        if not type(group).model_config.get("frozen"):
            raise Broken(f"{name} can be changed after it was recorded; leave frozen=True as it is")


@rule(
    "documented-options",
    "every option has a help text, and survives being written as JSON",
    "`mmeval plugins show` would be silent about an option, or a saved model couldn't be loaded",
)
def documented_options(subject: Subject) -> None:
    """Each field has a docstring; the config that a run writes is the one that it reads."""
    bare = [option.name for option in options(subject.config) if not option.help]
    if bare:
        raise Broken(f"without a docstring: {', '.join(bare)}")
    try:
        again = type(subject.config).model_validate(subject.config.model_dump(mode="json"))
    except ValidationError as error:
        raise Broken(f"its config can't be read back from JSON: {error.errors()[0]['msg']}") from None
    if again != subject.config:
        changed = [a.name for a, b in zip(options(again), options(subject.config), strict=True) if a != b]
        raise Broken(f"options that JSON changes: {', '.join(changed)}")


@rule(
    "presets",
    "every preset builds a model of its config, and one whose weights aren't here takes a step with random ones",
    "a preset that the listing offers would fail when it is asked for",
)
def presets(subject: Subject) -> str:
    """Build each preset as it stands, or the same architecture with random weights, and then train that one step.

    What is too large for a machine that only checks is built without memory; ``mmeval.testing.try_preset`` trains it.
    """
    absent: list[str] = []
    trials: list[Trial] = []
    for preset, values in subject.spec.presets.items():
        config = configure(subject.spec.config, subject.spec.name, values)
        try:
            trials.append(tried(subject, preset, config, bounded=True))
        except (MissingExtraError, MissingWeightsError) as error:
            absent.append(f"{preset}: {error}")
    if absent:
        raise NotApplicable(f"can't be built on this machine: {' '.join(absent)}")
    ran = [str(one) for one in trials if one.random and one.ran]
    large = [str(one) for one in trials if one.random and not one.ran]
    said = [f"with random weights: {', '.join(ran)}"] if ran else []
    said += [f"too large for a step here, so only built: {', '.join(large)}"] if large else []
    return "; ".join(said)


def _stated(plugin: str) -> str | None:
    if plugin.endswith(".py"):
        return stated_api_of(Path(plugin))
    return next((stated_api(entry.module) for entry in entry_points("model") if entry.name == plugin), None)


def _groups(config: Config, name: str = "") -> Iterator[tuple[str, Config]]:
    yield name or type(config).__name__, config
    for field in type(config).model_fields:
        value = getattr(config, field)
        if isinstance(value, Config):
            yield from _groups(value, f"{name}.{field}" if name else field)

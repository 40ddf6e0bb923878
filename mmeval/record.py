"""``run.json``: where a run's numbers come from."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from mmeval.protocol import Protocol

SCHEMA_VERSION: Literal[1] = 1


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class PluginRecord(_Frozen):
    """Which model, and what it states about itself."""

    name: str
    """The name that it registers."""
    version: str
    """The plugin's own version."""
    paper: str
    """Title and identifier of the paper."""
    licence: str
    """Licence of code and weights."""


class Plan(_Frozen):
    """What is to be done; written before the work begins, so that a second call knows what it goes on with."""

    signature: str
    """One line that names protocol and plugin."""
    protocol: Protocol
    """What is held fixed in a comparison."""
    plugin: PluginRecord
    """The model plugin."""
    preset: str
    """The preset that the options start from."""
    config: dict[str, Any]
    """Every option, resolved."""

    def difference(self, other: Plan) -> str | None:
        """The first thing in which two plans differ, in words; None if in nothing."""
        if self.signature != other.signature:
            return f"its signature is {other.signature}, not {self.signature}"
        mine, theirs = _flat(self.model_dump(mode="json")), _flat(other.model_dump(mode="json"))
        for key in sorted({*mine, *theirs}):
            if mine.get(key) != theirs.get(key):
                return f"its {key} is {theirs.get(key)}, not {mine.get(key)}"
        return None


class Record(_Frozen):
    """The whole provenance of a finished run."""

    schema_version: Literal[1] = SCHEMA_VERSION
    """Version of this format."""
    name: str
    """Name of the run folder."""
    plan: Plan
    """What was done."""
    data: dict[str, Any]
    """Name, fingerprint, identity of the sources, examples per split, licence."""
    seeds: dict[str, dict[str, Any]]
    """Per training seed: epochs, best epoch, validation score, speed."""
    versions: dict[str, str]
    """Python and the packages that numbers can depend on."""
    device: str
    """The device, as a person would name it."""
    started: str
    """ISO 8601, UTC."""
    wall_seconds: float
    """From the call to this record; a resumed run counts its last call only."""
    device_seconds: float
    """Fitting and predicting, summed over seeds and devices."""
    peak_memory_bytes: int | None
    """Largest resident memory of the process, where the system tells."""
    git_commit: str | None
    """Commit of mmeval's checkout, `+changes` if files differ from it; None for an installed package."""
    command: str
    """The command line that makes this run again."""
    plugin: str
    """The plugin as typed: its name, or the path of a Python file."""
    dataset: str = ""
    """The data set as typed; empty in records that are older than this field."""
    metric_plugins: list[str] = []
    """The metrics as typed: their names, or the paths of Python files."""
    metric_origins: dict[str, str] = {}
    """Where each of them came from: package and version, or file and digest."""
    metrics: list[str] = []
    """Metrics that plugins added to the built-in ones."""


def _flat(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value
    return flat

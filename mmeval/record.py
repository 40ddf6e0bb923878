"""``run.json``: where a run's numbers come from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from mmeval.protocol import Protocol

SCHEMA_VERSION: Literal[2] = 2
"""Schema 1 had no digests: its run folders are read, with their files unverified."""


RENAMED_OPTIONS = {
    "recipe": {
        "accumulate": "gradient_accumulation_steps",
        "clip_norm": "max_grad_norm",
        "warmup": "warmup_ratio",
    },
    "tuning": {"rate": "lr_multiplier"},
}
"""Names of options in run folders that older versions wrote, by the last word of their group, and what they are now."""


def with_current_names(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a recorded config with the current names of its options."""

    def renamed(group: str, value: object) -> object:
        names = RENAMED_OPTIONS.get(group.rpartition("_")[2], {})
        if not isinstance(value, Mapping) or not names:
            return value
        return {names.get(name, name): option for name, option in value.items()}

    return {group: renamed(group, value) for group, value in config.items()}


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class PluginRecord(_Frozen):
    """The model plugin, as its spec describes it."""

    model_config = ConfigDict(from_attributes=True)

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

    @field_validator("config", mode="before")
    @classmethod
    def _with_current_names(cls, config: Any) -> Any:  # noqa: ANN401 - whatever the file holds
        return with_current_names(config) if isinstance(config, dict) else config

    def difference(self, other: Plan) -> str | None:
        """The first thing in which two plans differ, in words; None if in nothing."""
        if self.signature != other.signature:
            return f"its signature is {other.signature}, not {self.signature}"
        mine, theirs = _flat(self.model_dump(mode="json")), _flat(other.model_dump(mode="json"))
        for key in sorted({*mine, *theirs}):
            if mine.get(key) != theirs.get(key):
                return f"its {key} is {theirs.get(key)}, not {mine.get(key)}"
        return None


class FileRecord(_Frozen):
    """What a file of the run folder holds."""

    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    """SHA-256 of its bytes, as hex digits."""
    bytes: int = Field(ge=0)
    """Its size."""
    rows: int | None = Field(default=None, ge=0)
    """Rows of a Parquet file; None for any other."""


def require_inside(files: Iterable[str]) -> None:
    """Check that every name is a relative path that stays inside the run folder.

    Raises:
        ValueError: a name is absolute, leads out of the folder, or has a backslash or a null character.
    """
    for name in files:
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts or "\0" in name or "\\" in name or not path.parts:
            raise ValueError(f"{name!r} is not a path inside the run folder")


class SeedFacts(BaseModel):
    """What is known about the training with one seed; a model may add facts of its own."""

    model_config = ConfigDict(frozen=True, extra="allow", use_attribute_docstrings=True)

    seconds: float = Field(ge=0, allow_inf_nan=False)
    """Training and prediction."""
    epochs: int | None = Field(default=None, ge=0)
    """Epochs trained."""
    best_epoch: int | None = Field(default=None, ge=0)
    """The epoch that was selected on validation."""

    @model_validator(mode="after")
    def _selected_among_epochs(self) -> Self:
        if self.best_epoch is not None and self.epochs is None:
            raise ValueError("best_epoch stands without epochs")
        return self


class DataFacts(BaseModel):
    """What is known about the data that a run used."""

    model_config = ConfigDict(frozen=True, extra="allow", use_attribute_docstrings=True)

    name: str
    """Name of the data set."""
    summary: str = ""
    """The data set in one line."""
    licence: str = ""
    """Licence of the data."""
    credit: str = ""
    """Whom its licence asks to name."""
    warnings: list[str] = []
    """What must be said wherever it is scored."""


class RejectedRows(_Frozen):
    """Rows of the source that the data set doesn't use."""

    rows: int = Field(ge=0)
    """Their number."""
    total: int = Field(ge=0)
    """Rows of the source, used or not."""
    reasons: list[tuple[str, int]] = []
    """The most frequent reasons, each with its rows."""


class Majority(_Frozen):
    """Scores of always predicting the most frequent training class."""

    label: str
    """That class."""
    top1: float = Field(ge=0, le=1)
    """Top-1 over all scored rows."""
    mean_over_languages: float = Field(ge=0, le=1)
    """Mean of the languages' top-1."""


class DataCheck(_Frozen):
    """What was counted before training: what scores can't speak of, and what needs no model to be reached."""

    split: str
    """The scored split."""
    languages: dict[str, dict[str, int]]
    """Rows by language and split."""
    classes: dict[str, int]
    """Number of classes by task."""
    unscored_languages: dict[str, int] = {}
    """Languages without a scored row, with their rows in the other splits."""
    few_rows_languages: dict[str, int] = {}
    """Languages with fewer than 30 scored rows, with their number."""
    rare_classes: dict[str, dict[str, dict[str, int]]] = {}
    """Classes with fewer than 2 rows in a split: rows by task, split and class."""
    single_classes: dict[str, list[str]] = {}
    """Classes with 1 row in all splits together, by task."""
    rejected: RejectedRows
    """Rows that were rejected when the data was prepared."""
    majority: dict[str, Majority] = {}
    """The majority-class baseline by task; a task without training or scored labels has none."""


class AsTyped(_Frozen):
    """What the user typed."""

    command: str
    """The command line that repeats the run."""
    plugin: str
    """The model: a plugin's name, or the path of a Python file."""
    dataset: str = ""
    """The data set; empty in records that are older than this field."""
    metric_plugins: list[str] = []
    """The metric plugins: names, or paths of Python files."""


class Environment(_Frozen):
    """The software and hardware of a run."""

    versions: dict[str, str]
    """Versions of Python and of the packages that numbers can depend on."""
    device: str
    """The device's name."""
    git_commit: str | None
    """Commit of mmeval's checkout, followed by `+changes` if files differ from it; None for an installed package."""


class Record(AsTyped, Environment):
    """The whole provenance of a finished run."""

    schema_version: Literal[1, 2] = SCHEMA_VERSION
    """Version of this format."""
    name: str
    """Name of the run folder."""
    plan: Plan
    """What was done."""
    data: dict[str, Any]
    """Name, fingerprint, identity of the sources, examples per split, licence."""
    seeds: dict[str, dict[str, Any]]
    """Per training seed: epochs, best epoch, validation score, speed."""
    started: str
    """ISO 8601, UTC."""
    wall_seconds: float = Field(ge=0, allow_inf_nan=False)
    """From the call to this record; a resumed run counts its last call only."""
    device_seconds: float = Field(ge=0, allow_inf_nan=False)
    """Fitting and predicting, summed over seeds and devices."""
    peak_memory_bytes: int | None
    """Largest resident memory of the process, where the system tells."""
    metric_origins: dict[str, str] = {}
    """Where each of them came from: package and version, or file and digest."""
    metrics: list[str] = []
    """Metrics that plugins added to the built-in ones."""
    data_check: DataCheck | None = None
    """What was counted before training; None in older records."""
    files: dict[str, FileRecord] = {}
    """Every other file of the run folder, by its path in it (with `/`); empty in schema 1."""
    seal: str = ""
    """SHA-256 of all other fields; empty in schema 1."""

    @field_validator("seeds")
    @classmethod
    def _have_seed_facts(cls, seeds: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
        for facts in seeds.values():
            SeedFacts.model_validate(facts)
        return seeds

    @field_validator("data")
    @classmethod
    def _have_data_facts(cls, data: dict[str, Any]) -> dict[str, Any]:
        return data | DataFacts.model_validate(data).model_dump()

    @field_validator("files")
    @classmethod
    def _stay_inside_the_folder(cls, files: dict[str, FileRecord]) -> dict[str, FileRecord]:
        require_inside(files)
        return files

    @model_validator(mode="after")
    def _is_complete(self) -> Self:
        if set(self.seeds) != {str(seed) for seed in self.plan.protocol.seeds}:
            raise ValueError("seeds are not those of the plan")
        if self.schema_version == 1 and (self.files or self.seal):
            raise ValueError("schema 1 has neither files nor a seal")
        return self


def _flat(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value
    return flat

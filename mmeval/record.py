"""The models of ``plan.json`` and ``run.json``: the plan, the provenance and the files of a run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from mmeval.protocol import Protocol

SCHEMA_VERSION: Literal[2] = 2
"""Version of the format of ``run.json``. Schema 1 had no digests; its run folders are read as unverified."""


RENAMED_OPTIONS = {
    "recipe": {
        "accumulate": "gradient_accumulation_steps",
        "clip_norm": "max_grad_norm",
        "warmup": "warmup_ratio",
    },
    "tuning": {"rate": "lr_multiplier"},
}
"""Old names of options to their current names, by the last word of their group; older run folders have the old ones."""


def with_current_names(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a recorded config with current option names."""

    def rename(group: str, value: object) -> object:
        names = RENAMED_OPTIONS.get(group.rpartition("_")[2], {})
        if not isinstance(value, Mapping) or not names:
            return value
        return {names.get(name, name): option for name, option in value.items()}

    return {group: rename(group, value) for group, value in config.items()}


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class PluginRecord(_Frozen):
    """The model plugin, as its spec describes it."""

    model_config = ConfigDict(from_attributes=True)

    name: str
    """The name that the plugin registers."""
    version: str
    """The plugin's own version."""
    paper: str
    """Title and identifier of the paper."""
    licence: str
    """Licence of code and weights."""


class Plan(_Frozen):
    """The plan of a run, written before the work begins; a later call checks that it continues the same run."""

    signature: str
    """One line that names protocol and plugin."""
    protocol: Protocol
    """The protocol that compared runs must share."""
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
        """Return the first difference between two plans as text, or None if they are equal."""
        if self.signature != other.signature:
            return f"its signature is {other.signature}, not {self.signature}"
        mine, theirs = _flat(self.model_dump(mode="json")), _flat(other.model_dump(mode="json"))
        for key in sorted({*mine, *theirs}):
            if mine.get(key) != theirs.get(key):
                return f"its {key} is {theirs.get(key)}, not {mine.get(key)}"
        return None


class FileRecord(_Frozen):
    """Digest, size and number of rows of a file in the run folder."""

    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    """SHA-256 of its content, as hex digits."""
    bytes: int = Field(ge=0)
    """Size in bytes."""
    rows: int | None = Field(default=None, ge=0)
    """Number of rows of a Parquet file; None for other files."""


def require_inside(files: Iterable[str]) -> None:
    """Check that every name is a relative path that stays inside the run folder.

    Raises:
        ValueError: a name is absolute, leads out of the folder, or has a backslash or a null character.
    """
    for name in files:
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts or "\0" in name or "\\" in name or not path.parts:
            raise ValueError(f"{name!r} is not a path inside the run folder")


class _Measured(_Frozen):
    """The measurements that a training seed and a run share; None marks a number that is not known."""

    parameters: int | None = Field(None, ge=0)
    """All parameters, those of frozen encoders included."""
    trained_parameters: int | None = Field(None, ge=0)
    """Parameters that training changes."""
    flops_per_example: float | None = Field(None, ge=0, allow_inf_nan=False)
    """Floating-point operations of one forward pass, divided by the examples of the batch; a multiplication and an
    addition count as two. Matrix products, convolutions and attention count, other operations don't."""
    flops_per_example_cached: float | None = Field(None, ge=0, allow_inf_nan=False)
    """The same with cached embeddings."""
    train_examples_per_second: float | None = Field(None, ge=0, allow_inf_nan=False)
    """Examples that training saw (several times, with epochs) per second, with cached embeddings."""
    predict_examples_per_second_cached: float | None = Field(None, ge=0, allow_inf_nan=False)
    """Examples predicted per second, with cached embeddings."""
    peak_memory_bytes: int | None = Field(None, ge=0)
    """Peak resident memory of the process in training and prediction."""
    peak_device_memory_bytes: int | None = Field(None, ge=0)
    """Peak memory that torch allocated on the GPU; None on the CPU."""
    energy_joules: float | None = Field(None, ge=0, allow_inf_nan=False)
    """Energy that the device used in training and prediction; other processes on it count too."""
    energy_source: str = ""
    """The counter that measured the energy, such as `NVML, GPU`; empty if there is none."""


class SeedEfficiency(_Measured):
    """The efficiency of one training seed. Only the first seed of a run measures size and cost of the model."""

    encoder_seconds_per_example: float | None = Field(None, ge=0, allow_inf_nan=False)
    """Time that frozen encoders take for an example whose embeddings are not cached; 0 without such encoders."""


class Efficiency(_Measured):
    """Size, cost and speed of a model, as a run measured them; None marks a number that is not known.

    Frozen encoders are part of the model: their parameters and operations count, although a run computes their
    embeddings only once per image or text and then reads them from a cache. Numbers *with cached embeddings* leave the
    encoders out; they equal the others if no encoder is frozen.
    """

    predict_examples_per_second: float | None = Field(None, ge=0, allow_inf_nan=False)
    """Examples predicted per second, from image and text. With frozen encoders it is computed from the speed with
    cached embeddings and the time that the encoders take for a sample of examples."""
    device_seconds: float = Field(ge=0, allow_inf_nan=False)
    """Duration of training and prediction in seconds, summed over seeds."""


class Epoch(BaseModel):
    """Training loss and validation score of one epoch."""

    model_config = ConfigDict(frozen=True, extra="allow", use_attribute_docstrings=True)

    epoch: int = Field(ge=1)
    """Number of the epoch, from 1."""
    loss: float | None = None
    """Mean training loss over the examples of the epoch; None if the model reports none."""
    validation: float | None = None
    """Validation score after the epoch, the one that selects the best epoch; None if the model reports none."""


class SeedFacts(BaseModel):
    """Facts about the training with one seed; a model may add its own."""

    model_config = ConfigDict(frozen=True, extra="allow", use_attribute_docstrings=True)

    seconds: float = Field(ge=0, allow_inf_nan=False)
    """Duration of training and prediction."""
    epochs: int | None = Field(default=None, ge=0)
    """Number of epochs trained."""
    best_epoch: int | None = Field(default=None, ge=0)
    """The epoch that was selected on validation."""
    history: list[Epoch] = []
    """Training loss and validation score of each epoch; empty in older records, and for models without epochs."""
    efficiency: SeedEfficiency | None = None
    """Size, cost and speed; None in older records."""

    @field_validator("history", mode="before")
    @classmethod
    def _without_other_histories(cls, history: Any) -> Any:  # noqa: ANN401 - whatever a model returns
        """Ignore a model's own fact that has the same name and another form."""
        try:
            return [Epoch.model_validate(each) for each in history]
        except (TypeError, ValueError):
            return []

    @model_validator(mode="after")
    def _selected_among_epochs(self) -> Self:
        if self.best_epoch is not None and self.epochs is None:
            raise ValueError("best_epoch is set, but epochs is not")
        return self


class DataFacts(BaseModel):
    """Facts about the data set of a run."""

    model_config = ConfigDict(frozen=True, extra="allow", use_attribute_docstrings=True)

    name: str
    """Name of the data set."""
    summary: str = ""
    """A description of the data set in one line."""
    licence: str = ""
    """Licence of the data."""
    credit: str = ""
    """The attribution that the licence asks for."""
    citation: str = ""
    """How to cite the data, as its data card says it: BibTeX or a sentence; empty if unknown, and in older records."""
    warnings: list[str] = []
    """Warnings that are shown beside the scores."""
    description: str = ""
    """The first paragraph of the data card; empty without a card, and in older records."""
    defects: list[str] = []
    """The known defects that the data card lists."""


class RejectedRows(_Frozen):
    """Rows of the source that were rejected."""

    rows: int = Field(ge=0)
    """Number of rejected rows."""
    total: int = Field(ge=0)
    """Number of rows of the source."""
    reasons: list[tuple[str, int]] = []
    """The most frequent reasons, each with its number of rows."""


class Majority(_Frozen):
    """Scores of always predicting the most frequent training class."""

    label: str
    """The most frequent training class."""
    top1: float = Field(ge=0, le=1)
    """Top-1 over all scored rows pooled."""
    mean_over_languages: float = Field(ge=0, le=1)
    """Mean over languages of top-1."""


class Detectable(_Frozen):
    """The smallest difference between two models that some rows can show."""

    rows: int = Field(ge=0)
    """Number of labelled rows."""
    clusters: int = Field(ge=0)
    """Number of clusters of these rows."""
    effective_rows: float = Field(ge=0)
    """Number of independent rows that would determine the difference as exactly as these rows do."""
    half_width: float = Field(ge=0)
    """Half the width of the 95 % interval of the accuracy of one model."""
    detectable: float = Field(ge=0)
    """Smallest difference in accuracy that a paired test finds with the stated power."""
    detectable_adjusted: float = Field(ge=0)
    """The same, if the test is corrected for the number of languages."""
    rows_for: dict[str, int | None]
    """By difference: number of such rows that a paired test needs to find it; None if the models can't differ so much.

    The rows are assumed to be in clusters as these are.
    """
    rows_for_adjusted: dict[str, int | None]
    """The same, if the test is corrected for the number of languages."""


class LanguageDetectable(Detectable):
    """The smallest difference between two models that the rows of one language can show."""

    language: str
    """The language."""


class DataPower(_Frozen):
    """Differences between two models that a split can show, by language, before any model is trained."""

    accuracy: float = Field(gt=0, lt=1)
    """Assumed mean accuracy of the two models."""
    disagreement: float = Field(gt=0, le=1)
    """Assumed share of the rows that only one of the two models classifies correctly."""
    correlation: float = Field(ge=0, le=1)
    """Assumed correlation of the differences of two rows of a cluster."""
    alpha: float = Field(gt=0, lt=1)
    """Significance level of the two-sided test."""
    power: float = Field(gt=0, lt=1)
    """Probability that the test finds the difference."""
    languages: list[LanguageDetectable]
    """Every language with labelled rows, in alphabetical order."""
    mean: Detectable
    """The mean over these languages. It is one test, so nothing is corrected."""


class DataCheck(_Frozen):
    """Counts before training: languages and classes with few rows, rejected rows, and the majority-class baseline."""

    split: str
    """The scored split."""
    languages: dict[str, dict[str, int]]
    """Number of rows by language and split."""
    classes: dict[str, int]
    """Number of classes by task."""
    unscored_languages: dict[str, int] = {}
    """Languages without scored rows: number of rows in the other splits."""
    few_rows_languages: dict[str, int] = {}
    """Languages with fewer than 30 scored rows: number of scored rows."""
    rare_classes: dict[str, dict[str, dict[str, int]]] = {}
    """Classes with fewer than 2 rows in a split: number of rows by task, split and class."""
    single_classes: dict[str, list[str]] = {}
    """Classes with 1 row in all splits together, by task."""
    rejected: RejectedRows
    """Rows that were rejected when the data was prepared."""
    majority: dict[str, Majority] = {}
    """The majority-class baseline by task; a task without training or scored labels has none."""
    power: dict[str, DataPower] = {}
    """Differences between two models that the scored split can show, by task; a task without scored labels has none.

    Older records have none.
    """


class DatasetOptions(_Frozen):
    """The options that a user gave beside the name of a data set, as typed."""

    source: str | None = None
    """The archive or folder that the data set is read from."""
    allow_mismatch: bool = False
    """Whether data that differs from its data card is accepted."""
    columns: str = ""
    """Tables only: the role of each column."""
    language: str = ""
    """Tables only: the language of every row."""
    images: str | None = None
    """Tables only: the folder that image paths start from."""
    encoding: str = ""
    """Tables only: the text encoding; empty for UTF-8."""


class ExternalSource(_Frozen):
    """The file of predictions that another tool made, from which a run folder was made."""

    file: str
    """Name of the file; `table` for a table in memory."""
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    """SHA-256 of its content, as hex digits."""
    rows: int = Field(ge=0)
    """Number of rows of the file."""
    validation_file: str = ""
    """Name of the file with predictions of the validation split; empty for none."""
    validation_sha256: str = ""
    """SHA-256 of its content; empty for none."""
    like: str = ""
    """Name of the run whose examples these are; empty if the file itself defines the examples."""
    labels_only: list[str] = []
    """Tasks for which the file has predicted classes, but no probabilities."""
    notes: list[str] = []
    """Decisions in reading the file, as sentences for the report."""


class Publication(_Frozen):
    """The origin of a published run folder: a copy without local paths, which may lack files of the original."""

    seal: str = Field(pattern=r"^[0-9a-f]{64}$")
    """The seal of the ``run.json`` that this copy was made from."""
    left_out: dict[str, FileRecord] = {}
    """Files of the run that were not published, with their digests."""
    shortened: list[str] = []
    """The fields of ``run.json`` in which local paths were shortened to file names."""

    @field_validator("left_out")
    @classmethod
    def _stay_inside_the_folder(cls, files: dict[str, FileRecord]) -> dict[str, FileRecord]:
        require_inside(files)
        return files


class Invocation(_Frozen):
    """The command of a user, and the names in it as typed."""

    command: str
    """The command line that repeats the run."""
    plugin: str
    """The model: a plugin's name, or the path of a Python file."""
    dataset: str = ""
    """The data set; empty in records that are older than this field."""
    dataset_options: DatasetOptions | None = None
    """The options of the data set; None in older records."""
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


class Record(Invocation, Environment):
    """The content of ``run.json``: the complete provenance of a finished run."""

    schema_version: Literal[1, 2] = SCHEMA_VERSION
    """Version of this format."""
    name: str
    """Name of the run folder."""
    plan: Plan
    """The plan of the run."""
    data: dict[str, Any]
    """Name, fingerprint, identity of the sources, examples per split, licence, and more."""
    seeds: dict[str, dict[str, Any]]
    """Per training seed: epochs, best epoch, validation score, speed."""
    started: str
    """ISO 8601, UTC."""
    wall_seconds: float = Field(ge=0, allow_inf_nan=False)
    """Duration of the call in seconds; of a resumed run, its last call only."""
    device_seconds: float = Field(ge=0, allow_inf_nan=False)
    """Duration of training and prediction in seconds, summed over seeds and devices."""
    peak_memory_bytes: int | None
    """Peak resident memory of the process; None if the system doesn't report it."""
    metric_origins: dict[str, str] = {}
    """Origin of each metric: package and version, or file and digest."""
    metrics: list[str] = []
    """Metrics that plugins added to the built-in ones."""
    hierarchies: dict[str, dict[str, list[str]]] = {}
    """Path of each class, by task and class, from a taxonomy file or the data card."""
    data_check: DataCheck | None = None
    """Counts before training; None in older records."""
    model_citation: str = ""
    """How to cite the model, as its plugin gives it: BibTeX or a sentence; empty if it only names its paper."""
    efficiency: Efficiency | None = None
    """Size, cost and speed of the model; None in older records."""
    source: ExternalSource | None = None
    """The file of predictions that another tool made; None for a run that mmeval trained."""
    publication: Publication | None = None
    """The origin of a published copy; None for a run folder that a run has written."""
    files: dict[str, FileRecord] = {}
    """Digests of all other files of the run, by their path in the run folder (with `/`); empty in schema 1."""
    seal: str = ""
    """SHA-256 of all other fields; empty in schema 1."""

    @field_validator("seeds")
    @classmethod
    def _check_seed_facts(cls, seeds: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
        for facts in seeds.values():
            SeedFacts.model_validate(facts)
        return seeds

    @field_validator("data")
    @classmethod
    def _check_data_facts(cls, data: dict[str, Any]) -> dict[str, Any]:
        return data | DataFacts.model_validate(data).model_dump()

    @field_validator("files")
    @classmethod
    def _stay_inside_the_folder(cls, files: dict[str, FileRecord]) -> dict[str, FileRecord]:
        require_inside(files)
        return files

    @model_validator(mode="after")
    def _is_complete(self) -> Self:
        if set(self.seeds) != {str(seed) for seed in self.plan.protocol.seeds}:
            raise ValueError("the seeds differ from the plan's")
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

"""Specs: the declarations of models, data sets and metrics."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator, model_validator
from pydantic_core import ErrorDetails, PydanticKnownError

from mmeval.api.config import ModelConfig, defaults, options
from mmeval.api.source import Source
from mmeval.api.task import ModelContext
from mmeval.errors import SpecError

MODALITIES = ("image", "text")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


class Spec(BaseModel):
    """Base of the specs: frozen, built by keyword, and checked when it is built.

    Raises:
        SpecError: a field is missing or unknown, or has a wrong value.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, arbitrary_types_allowed=True)

    def __init__(self, *values: object, **fields: Any) -> None:  # noqa: ANN401 - any spec's fields
        kind = type(self).__name__
        if values:
            raise SpecError(
                f"{kind} takes its fields by keyword: {kind}({next(iter(type(self).model_fields))}=..., ...)"
            )
        try:
            super().__init__(**fields)
        except ValidationError as error:
            name = " ".join(str(fields.get("name") or "").split())
            label = f'{kind} "{name}"' if name else kind
            raise SpecError(_sentence(label, list(type(self).model_fields), error.errors())) from None


def _sentence(label: str, fields: list[str], errors: list[ErrorDetails]) -> str:
    """Return the errors of pydantic as one sentence about the spec that ``label`` names."""
    # Unknown fields come first: a misspelt field is also missing, and its right name helps more.
    for error in errors:
        if error["type"] == "extra_forbidden":
            unknown = str(error["loc"][0])
            near = difflib.get_close_matches(unknown, fields, n=1)
            return f'{label} has no field "{unknown}"' + (f'; did you mean "{near[0]}"?' if near else "")
    if missing := [str(error["loc"][0]) for error in errors if error["type"] == "missing"]:
        return f"{label} lacks {', '.join(missing)}"
    error = errors[0]
    # Our own validators say it in their own words.
    message = str(error["ctx"]["error"]) if error["type"] == "value_error" else error["msg"]
    if not error["loc"]:
        return f"{label}: {message}"
    expected = (
        message.removeprefix("Input should ").replace("be a valid ", "be a ").replace("be callable", "be a function")
    )
    must = f"must {expected}" if message.startswith("Input should ") else message
    return f"{label}: {_place(error['loc'])} {must}, it is {error['input']!r}"


def _place(loc: tuple[int | str, ...]) -> str:
    """Return where in a spec an error is: ``inputs[0]``, ``presets["tiny"]``, ``a key of presets``."""
    field, *keys = loc
    if keys[-1:] == ["[key]"]:
        return f"a key of {_place(tuple(loc[:-2]))}"
    return f"{field}" + "".join(f"[{key}]" if isinstance(key, int) else f'["{key}"]' for key in keys)


def _check_name(value: str) -> str:
    """Accept a name that people can type and that is not a file's."""
    if not _NAME.fullmatch(value) or value.endswith(".py"):
        raise ValueError("must be letters, digits, dots, dashes and underscores")
    return value


def _check_text(value: str) -> str:
    """Accept a string that is not blank."""
    if not value.strip():
        raise ValueError("must not be empty")
    return value


class ModelSpec(Spec):
    """A model plugin.

    Raises:
        SpecError: a field is missing or unknown, or has a wrong value.
    """

    name: str
    """The name that a user types after ``--plugin``; the same as the entry point's name."""
    summary: str
    """One line."""
    config: type[ModelConfig]
    """The class of its options, derived from ``mmeval.TorchConfig`` for a torch model, else ``mmeval.ModelConfig``."""
    build: Callable[[Any, ModelContext], Any]
    """Build an untrained model (a ``TorchModel`` or a ``Model``) from its config; import torch in here."""
    version: str
    """The plugin's own version; it is part of the signature of every score."""
    inputs: tuple[str, ...]
    """Which of `image` and `text` the model uses; at least one."""
    paper: str
    """Title and arXiv number or DOI of the paper, or `none`."""
    licence: str
    """Licence of the code and of any weights."""
    presets: Mapping[str, Mapping[str, Any]]
    """Option values by dotted name, per preset; at least the default one, which may be empty: ``{"tiny": {}}``."""
    default_preset: str = "tiny"
    """The preset that is used when the user names none."""
    references: tuple[str, ...] = ()
    """Addresses: paper, code."""
    citation: str = ""
    """How to cite the model: BibTeX or a sentence. If empty, reports make BibTeX from ``paper``."""
    distribution: str = ""
    """Package and version that the plugin belongs to; set by mmeval."""

    _check_name = field_validator("name")(_check_name)
    _check_texts = field_validator("summary", "version", "paper", "licence")(_check_text)

    @field_validator("inputs")
    @classmethod
    def _check_inputs(cls, inputs: tuple[str, ...]) -> tuple[str, ...]:
        if not inputs or not set(inputs) <= set(MODALITIES):
            raise ValueError('must name "image", "text" or both')
        return inputs

    @model_validator(mode="after")
    def _check_presets(self) -> ModelSpec:
        known = {option.name for option in options(defaults(self.config))}
        for preset, values in self.presets.items():
            for option in values:
                if option not in known:
                    raise ValueError(f'its preset {preset} sets "{option}", which {self.config.__name__} does not have')
        if self.default_preset not in self.presets:
            presets = ", ".join(self.presets) or "none"
            raise ValueError(f'it lacks its default preset "{self.default_preset}" (presets: {presets})')
        return self


class Download(Spec):
    """A file that may be downloaded: from the Hub, else by plain HTTPS.

    Raises:
        SpecError: a field is missing or unknown, or has a wrong value.
    """

    name: str
    """Name of the file."""
    urls: tuple[str, ...]
    """Addresses of the file by plain HTTPS, tried in their order."""
    size: int
    """Bytes, as published, to check the free disk space beforehand; rounded up where the source gives no exact size."""
    md5: str = ""
    """MD5 of the content, 32 hex digits, where it is published."""
    hub: str = ""
    """Data set repository on the Hub that has the file at its top level, ``owner/name``; tried first."""

    _check_texts = field_validator("name")(_check_text)


class Archive(Spec):
    """Files that a data set is read from, which the user has or mmeval may download.

    Raises:
        SpecError: a field is missing or unknown, or has a wrong value.
    """

    open: Callable[[Path, str], Source]
    """(file or folder, variant) -> source. Raises a ``DataError`` if the file or folder is not the expected one."""
    get: str
    """Which files there are, where to get them and what to do with them: whole sentences, for users who have none."""
    downloads: Mapping[str, Download] = Field(default_factory=dict)
    """By variant, ``""`` for the default: what ``mmeval data prepare`` may download. Only where the licence allows."""
    lacks: Callable[[Source], str] | None = None
    """Name the files that an opened source lacks (``FOLDER lacks FILE``); empty if it is complete.

    Not called with ``--allow-mismatch``, which accepts incomplete files.
    """

    _check_texts = field_validator("get")(_check_text)


class DatasetSpec(Spec):
    """A data set plugin.

    Raises:
        SpecError: a field is missing or unknown, or has a wrong value.
    """

    name: str
    """The name that a user types after ``--dataset``; the same as the entry point's name."""
    summary: str
    """One line."""
    card: Path | None
    """The data card (Markdown with a YAML header); None where nothing is known beforehand."""
    source: Callable[[], Source] | None = None
    """Open the source of a data set that packages contain; raises a ``UserError`` where something is missing."""
    archive: Archive | None = None
    """The files of a data set that is read from files. Either this or ``source``."""
    variants: Mapping[str, str] = Field(default_factory=dict)
    """Other forms of a data set with an ``archive`` (texts, label sets): a description by the name that a user types
    after ``NAME:``. They share the images."""
    default_variant: str = ""
    """A name for the default form, if people use one: ``NAME:title`` is then ``NAME``."""
    credit: str = ""
    """The credit line that the licence requires beside displayed images or texts."""
    distribution: str = ""
    """Package and version that the plugin belongs to; set by mmeval."""
    code: str = ""
    """Digest of the text of a one-file plugin, part of the Store's identity; set by mmeval."""
    variant: str = ""
    """The variant that the user names; set by mmeval."""

    _check_name = field_validator("name")(_check_name)
    _check_texts = field_validator("summary")(_check_text)

    @model_validator(mode="after")
    def _check_origin(self) -> DatasetSpec:
        if (self.source is None) == (self.archive is None):
            raise ValueError("it must have a source or an archive, and not both")
        return self

    @property
    def full_name(self) -> str:
        """The name, with the variant unless it is the default: ``food101:title-masked``."""
        return f"{self.name}:{self.variant}" if self.variant else self.name


class MetricSpec(Spec):
    """A metric: a value of each example, whose mean is the score, or a function of all labels and predictions.

    Either ``per_example`` or ``function``. A mean over examples has an interval and everything else that a built-in
    metric has; ``function`` takes what scikit-learn's metrics take: ``function=sklearn.metrics.cohen_kappa_score``.

    Raises:
        SpecError: a field is missing or unknown, or has a wrong value.
    """

    name: str
    """The name in Scores; of a metric with its own entry point, also the name that a user types after ``--metric``."""
    summary: str
    """One line."""
    function: Callable[[Any, Any], Any] | None = None
    """(labels ``[n]``, predictions) -> a number. Labels are class indices. It is called with the examples of each
    language, of each slice and of all together; where it fails for some of these, but not for all examples together,
    the metric is undefined there, as where it returns NaN."""
    uses: Literal["labels", "probabilities"] = "labels"
    """The predictions that ``function`` takes: predicted class indices ``[n]``, or probabilities ``[n, classes]``."""
    per_example: Callable[[Any, Any], Any] | None = Field(default=None, validate_default=True)
    """(labels ``[n]``, probabilities ``[n, classes]``) -> value of each example ``[n]``."""
    higher_is_better: bool = True
    """Whether the worst language is the one with the lowest value (True) or the highest."""
    distribution: str = ""
    """Package and version that the plugin belongs to; set by mmeval."""
    code: str = ""
    """Digest of the text of a one-file plugin, for the record; set by mmeval."""

    _check_name = field_validator("name")(_check_name)
    _check_texts = field_validator("summary")(_check_text)

    @field_validator("per_example")
    @classmethod
    def _check_functions(
        cls, per_example: Callable[[Any, Any], Any] | None, info: ValidationInfo
    ) -> Callable[[Any, Any], Any] | None:
        if "function" not in info.data:  # it has an error of its own
            return per_example
        function, uses = info.data["function"], info.data.get("uses")
        if per_example is None and function is None:
            raise PydanticKnownError("missing")
        if per_example is not None and function is not None:
            raise ValueError("and function exclude each other; give one of them")
        if per_example is not None and uses == "probabilities":
            raise ValueError('always gets probabilities; uses="probabilities" belongs to function')
        return per_example

    @property
    def label(self) -> str:
        """The metric in an error message: ``The metric "kappa" (acme-kappa 1.0)``."""
        return f'The metric "{self.name}"' + (f" ({self.distribution})" if self.distribution else "")

    @property
    def needs_probabilities(self) -> bool:
        """Whether the metric can't be computed from predicted labels alone."""
        return self.per_example is not None or self.uses == "probabilities"

    @property
    def origin(self) -> str:
        """Package and version, or file and digest: a metric of another origin may give other values."""
        return f"{self.distribution}+{self.code}" if self.code else self.distribution

"""The protocol: everything that runs must share to be compared, and the signature that names it."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, field_validator

from mmeval.version import __version__

IMAGE_SIDE = 256
"""Pixels of the shorter side of a prepared image; smaller images are not resized. Models resize further."""
IMAGE_LONGEST = 1024
"""Most pixels of the longer side; it limits only images more than four times as long as wide."""

IMAGE_RULE = "picture-1"
"""Version of the rule by which images are prepared; another rule gives other pixels and another Store."""

EXTERNAL = "external"
"""Track and plugin version of a run whose predictions another tool made."""

LARGEST_SEED, MOST_SEEDS = 2**32 - 1, 1000
"""The largest seed of NumPy, and the most training seeds of a run."""


class Inputs(StrEnum):
    """The inputs of a model: image and text, image only, or text only; unknown for predictions of another tool."""

    IMAGE_TEXT = "image+text"
    IMAGE = "image"
    TEXT = "text"
    UNKNOWN = "unknown"

    @property
    def image(self) -> bool:
        """Whether the model gets images."""
        return self is not Inputs.TEXT

    @property
    def text(self) -> bool:
        """Whether the model gets texts."""
        return self is not Inputs.IMAGE


class Protocol(BaseModel):
    """Everything that two runs must share for their scores to be comparable."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    dataset: str
    """Name of the data set."""
    fingerprint: str
    """SHA-256 of the prepared data: rows, splits, labels and images."""
    split: str = "test"
    """The split that is scored; models are selected on `validation`, never on this one."""
    inputs: Inputs = Inputs.IMAGE_TEXT
    """The inputs of the model, in training and in evaluation."""
    labels: str = "all"
    """Which labels count: `all`, or the name of a label policy of the data set."""
    track: str = "standard-1"
    """`standard-N`: the same rules for every model; `paper`: the plugin's published recipe; `external`: the predictions
    come from another tool, whose rules are not known."""
    seeds: tuple[Annotated[int, Field(ge=0, le=LARGEST_SEED)], ...] = Field(
        default=(0,), min_length=1, max_length=MOST_SEEDS
    )
    """The training seeds; a score is the mean over them."""
    limit: int | None = Field(None, ge=1)
    """Examples taken of each split (None: all); a limited run is a trial, not a result."""

    @field_validator("seeds")
    @classmethod
    def _differ(cls, seeds: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(seeds)) < len(seeds):
            raise ValueError("a seed occurs twice")
        return seeds

    def signature(self, plugin: str, plugin_version: str) -> str:
        """Return the protocol and the plugin as one line, as sacreBLEU does (Post 2018, arXiv 1804.08771)."""
        parts = [
            f"{self.dataset}:{self.fingerprint[:8]}",
            self.split,
            self.inputs.value,
            f"labels:{self.labels}",
            f"track:{self.track}",
            f"seeds:{len(self.seeds)}",
            *([f"limit:{self.limit}"] if self.limit else []),
            f"mmeval:{__version__}",
            f"{plugin}:{plugin_version}",
        ]
        return "|".join(parts)

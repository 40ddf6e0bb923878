"""What an audit found, as ``audit.json`` has it."""

from __future__ import annotations

import math
from typing import Literal

from pydantic import BaseModel, ConfigDict

Kind = Literal["image", "text"]


class Part(BaseModel):
    """Base of all parts."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Share(Part):
    """So many of so many."""

    count: int
    n: int

    @property
    def value(self) -> float:
        """NaN of nothing."""
        return self.count / self.n if self.n else math.nan

    @property
    def percent(self) -> str:
        """``3.1 %``; what is not none is never shown as 0, what is not all never as 100."""
        if not self.n:
            return "–"
        if self.count in (0, self.n):
            return f"{100 * self.value:.0f} %"
        shown = min(max(100 * self.value, 0.1), 99.9)
        return f"{'< ' if 100 * self.value < 0.1 else ''}{shown:.1f} %"

    def __str__(self) -> str:
        """``3.1 % (12 of 386)``."""
        return f"{self.percent} ({self.count:,} of {self.n:,})" if self.n else "–"


class Overlap(Part):
    """What has a duplicate: the very same, or the same or nearly so."""

    same: Share
    near: Share


class Between(Overlap):
    """Examples of ``split`` whose image or text has a duplicate in ``other``."""

    split: str
    other: str
    languages: dict[str, Overlap]


class Conflict(Part):
    """Examples with the same image or text and different classes of a task."""

    sets: int
    """Images or texts that have two classes or more."""
    rows: int
    """Examples of them."""
    wrong: int
    """Of these, how many don't have their set's commonest class: so many labels, at least, can't be told."""
    examples: list[tuple[str, dict[str, int]]]
    """The commonest: example id or text, and how often it has each class."""


class Lookup(Part):
    """Labels that a look into train gives away: the commonest class there of the same image or text."""

    found: Share
    right: Share


class Duplicates(Part):
    """Duplicates among images or texts."""

    units: int
    """Images, or examples with a text."""
    distinct: int
    """Without exact repetitions."""
    same_sets: int
    """Sets of units that are exactly alike."""
    near_sets: int
    """Sets of distinct units that hang together by being nearly alike."""
    near_members: int
    largest: int
    """Members of the largest set of near-duplicates."""
    within: dict[str, Overlap]
    """By split: its units that have a duplicate in the same split."""
    between: list[Between]
    conflicts: dict[str, Conflict]
    lookups: dict[str, Lookup]
    """By task, on the scored split."""
    limits: str
    """What was not compared; empty if everything was."""


class Embedded(Part):
    """Images compared by what a network sees in them."""

    encoder: str
    threshold: float
    split: str
    duplicates: Share | None
    """Images of ``split`` (all, or a sample by chance) with a cosine above the threshold to one of train."""
    note: str


class NameScore(Part):
    """The rule "the longest class name that stands in the text"."""

    fires: Share
    precise: Share
    right: Share
    """Of all examples with a label; where the rule is silent it is wrong."""


class Names(NameScore):
    """The rule on one task, and on each language."""

    task: str
    split: str
    majority: Share
    """What always answering the split's commonest class gets right."""
    languages: dict[str, NameScore]


class Foreign(Part):
    """Texts of one language that are in another."""

    judged: Share
    """Texts long enough to tell, of those that aren't empty."""
    foreign: Share
    others: dict[str, int]
    """How many in which language, the commonest first."""
    examples: list[tuple[str, str, str]]
    """Id, text, the language that it seems to be in."""


class Distance(Part):
    """Total variation between two mixes of classes, in [0, 1], and what chance alone would make it."""

    value: float
    chance: float
    n: int


class Shift(Part):
    """A class whose share differs between train and the scored split."""

    name: str
    train: Share
    scored: Share


class Strip(Part):
    """One language's commonest classes against all languages': log2 of the ratio of shares, NaN-free."""

    language: str
    n: int
    ratios: list[float]
    shares: list[float]


class Mix(Part):
    """The classes of one task."""

    task: str
    classes: int
    languages: dict[str, dict[str, Distance]]
    """By split and language: the language's mix against that of its whole split."""
    shift: Distance | None
    """Train against the scored split."""
    shifts: list[Shift]
    """The classes that make most of it."""
    missing: dict[str, list[str]]
    """By split: classes without an example."""
    untrained: dict[str, Share]
    """By language: examples of the scored split whose class has none in train in that language."""
    shown: list[str]
    """The commonest classes, for the chart."""
    strips: list[Strip]


class Gap(Part):
    """What is missing in one language of one split."""

    rows: int
    no_text: Share
    no_image: Share
    no_label: dict[str, Share]


class Gaps(Part):
    """What is missing, and what was rejected."""

    cells: dict[str, dict[str, Gap]]
    rejected: int
    reasons: list[tuple[str, int, str]]
    """Reason, how many rows, one of them."""
    unknown: dict[str, dict[str, int]]
    spanning: dict[str, int]


class Shown(Part):
    """Two examples side by side; ``left_row`` and ``right_row`` are their rows in the Store."""

    kind: Kind
    same: bool
    similarity: float
    left_row: int
    right_row: int
    left: dict[str, str]
    right: dict[str, str]


class Audit(Part):
    """An audit of one Store."""

    name: str
    fingerprint: str
    released: bool
    version: str
    credit: str
    examples: int
    splits: dict[str, int]
    languages: list[str]
    images: Duplicates | None
    embedded: Embedded | None
    texts: Duplicates | None
    names: list[Names]
    foreign: dict[str, Foreign] | None
    foreign_note: str
    mixes: list[Mix]
    gaps: Gaps
    shown: list[Shown]
    seconds: dict[str, float]
    """Of each stage."""

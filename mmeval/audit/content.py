"""The data classes of an audit; ``audit.json`` is an :class:`Audit`."""

from __future__ import annotations

import math
from typing import Literal

from pydantic import BaseModel, ConfigDict

Kind = Literal["image", "text"]


class AuditPart(BaseModel):
    """Base of all parts of an audit."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Share(AuditPart):
    """A count and the number of items that it is a part of."""

    count: int
    n: int

    @property
    def value(self) -> float:
        """``count / n``; NaN where ``n`` is 0."""
        return self.count / self.n if self.n else math.nan

    @property
    def percent(self) -> str:
        """``3.1 %``. Non-zero shares never round to 0 %, partial ones never to 100 %."""
        if not self.n:
            return "–"
        if self.count in (0, self.n):
            return f"{100 * self.value:.0f} %"
        shown = min(max(100 * self.value, 0.1), 99.9)
        return f"{'< ' if 100 * self.value < 0.1 else ''}{shown:.1f} %"

    def __str__(self) -> str:
        """``3.1 % (12 of 386)``."""
        return f"{self.percent} ({self.count:,} of {self.n:,})" if self.n else "–"


class Overlap(AuditPart):
    """Shares of items that have a duplicate."""

    same: Share
    """With an exact duplicate."""
    near: Share
    """With an exact duplicate or a near-duplicate."""


class Between(Overlap):
    """Examples of ``split`` whose image or text has a duplicate in the split ``other``."""

    split: str
    other: str
    languages: dict[str, Overlap]
    """The same by language of the examples of ``split``."""


class Conflict(AuditPart):
    """Examples with the same image or text and different classes of a task."""

    sets: int
    """Images or texts that have two or more classes."""
    rows: int
    """Examples with such an image or text."""
    wrong: int
    """Those whose class is not the most frequent one of their image or text. A model that sees only the image or the
    text gets at least this many wrong."""
    examples: list[tuple[str, dict[str, int]]]
    """The sets with the most such examples: example id or text, and the number of examples by class."""


class Lookup(AuditPart):
    """A predictor that copies labels: the most frequent class in train of the same image or text."""

    coverage: Share
    """Labelled examples whose image or text is in train with a label."""
    precision: Share
    """Of these, examples for which the copied label is correct."""


class Duplicates(AuditPart):
    """Duplicates among images or texts."""

    units: int
    """Number of images, or of examples with a text."""
    distinct: int
    """Number of different images or texts: exact duplicates count once."""
    same_sets: int
    """Number of sets of exact duplicates."""
    near_sets: int
    """Number of connected components of near-duplicates, of two or more different images or texts."""
    near_members: int
    """Number of images or texts in these components."""
    largest: int
    """Size of the largest of these components."""
    within: dict[str, Overlap]
    """By split: images (texts: examples) with a duplicate in the same split."""
    between: list[Between]
    """Duplicates across splits: each split against each split that it must not share examples with."""
    conflicts: dict[str, Conflict]
    """By task."""
    lookups: dict[str, Lookup]
    """By task, on the scored split."""
    limits: str
    """Which pairs were not compared; empty if all were."""


class EmbeddingDuplicates(AuditPart):
    """Images of the scored split whose embedding is close to the embedding of a training image."""

    encoder: str
    threshold: float
    """Least cosine similarity of a duplicate."""
    split: str
    duplicates: Share | None
    """Images of ``split``, or of a random sample of it, with a cosine of at least ``threshold`` to an image of train;
    None if they were not compared."""
    note: str
    """Why they were not compared, or how large the sample is; empty if all were."""


class NameRuleScore(AuditPart):
    """Scores of the rule that predicts the longest class name in the text."""

    coverage: Share
    """Labelled examples whose text has a class name."""
    precision: Share
    """Of these, examples for which the rule is correct."""
    accuracy: Share
    """Labelled examples for which the rule is correct; an example without a class name in its text counts as wrong."""


class LabelLeakage(NameRuleScore):
    """Scores of the rule for one task on the scored split, overall and by language."""

    task: str
    split: str
    majority: Share
    """Accuracy of always predicting the most frequent class of the split."""
    languages: dict[str, NameRuleScore]


class ForeignTexts(AuditPart):
    """Texts of one language's examples that are in another language."""

    judged: Share
    """Texts long enough for language identification, of all that are not empty."""
    foreign: Share
    """Of the judged texts, those identified as another language."""
    others: dict[str, int]
    """Number of texts by identified language, the most frequent first."""
    examples: list[tuple[str, str, str]]
    """A few of them: example id, text, identified language."""


class Distance(AuditPart):
    """Total variation distance between two class distributions."""

    value: float
    """In [0, 1]: the share of examples that would have to change class."""
    chance: float
    """Expected distance if both were samples of the same distribution."""
    n: int
    """Examples in the first of the two."""


class ClassShift(AuditPart):
    """A class whose share differs between train and the scored split."""

    name: str
    train: Share
    scored: Share


class LanguageProfile(AuditPart):
    """Shares of the most frequent classes in one language."""

    language: str
    n: int
    """Labelled examples of the language."""
    ratios: list[float]
    """By class: log2 of its share in this language over its share in all languages, smoothed and clipped."""
    shares: list[float]
    """By class: its share in this language."""


class ClassBalance(AuditPart):
    """Class distribution of one task, by split and language."""

    task: str
    classes: int
    """Number of classes."""
    languages: dict[str, dict[str, Distance]]
    """By split, then language: distance of the language's class distribution from the whole split's."""
    shift: Distance | None
    """Distance between the scored split and train; None where one of them has no labels."""
    shifts: list[ClassShift]
    """The classes that contribute most to ``shift``."""
    missing: dict[str, list[str]]
    """By split: classes without an example."""
    untrained: dict[str, Share]
    """By language: examples of the scored split whose class has no training example in that language."""
    shown: list[str]
    """The most frequent classes, which the chart shows."""
    profiles: list[LanguageProfile]
    """A row of the chart per language."""


class MissingCounts(AuditPart):
    """Missing texts, images and labels of one language in one split."""

    rows: int
    no_text: Share
    no_image: Share
    no_label: dict[str, Share]
    """By task."""


class Missing(AuditPart):
    """Missing parts of examples, rejected rows, unknown labels, and clusters in several splits."""

    cells: dict[str, dict[str, MissingCounts]]
    """By split, then language."""
    rejected: int
    """Rows that were rejected when the data set was prepared."""
    reasons: list[tuple[str, int, str]]
    """Most frequent reasons for it: reason, number of rows, file and row of the first."""
    unknown: dict[str, dict[str, int]]
    """By task: labels that are none of its classes, and the number of examples."""
    spanning: dict[str, int]
    """Number of clusters by the splits in which they have examples, joined by ``+``, where these are several."""


class ShownPair(AuditPart):
    """A pair of duplicates that the page shows side by side."""

    kind: Kind
    same: bool
    """Whether they are exact duplicates."""
    similarity: float
    left_row: int
    """Row of the left example in the Store."""
    right_row: int
    left: dict[str, str]
    """The left example: ``id``, ``text``, ``split``, ``language``, ``labels``."""
    right: dict[str, str]


class Audit(AuditPart):
    """The audit of one Store."""

    name: str
    fingerprint: str
    released: bool
    """Whether the data agrees with its data card."""
    version: str
    """Version of mmeval."""
    credit: str
    """Attribution that the licence requires beside images."""
    examples: int
    splits: dict[str, int]
    languages: list[str]
    images: Duplicates | None
    embedded: EmbeddingDuplicates | None
    texts: Duplicates | None
    label_leakage: list[LabelLeakage]
    foreign: dict[str, ForeignTexts] | None
    """By language; None if no language could be identified."""
    foreign_note: str
    """Which languages could not be identified, and why."""
    class_balance: list[ClassBalance]
    missing: Missing
    shown: list[ShownPair]
    seconds: dict[str, float]
    """Duration of each stage."""

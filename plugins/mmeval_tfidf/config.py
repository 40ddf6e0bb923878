"""Options of TF-IDF and of the rule of class names."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from mmeval import ModelConfig


class TfidfConfig(ModelConfig):
    """Options of the baselines of texts; defaults are the preset ``tiny``."""

    mode: Literal["classifier", "class-names"] = "classifier"
    """A trained classifier; or the rule that a text which holds a class's name has that class, which learns nothing."""
    scope: Literal["language", "joint"] = "language"
    """A classifier per language (one that training never had is asked of all, whose log-probabilities are averaged);
    or one of all languages."""
    fewest: int = Field(default=20, ge=1)
    """Texts that a language needs for a classifier of its own; languages with fewer share one."""
    shortest: int = Field(default=1, ge=1, le=20)
    """Characters of the shortest n-grams; they don't cross words."""
    longest: int = Field(default=5, ge=1, le=20)
    """Characters of the longest n-grams."""
    most_features: int = Field(default=1 << 18, ge=1)
    """N-grams of each classifier at most; the most frequent are kept."""
    c: float = Field(default=50.0, gt=0)
    """Inverse strength of the regularisation."""
    iterations: int = Field(default=100, ge=1)
    """Passes of the solver (liblinear) at most."""
    certainty: float = Field(default=0.9, gt=0, lt=1)
    """Mode `class-names`: probability of the class whose name was found; all classes share the rest by frequency."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.longest < self.shortest:
            raise ValueError(f"longest is {self.longest}, which is less than shortest, {self.shortest}")
        return self

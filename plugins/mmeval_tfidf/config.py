"""Options of the text baselines: TF-IDF and the class-name rule."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from mmeval import ModelConfig


class TfidfConfig(ModelConfig):
    """Options of the text baselines; defaults are the preset ``tiny``."""

    mode: Literal["classifier", "class-names"] = "classifier"
    """`classifier`: TF-IDF and logistic regression. `class-names`: a rule without training, which gives a text the
    class whose name it contains."""
    scope: Literal["language", "joint"] = "language"
    """`language`: a classifier per language; for a language that is not in training, the mean log-probability of all of
    them. `joint`: one classifier for all languages."""
    fewest: int = Field(default=20, ge=1)
    """Minimum number of texts for a language's own classifier; languages with fewer share one."""
    shortest: int = Field(default=1, ge=1, le=20)
    """Length of the shortest n-grams, in characters; n-grams do not cross word boundaries."""
    longest: int = Field(default=5, ge=1, le=20)
    """Length of the longest n-grams, in characters."""
    most_features: int = Field(default=1 << 18, ge=1)
    """Maximum number of n-grams per classifier; the most frequent are used."""
    c: float = Field(default=50.0, gt=0)
    """Inverse of the regularisation strength."""
    iterations: int = Field(default=100, ge=1)
    """Maximum number of iterations of the solver (liblinear)."""
    certainty: float = Field(default=0.9, gt=0, lt=1)
    """`mode=class-names`: probability of the class whose name is in the text; all classes share the rest in proportion
    to their frequency in training."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.longest < self.shortest:
            raise ValueError(f"longest ({self.longest}) is less than shortest ({self.shortest})")
        return self

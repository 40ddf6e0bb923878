"""Text baselines: TF-IDF of character n-grams with logistic regression, and a rule that looks for class names."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from mmeval import ModelContext, ModelSpec, hookimpl
from mmeval_tfidf.config import TfidfConfig

if TYPE_CHECKING:
    from mmeval_tfidf.model import Tfidf
    from mmeval_tfidf.names import ClassNameRule

MMEVAL_API = "1.0"
__version__ = "0.1.0"


def build(config: TfidfConfig, context: ModelContext) -> Tfidf | ClassNameRule:
    """Build the model of the configured mode."""
    if config.mode == "class-names":
        from mmeval_tfidf.names import ClassNameRule

        return ClassNameRule(config, context)
    from mmeval_tfidf.model import Tfidf

    return Tfidf(config, context)


@hookimpl
def register_models(register: Callable[[ModelSpec], None]) -> None:
    """Register the model with mmeval."""
    register(
        ModelSpec(
            name="tfidf",
            summary="text only: TF-IDF of n-grams and logistic regression per language; or a rule on class names",
            config=TfidfConfig,
            build=build,
            version=__version__,
            inputs=("text",),
            paper="none",
            licence="Apache-2.0; it has no weights from elsewhere",
            presets={
                "tiny": {},
                "joint": {"scope": "joint"},
                "class-names": {"mode": "class-names"},
            },
        )
    )

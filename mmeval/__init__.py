"""mmeval: multilingual image-text classification under one protocol, with scores per language.

What a plugin author needs is here and in ``mmeval.nn``; names are loaded when first used, so that listing plugins
imports neither torch nor pydantic.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from mmeval.version import __version__

if TYPE_CHECKING:
    from mmeval.data.batch import Batch
    from mmeval.data.examples import Examples
    from mmeval.errors import UserError
    from mmeval.plugin.config import ModelConfig, Recipe
    from mmeval.plugin.hooks import hookimpl
    from mmeval.plugin.spec import (
        DatasetSpec,
        Example,
        FitContext,
        MetricSpec,
        Model,
        ModelContext,
        ModelSpec,
        Source,
        Task,
    )

_HOMES = {
    "Batch": "mmeval.data.batch",
    "DatasetSpec": "mmeval.plugin.spec",
    "Example": "mmeval.plugin.spec",
    "Examples": "mmeval.data.examples",
    "FitContext": "mmeval.plugin.spec",
    "MetricSpec": "mmeval.plugin.spec",
    "Model": "mmeval.plugin.spec",
    "ModelConfig": "mmeval.plugin.config",
    "ModelContext": "mmeval.plugin.spec",
    "ModelSpec": "mmeval.plugin.spec",
    "Recipe": "mmeval.plugin.config",
    "Source": "mmeval.plugin.spec",
    "Task": "mmeval.plugin.spec",
    "UserError": "mmeval.errors",
    "hookimpl": "mmeval.plugin.hooks",
}

__all__ = [
    "Batch",
    "DatasetSpec",
    "Example",
    "Examples",
    "FitContext",
    "MetricSpec",
    "Model",
    "ModelConfig",
    "ModelContext",
    "ModelSpec",
    "Recipe",
    "Source",
    "Task",
    "UserError",
    "__version__",
    "hookimpl",
]


def __getattr__(name: str) -> Any:  # noqa: ANN401 - any public name
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

"""mmeval: multilingual image-text classification under one protocol, with scores per language.

Use it from Python with :func:`run`, :func:`repeat`, :func:`bench`, :func:`compare`, :func:`leaderboard`, :func:`load`,
:func:`open_run`, :func:`open_dataset` and :func:`score_predictions`. Plugins are written with the other names here,
with ``mmeval.nn``, ``mmeval.data.reading`` and ``mmeval.testing``. A name is imported when it is first used, so that
listing plugins imports neither torch nor pydantic.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from mmeval.version import API_VERSION, __version__

if TYPE_CHECKING:
    from mmeval.api.config import Config, ModelConfig
    from mmeval.api.hooks import hookimpl
    from mmeval.api.recipe import Recipe, TorchConfig, Tuning
    from mmeval.api.source import Example, ImageData, Rejected, Source
    from mmeval.api.spec import Archive, DatasetSpec, Download, MetricSpec, ModelSpec
    from mmeval.api.task import ModelContext, Task
    from mmeval.console import progress
    from mmeval.data.batch import Batch
    from mmeval.data.card import Card, cards_folder, read_card
    from mmeval.data.examples import Examples
    from mmeval.data.groups import UnionFind
    from mmeval.data.images import decode
    from mmeval.data.open.resolve import open_dataset
    from mmeval.data.request import Dataset, DatasetRequest
    from mmeval.data.split import DEFAULT_SHARES, Member, assign_split, hash_split
    from mmeval.engine.embeddings import embed_images, embed_texts
    from mmeval.engine.model import EmbeddingModel, FitContext, Model, ModelSize, TrainableModel
    from mmeval.errors import DataError, MissingExtraError, MissingWeightsError, UserError
    from mmeval.files import digest
    from mmeval.inference.classifier import Classifier
    from mmeval.inference.load import load
    from mmeval.publish.leaderboard.site import leaderboard
    from mmeval.record import Plan
    from mmeval.runs.compare import compare
    from mmeval.runs.folder import RunFolder
    from mmeval.runs.python import open_run, repeat, run, score_predictions
    from mmeval.studies.bench.run import Benchmark, bench

_HOMES = {
    "Archive": "mmeval.api.spec",
    "Batch": "mmeval.data.batch",
    "Benchmark": "mmeval.studies.bench.run",
    "Card": "mmeval.data.card",
    "Classifier": "mmeval.inference.classifier",
    "Config": "mmeval.api.config",
    "DEFAULT_SHARES": "mmeval.data.split",
    "DataError": "mmeval.errors",
    "Dataset": "mmeval.data.request",
    "DatasetRequest": "mmeval.data.request",
    "DatasetSpec": "mmeval.api.spec",
    "Download": "mmeval.api.spec",
    "EmbeddingModel": "mmeval.engine.model",
    "Example": "mmeval.api.source",
    "Examples": "mmeval.data.examples",
    "FitContext": "mmeval.engine.model",
    "ImageData": "mmeval.api.source",
    "Member": "mmeval.data.split",
    "MetricSpec": "mmeval.api.spec",
    "MissingExtraError": "mmeval.errors",
    "MissingWeightsError": "mmeval.errors",
    "Model": "mmeval.engine.model",
    "ModelConfig": "mmeval.api.config",
    "ModelContext": "mmeval.api.task",
    "ModelSize": "mmeval.engine.model",
    "ModelSpec": "mmeval.api.spec",
    "Plan": "mmeval.record",
    "Recipe": "mmeval.api.recipe",
    "Rejected": "mmeval.api.source",
    "RunFolder": "mmeval.runs.folder",
    "Source": "mmeval.api.source",
    "Task": "mmeval.api.task",
    "TorchConfig": "mmeval.api.recipe",
    "TrainableModel": "mmeval.engine.model",
    "Tuning": "mmeval.api.recipe",
    "UnionFind": "mmeval.data.groups",
    "UserError": "mmeval.errors",
    "assign_split": "mmeval.data.split",
    "bench": "mmeval.studies.bench.run",
    "cards_folder": "mmeval.data.card",
    "compare": "mmeval.runs.compare",
    "decode": "mmeval.data.images",
    "digest": "mmeval.files",
    "embed_images": "mmeval.engine.embeddings",
    "embed_texts": "mmeval.engine.embeddings",
    "hash_split": "mmeval.data.split",
    "hookimpl": "mmeval.api.hooks",
    "leaderboard": "mmeval.publish.leaderboard.site",
    "load": "mmeval.inference.load",
    "open_dataset": "mmeval.data.open.resolve",
    "open_run": "mmeval.runs.python",
    "progress": "mmeval.console",
    "read_card": "mmeval.data.card",
    "repeat": "mmeval.runs.python",
    "run": "mmeval.runs.python",
    "score_predictions": "mmeval.runs.python",
}

__all__ = [
    "API_VERSION",
    "DEFAULT_SHARES",
    "Archive",
    "Batch",
    "Benchmark",
    "Card",
    "Classifier",
    "Config",
    "DataError",
    "Dataset",
    "DatasetRequest",
    "DatasetSpec",
    "Download",
    "EmbeddingModel",
    "Example",
    "Examples",
    "FitContext",
    "ImageData",
    "Member",
    "MetricSpec",
    "MissingExtraError",
    "MissingWeightsError",
    "Model",
    "ModelConfig",
    "ModelContext",
    "ModelSize",
    "ModelSpec",
    "Plan",
    "Recipe",
    "Rejected",
    "RunFolder",
    "Source",
    "Task",
    "TorchConfig",
    "TrainableModel",
    "Tuning",
    "UnionFind",
    "UserError",
    "__version__",
    "assign_split",
    "bench",
    "cards_folder",
    "compare",
    "decode",
    "digest",
    "embed_images",
    "embed_texts",
    "hash_split",
    "hookimpl",
    "leaderboard",
    "load",
    "open_dataset",
    "open_run",
    "progress",
    "read_card",
    "repeat",
    "run",
    "score_predictions",
]


def __dir__() -> list[str]:
    return sorted(__all__)


def __getattr__(name: str) -> Any:  # noqa: ANN401 - any public name
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

"""Fixtures for runs: a manager with the small data set, requests, finished runs, and a model in one file."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

import mmeval
from mmeval import DatasetSpec
from mmeval.data.request import DatasetRequest
from mmeval.plugin.manager import Manager
from mmeval.runs.folder import RunFolder
from mmeval.runs.pipeline import run
from mmeval.runs.request import Request

SMALL = (
    "image_encoder=small-cnn:32",
    "image_tuning.frozen=false",
    "text_encoder=char-ngrams:512x16",
    "width=16",
    "recipe.epochs=1",
    "recipe.batch_size=16",
)
EVEN = '''"""Gives every class the same share."""
import numpy as np

import mmeval

MMEVAL_API = "1.0"


class Even:
    def __init__(self, config, context):
        self.tasks = context.tasks  # built

    def fit(self, train, validation, context):
        return {"seen": len(train)}  # trained

    def predict(self, examples, context):
        n = len(examples)
        yield {t.name: np.full((n, len(t.classes)), 1 / len(t.classes), np.float32) for t in self.tasks}  # predicted

    def save(self, folder):
        pass  # saved

    def load(self, folder):
        pass  # loaded


@mmeval.hookimpl
def register_models(register):
    register(mmeval.ModelSpec(name="even", summary="s", config=mmeval.ModelConfig, build=Even,
        version="1", inputs=("text",), paper="none", licence="MIT", presets={"tiny": {}}))
'''


class Offers:
    """A plugin that registers the given specs."""

    def __init__(self, *specs: object) -> None:
        self.specs = specs

    def _register(self, register: Callable[..., None], kind: type) -> None:
        for spec in self.specs:
            if isinstance(spec, kind):
                register(spec)

    @mmeval.hookimpl
    def register_models(self, register: Callable[..., None]) -> None:
        self._register(register, mmeval.ModelSpec)

    @mmeval.hookimpl
    def register_datasets(self, register: Callable[..., None]) -> None:
        self._register(register, mmeval.DatasetSpec)

    @mmeval.hookimpl
    def register_metrics(self, register: Callable[..., None]) -> None:
        self._register(register, mmeval.MetricSpec)


@pytest.fixture
def manager_with(colours: Callable[..., DatasetSpec]) -> Callable[..., Manager]:
    """Return a function that creates a manager with the small data set and the given specs."""

    def make(*specs: object) -> Manager:
        manager = Manager()
        manager.add(Offers(colours(), *specs), "test")
        return manager

    return make


@pytest.fixture
def ask(tmp_path: Path) -> Callable[..., Request]:
    """Return a function that creates the request for a run of about a second in the folder ``run``."""

    def make(*changes: str, plugin: str = "embracenet", **rest: object) -> Request:
        small = SMALL if plugin == "embracenet" else ()
        facts = {"output": tmp_path / "run", "device": "cpu"} | rest
        return Request(plugin=plugin, dataset=DatasetRequest("colours"), changes=(*small, *changes), **facts)

    return make


@pytest.fixture
def finished(
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
    ask: Callable[..., Request],
    manager_with: Callable[..., Manager],
) -> RunFolder:
    """A finished run of two seeds, trained once; each test gets its own copy."""
    kept = tmp_path_factory.getbasetemp() / "kept" / "run"
    if not (kept / "run.json").is_file():
        run(ask(output=kept, seeds=2), manager_with())
    shutil.copytree(kept, tmp_path / "run")
    return RunFolder(tmp_path / "run")


@pytest.fixture
def words(tmp_path: Path) -> list[object]:
    """The command-line arguments of a run of about a second in the folder ``run``."""
    changes = [word for change in SMALL for word in ("--set", change)]
    return ["run", "--dataset", "colours", "--device", "cpu", "--output", tmp_path / "run", *changes]


@pytest.fixture
def even(tmp_path: Path) -> Path:
    """The path of a text model in a single file, without torch; a run takes half a second."""
    path = tmp_path / "even.py"
    path.write_text(EVEN, encoding="utf-8")
    return path

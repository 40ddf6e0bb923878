"""The small data set as a plugin: registered by hand, or found by its entry point as an installed one is."""

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
    """A plugin that is an object: it registers whatever it is given."""

    def __init__(self, *specs: object) -> None:
        self.specs = specs

    def _give(self, register: Callable[..., None], kind: type) -> None:
        for spec in self.specs:
            if isinstance(spec, kind):
                register(spec)

    @mmeval.hookimpl
    def register_models(self, register: Callable[..., None]) -> None:
        self._give(register, mmeval.ModelSpec)

    @mmeval.hookimpl
    def register_datasets(self, register: Callable[..., None]) -> None:
        self._give(register, mmeval.DatasetSpec)

    @mmeval.hookimpl
    def register_metrics(self, register: Callable[..., None]) -> None:
        self._give(register, mmeval.MetricSpec)


@pytest.fixture
def offer(colours: Callable[..., DatasetSpec]) -> Callable[..., Manager]:
    """Makes a manager that knows the small data set and the given specifications."""

    def make(*specs: object) -> Manager:
        manager = Manager()
        manager.add(Offers(colours(), *specs), "test")
        return manager

    return make


@pytest.fixture
def ask(tmp_path: Path) -> Callable[..., Request]:
    """Makes a request for a run of about a second in the folder ``run``."""

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
    offer: Callable[..., Manager],
) -> RunFolder:
    """A finished run of two seeds, trained once; each test gets a copy that it may break."""
    kept = tmp_path_factory.getbasetemp() / "kept" / "run"
    if not (kept / "run.json").is_file():
        run(ask(output=kept, seeds=2), offer())
    shutil.copytree(kept, tmp_path / "run")
    return RunFolder(tmp_path / "run")


@pytest.fixture
def words(tmp_path: Path) -> list[object]:
    """The words of a command that runs in about a second into the folder ``run``."""
    changes = [word for change in SMALL for word in ("--set", change)]
    return ["run", "--dataset", "colours", "--device", "cpu", "--output", tmp_path / "run", *changes]


@pytest.fixture
def even(tmp_path: Path) -> Path:
    """A model of texts that is one file, at the plain level; a run of it takes half a second."""
    path = tmp_path / "even.py"
    path.write_text(EVEN, encoding="utf-8")
    return path

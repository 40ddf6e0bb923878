"""Installed distributions, and a file with everything that a run needs."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

Put = Callable[..., None]
EVERYTHING = '''"""Black and white squares, a model that always says the same, and its confidence."""
import io
from pathlib import Path

import mmeval
import numpy as np
from PIL import Image

MMEVAL_API = "1.0"
SHADES = {"dark": 0, "light": 255}


class Squares:
    identity = {"squares": "1"}
    tasks = (mmeval.Task("shade", tuple(SHADES)),)
    size = len(SHADES)

    def images(self):
        for shade, value in SHADES.items():
            file = io.BytesIO()
            Image.new("L", (16, 16), value).save(file, "PNG")
            yield shade, file.getvalue()

    def examples(self):
        for split in ("train", "validation", "test"):
            for shade in SHADES:
                yield mmeval.Example(f"{split}-{shade}", shade, "en", split, {"shade": shade}, image=shade)


class Always:
    def __init__(self, config, context):
        self.shares = config.shares

    def predict(self, examples, context):
        yield {"shade": np.tile(np.float32(self.shares), (len(examples), 1))}

    def save(self, folder):
        pass

    def load(self, folder):
        pass


class AlwaysConfig(mmeval.ModelConfig):
    shares: tuple[float, float] = (0.75, 0.25)


def confidence(labels, probabilities):
    return probabilities.max(1)


@mmeval.hookimpl
def register_datasets(register):
    card = Path(__file__).with_suffix(".md")
    register(mmeval.DatasetSpec(name="squares", summary="black and white", card=card, source=Squares))


@mmeval.hookimpl
def register_models(register):
    facts = {"paper": "none", "licence": "MIT", "version": "1", "inputs": ("image", "text"), "presets": {"tiny": {}}}
    register(mmeval.ModelSpec(name="always", summary="-", config=AlwaysConfig, build=Always, **facts))


@mmeval.hookimpl
def register_metrics(register):
    register(mmeval.MetricSpec(name="confidence", summary="of the guess", per_example=confidence))
'''
CARD = """---
language: [en]
license: cc0-1.0
mmeval:
  name: squares
  tasks: {shade: [dark, light]}
  splits: {train: 2, validation: 2, test: 2}
  images: 2
---
"""


@pytest.fixture
def distribution(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Put]:
    """Return a function that installs a distribution ``acme-NAME`` with an entry point and some files."""
    before = set(sys.modules)

    def put(name: str, value: str, files: dict[str, str], group: str = "mmeval.models", folder: str = "") -> None:
        site = tmp_path / f"site of {folder or name}"
        info = site / f"acme_{folder or name}-1.0.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: acme-{folder or name}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[{group}]\n{name} = {value}\n")
        for path, text in files.items():
            (site / path).parent.mkdir(parents=True, exist_ok=True)
            (site / path).write_text(text, encoding="utf-8")
        monkeypatch.syspath_prepend(site)
        # For child processes.
        monkeypatch.setenv("PYTHONPATH", str(site), prepend=os.pathsep)

    yield put
    for name in set(sys.modules) - before:
        if name.startswith(("acme_", "mmeval_file_")):
            del sys.modules[name]


@pytest.fixture
def install(distribution: Put) -> Put:
    """Return a function that installs a plugin ``NAME`` with the module ``acme_NAME``; text None: without one."""

    def put(name: str, text: str | None, group: str = "mmeval.models", folder: str = "") -> None:
        files = {} if text is None else {f"acme_{folder or name}.py": text}
        distribution(name, f"acme_{folder or name}", files, group, folder)

    return put


@pytest.fixture
def everything(tmp_path: Path) -> Iterator[Path]:
    """A file that registers a data set, a model and a metric, with which a run takes half a second."""
    before = set(sys.modules)
    path = tmp_path / "everything.py"
    path.write_text(EVERYTHING, encoding="utf-8")
    path.with_suffix(".md").write_text(CARD, encoding="utf-8")
    yield path
    for name in set(sys.modules) - before:
        if name.startswith("mmeval_file_"):
            del sys.modules[name]

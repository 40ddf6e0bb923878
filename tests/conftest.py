"""Fixtures of all tests: a separate cache folder, and a small generated data set with missing inputs and labels."""

from __future__ import annotations

import importlib
import io
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmeval import DatasetSpec, Example, ModelContext, Task
from mmeval.cli import main as cli
from mmeval.data.prepare.prepare import prepare
from mmeval.data.store import Store

LANGUAGES = ("de", "en", "ja")
COLOURS = {"red": (200, 30, 30), "green": (30, 180, 60), "blue": (40, 60, 210)}
WORDS = {
    "de": {"red": "rot", "green": "grün", "blue": "blau"},
    "en": {"red": "red", "green": "green", "blue": "blue"},
    "ja": {"red": "赤い", "green": "緑の", "blue": "青い"},
}
CARD = """---
language: [de, en, ja]
license: cc0-1.0
mmeval:
  name: colours
  tasks:
    colour: [red, green, blue]
    shade: [dark, light]
  splits: {{train: {train}, validation: {validation}, test: {test}}}
  images: {images}
---

# colours
"""


class ColourSource:
    """Coloured squares with names in three languages, two tasks, and some missing images, texts and labels."""

    def __init__(self, per_split: dict[str, int]) -> None:
        self.per_split = per_split
        self.tasks = (Task("colour", tuple(COLOURS)), Task("shade", ("dark", "light")))
        self.size = sum(per_split.values())
        self.identity = {"colours": "1", "sizes": repr(per_split)}

    def _squares(self) -> Iterator[tuple[str, str, str, str]]:
        for split, count in self.per_split.items():
            for number in range(count):
                colour = tuple(COLOURS)[number % 3]
                yield f"{split}{number}", split, colour, ("dark", "light")[number // 3 % 2]

    def images(self) -> Iterator[tuple[str, bytes]]:
        for key, _, colour, shade in self._squares():
            rng = np.random.default_rng(sum(map(ord, key)))
            base = np.array(COLOURS[colour]) * (0.6 if shade == "dark" else 1.0)
            pixels = np.clip(base + rng.normal(0, 12, (32, 32, 3)), 0, 255).astype(np.uint8)
            file = io.BytesIO()
            Image.fromarray(pixels).save(file, "PNG")
            yield key, file.getvalue()

    def examples(self) -> Iterator[Example]:
        for number, (key, split, colour, shade) in enumerate(self._squares()):
            for language in LANGUAGES:
                incomplete = split == "test" and number % 7 == 0
                yield Example(
                    id=f"{key}/{language}",
                    text="" if incomplete and language == "de" else f"{WORDS[language][colour]} {shade} {number}",
                    language=language,
                    split=split,
                    labels={"colour": colour} | ({} if incomplete and language == "ja" else {"shade": shade}),
                    image=None if incomplete and language == "en" else key,
                    cluster=key,
                    slices={"number": "even" if number % 2 == 0 else "odd"},
                )


DATASET = """\"\"\"Squares of a colour.\"\"\"
import importlib.util
from pathlib import Path

import mmeval

spec = importlib.util.spec_from_file_location("shared_fixtures", {conftest!r})
fixtures = importlib.util.module_from_spec(spec)
spec.loader.exec_module(fixtures)


@mmeval.hookimpl
def register_datasets(register):
    sizes = {{"train": 24, "validation": 6, "test": 14}}
    source = lambda: fixtures.ColourSource(sizes)
    register(mmeval.DatasetSpec(name="colours", summary="squares", card=Path({card!r}), source=source))
"""


ROOT = Path(__file__).parents[1]
LONGEST = (
    "tests/published/",
    "tests/testing/test_every_rule.py",
    "tests/benchmarks/test_gpu.py",
    "tests/plugins/test_contract.py",
    "tests/docs/test_examples.py",
    "tests/plugins/test_clip.py",
)
"""Tests that take half a minute or more in one process, the longest first."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give each process whole files, since tests of a file share fixtures; for the contract, the tests of a model.

    The longest come first: a long group that starts last would leave the other processes idle.
    """
    rank = dict.fromkeys(items, len(LONGEST))
    for item in items:
        group = item.path.relative_to(ROOT).as_posix()
        rank[item] = next((n for n, start in enumerate(LONGEST) if group.startswith(start)), len(LONGEST))
        if group.startswith("tests/published/"):
            group = "tests/published"  # one environment for all
        if item.path.name == "test_contract.py":
            group += f"::{getattr(item, 'originalname', item.name)}"
        item.add_marker(pytest.mark.xdist_group(group))
    if "PYTEST_XDIST_WORKER" in os.environ:
        items.sort(key=rank.__getitem__)


@pytest.fixture(autouse=True, scope="session")
def _without_fsync() -> Iterator[None]:
    """Do not wait until files are on disk: only a power failure would show the difference, and a run waits 20 times."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda _: None)
        yield


@pytest.fixture(autouse=True)
def _home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Use a cache folder of the test session instead of the user's; tests share the prepared data in it."""
    monkeypatch.setenv("MMEVAL_HOME", str(tmp_path_factory.getbasetemp() / "home"))
    monkeypatch.delenv("MMEVAL_PLUGINS", raising=False)


@pytest.fixture
def colours(tmp_path: Path) -> Callable[..., DatasetSpec]:
    """Return a function that creates the spec of the small data set; its arguments change counts in the data card."""

    def make(**card: int) -> DatasetSpec:
        sizes = {"train": 24, "validation": 6, "test": 14}
        facts = {split: 3 * count for split, count in sizes.items()} | {"images": sum(sizes.values())} | card
        path = tmp_path / "colours.md"
        path.write_text(CARD.format(**facts), encoding="utf-8")
        return DatasetSpec(name="colours", summary="squares", card=path, source=lambda: ColourSource(sizes))

    return make


@pytest.fixture
def store(colours: Callable[..., DatasetSpec]) -> Store:
    """The small data set, prepared."""
    return prepare(colours())


@pytest.fixture
def context(store: Store) -> ModelContext:
    """The model context of the small data set."""
    from mmeval import Examples

    return ModelContext(store.tasks, Examples(store, "train").class_counts(), store.languages)


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """Return a function that calls the command line and returns the exit status."""

    def call(*words: object) -> int:
        monkeypatch.setattr(sys, "argv", ["mmeval", *map(str, words)])
        monkeypatch.setenv("COLUMNS", "200")
        with pytest.raises(SystemExit) as caught:
            cli.main()
        assert isinstance(caught.value.code, int)
        return caught.value.code

    return call


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str, str], None]:
    """Return a function that installs a module with an entry point, for this process and its children."""
    site = tmp_path / "site"
    site.mkdir()
    monkeypatch.syspath_prepend(site)
    monkeypatch.setenv("PYTHONPATH", str(site))

    def make(group: str, name: str, code: str) -> None:
        module = f"installed_{name.replace('-', '_')}"
        info = site / f"{module}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: dist-{name}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[mmeval.{group}]\n{name} = {module}\n")
        (site / f"{module}.py").write_text(code, encoding="utf-8")
        importlib.invalidate_caches()
        monkeypatch.delitem(sys.modules, module, raising=False)

    return make


@pytest.fixture
def installed(install: Callable[[str, str, str], None], colours: Callable[..., DatasetSpec]) -> None:
    """Install the small data set as a plugin."""
    install("datasets", "colours", DATASET.format(conftest=__file__, card=str(colours().card)))

"""The registry of data sets that are read from files."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from mmeval import DatasetSpec
from mmeval.data.open.registry import FILE, RegistryEntry, read_registry, register, registered_store
from mmeval.data.prepare.prepare import prepare
from mmeval.data.store import INFO, Store
from mmeval.home import stores


@pytest.fixture
def store(colours: Callable[..., DatasetSpec], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.setenv("MMEVAL_HOME", str(tmp_path / "home"))
    return prepare(colours())


def test_each_variant_is_registered(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With an absolute path."""
    monkeypatch.chdir(tmp_path)
    register("colours", "", Path("Übung/a.zip"), store)
    register("colours", "half", tmp_path / "b.zip", store)
    first = RegistryEntry(path=str(tmp_path / "Übung" / "a.zip"), store=store.folder.name, released=True)
    assert read_registry("colours") == {"": first, "half": first.model_copy(update={"path": str(tmp_path / "b.zip")})}
    register("colours", "", tmp_path / "c.zip", store)
    assert read_registry("colours")[""].path == str(tmp_path / "c.zip")


def test_variants_can_be_registered_at_once(store: Store, tmp_path: Path) -> None:
    """As by the jobs of a cluster."""
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: register("colours", f"v{number}", tmp_path, store), range(24)))
    assert len(read_registry("colours")) == 24


@pytest.mark.parametrize("text", ["", "{", "[]", "3", '{"": 3}', '{"": {"path": "x"}}', '{"": {"path": 1, "more": 2}}'])
def test_a_damaged_registry_is_empty(text: str, store: Store) -> None:
    """The user must then give --source again."""
    path = stores("colours") / FILE
    path.write_text(text)
    assert read_registry("colours") == {}
    assert read_registry("nothing") == {}


def test_a_missing_or_older_store_is_none(store: Store) -> None:
    entry = RegistryEntry(path="x", store=store.folder.name, released=True)
    assert registered_store("colours", entry) == store.folder
    assert registered_store("colours", entry.model_copy(update={"store": "other"})) is None
    path = store.folder / INFO
    path.write_text(json.dumps({"schema": 1}))
    assert registered_store("colours", entry) is None
    path.write_text("{")
    assert registered_store("colours", entry) == store.folder, "opening it reports the damage"

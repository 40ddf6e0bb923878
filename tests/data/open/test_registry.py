"""What a machine remembers of data sets that are read from files."""

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
def one(colours: Callable[..., DatasetSpec], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.setenv("MMEVAL_HOME", str(tmp_path / "home"))
    return prepare(colours())


def test_each_variant_is_remembered(one: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a path that still means the same file when another folder is the current one."""
    monkeypatch.chdir(tmp_path)
    register("colours", "", Path("Übung/a.zip"), one)
    register("colours", "half", tmp_path / "b.zip", one)
    first = RegistryEntry(path=str(tmp_path / "Übung" / "a.zip"), store=one.folder.name, released=True)
    assert read_registry("colours") == {"": first, "half": first.model_copy(update={"path": str(tmp_path / "b.zip")})}
    register("colours", "", tmp_path / "c.zip", one)
    assert read_registry("colours")[""].path == str(tmp_path / "c.zip")


def test_two_processes_may_remember_at_once(one: Store, tmp_path: Path) -> None:
    """Ten jobs of a cluster, each with a variant of its own."""
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: register("colours", f"v{number}", tmp_path, one), range(24)))
    assert len(read_registry("colours")) == 24


@pytest.mark.parametrize("text", ["", "{", "[]", "3", '{"": 3}', '{"": {"path": "x"}}', '{"": {"path": 1, "more": 2}}'])
def test_what_cannot_be_read_is_not_read_registry(text: str, one: Store) -> None:
    """It costs a --source, nothing else."""
    path = stores("colours") / FILE
    path.write_text(text)
    assert read_registry("colours") == {}
    assert read_registry("nothing") == {}


def test_a_store_that_is_gone_or_of_another_version_is_none(one: Store) -> None:
    it = RegistryEntry(path="x", store=one.folder.name, released=True)
    assert registered_store("colours", it) == one.folder
    assert registered_store("colours", it.model_copy(update={"store": "other"})) is None
    path = one.folder / INFO
    path.write_text(json.dumps({"schema": 1}))
    assert registered_store("colours", it) is None
    path.write_text("{")
    assert registered_store("colours", it) == one.folder, "whoever opens it is told that it is damaged"

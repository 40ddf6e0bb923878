"""Small sound and broken plugins, and the results of their checks, computed once."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from mmeval.testing import CHECKS, Result, check_plugin
from mmeval.testing.runner import CheckRunner
from tests.forked import fork_fresh_processes

PLUGINS = Path(__file__).parent / "plugins"
# Modules that other plugins import are installed: if a file is loaded twice, by its path and by its name, pydantic
# finds the docstrings of its options only the first time.
INSTALLED = ("sound", "plain")


@pytest.fixture(autouse=True)
def _plugins(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Make the plugins importable, in this process and in its child processes."""
    site = tmp_path_factory.getbasetemp() / "site of plugins"
    info = site / "acme_models-1.0.dist-info"
    if not info.is_dir():
        info.mkdir(parents=True)
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-models\nVersion: 1.0\n")
        points = "".join(f"{name} = {name}\n" for name in INSTALLED)
        (info / "entry_points.txt").write_text(f"[mmeval.models]\n{points}")
    for folder in (site, PLUGINS):
        monkeypatch.syspath_prepend(folder)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(map(str, (PLUGINS, site))))
    # Models of this size are slower with more threads, above all on a busy machine.
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def plugin() -> Callable[[str], str]:
    """Return the name that a user types for a plugin: ``sound`` is installed, ``broken/bf16`` is a file."""
    return lambda name: name if name in INSTALLED else str(PLUGINS / f"{name}.py")


NEW_INTERPRETER = {*INSTALLED, "broken/fresh_process"}
"""Plugins whose check `fresh-process` starts a new interpreter, as for users; the others break another rule."""


@functools.cache
def _all_checks(plugin: str) -> dict[str, Result]:
    return {result.check.name: result for result in check_plugin(plugin)}


@pytest.fixture
def all_checks(plugin: Callable[[str], str], monkeypatch: pytest.MonkeyPatch) -> Callable[[str], dict[str, Result]]:
    """Run all checks on a plugin; returns the results by check."""

    def results(name: str) -> dict[str, Result]:
        with monkeypatch.context() as patched:
            if name not in NEW_INTERPRETER:
                fork_fresh_processes(patched)
            return _all_checks(plugin(name))

    return results


@pytest.fixture
def one_check(plugin: Callable[[str], str]) -> Callable[[str, str], Result]:
    """Run one check on a plugin."""
    return lambda name, check: CheckRunner(plugin(name)).check(CHECKS[check])

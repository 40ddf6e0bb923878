"""Small plugins, sound and broken, and what the contract says of them, asked once."""

from __future__ import annotations

import functools
import multiprocessing
import os
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from mmeval.testing import CHECKS, Result, check_plugin, fresh, persistence
from mmeval.testing.examine import Examination

PLUGINS = Path(__file__).parent / "plugins"
# Those that others import are found by entry points: a file that is loaded twice, once by its path and once by its
# name, loses the docstrings of its options the second time, for pydantic finds them by the file.
INSTALLED = ("sound", "plain")


@pytest.fixture(autouse=True)
def _plugins(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The plugins may import each other, here and in processes started from here."""
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
    # Models of this size are slower with more threads, and very much so on a busy machine.
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def plugin() -> Callable[[str], str]:
    """Gives what a user would type for a plugin: ``sound`` is installed, ``broken/bf16`` is a file."""
    return lambda name: name if name in INSTALLED else str(PLUGINS / f"{name}.py")


FRESH = {*INSTALLED, "zero_shot", "frozen", "broken/fresh_process"}
"""Plugins whose fresh process is a new interpreter, as users get it. For the others, which break another rule, it is
forked from a process that has imported torch and mmeval and nothing else: that import is most of the rule's cost."""


def _forked(call: Sequence[str], **_: object) -> subprocess.CompletedProcess[str]:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([fresh.__name__])
    process = context.Process(target=fresh.main, args=call[call.index(fresh.__name__) + 1 :])
    process.start()
    process.join()
    return subprocess.CompletedProcess(call, process.exitcode or 0, "", "")


@functools.cache
def _whole(plugin: str) -> dict[str, Result]:
    return {result.check.name: result for result in check_plugin(plugin)}


@pytest.fixture
def whole(plugin: Callable[[str], str], monkeypatch: pytest.MonkeyPatch) -> Callable[[str], dict[str, Result]]:
    """Holds a plugin against the whole contract; gives the result of each check."""

    def results(name: str) -> dict[str, Result]:
        with monkeypatch.context() as patched:
            if name not in FRESH:
                patched.setattr(persistence, "subprocess", SimpleNamespace(run=_forked))
            return _whole(plugin(name))

    return results


@pytest.fixture
def single(plugin: Callable[[str], str]) -> Callable[[str, str], Result]:
    """Holds a plugin against one check."""
    return lambda name, check: Examination(plugin(name)).check(CHECKS[check])

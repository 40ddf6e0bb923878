"""A new process for the check ``fresh-process`` that does not import torch again."""

from __future__ import annotations

import multiprocessing
import subprocess
from collections.abc import Sequence
from types import SimpleNamespace

import pytest

from mmeval.testing import fresh_process
from mmeval.testing.rules import persistence


def fork_fresh_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fork the process of ``fresh-process`` from a server that has imported torch and mmeval, but no plugin.

    Like a new interpreter, the process has no state of the training process. The imports are most of the check's time.
    """
    monkeypatch.setattr(persistence, "subprocess", SimpleNamespace(run=_run))


def _run(call: Sequence[str], **_: object) -> subprocess.CompletedProcess[str]:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([fresh_process.__name__])
    arguments = call[call.index(fresh_process.__name__) + 1 :]
    process = context.Process(target=fresh_process.main, args=arguments)
    process.start()
    process.join()
    return subprocess.CompletedProcess(call, process.exitcode or 0, "", "")

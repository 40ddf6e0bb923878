"""Making a folder a run's own: what may be written into, by whom, and what a mistake leaves there."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mmeval.console import note
from mmeval.errors import RunFolderError, Stopped, UserError
from mmeval.files import LockedError, digest, lock, sweep
from mmeval.home import home
from mmeval.record import Plan
from mmeval.runs.folder import UNVERIFIED, RunFolder, State
from mmeval.runs.manifest import differences, listed

Done = dict[int, dict[str, Any]]
"""Facts of the seeds that need no training, by seed."""


@contextlib.contextmanager
def locked(folder: RunFolder, plan: Plan) -> Iterator[Done | None]:
    """Hold ``folder`` for ``plan``; yields the seeds that are done, or None if the whole run is in it, finished.

    A mistake at the very beginning leaves no folder; Ctrl-C leaves it and says how to go on.

    Raises:
        RunFolderError: something else is in the folder, or another process is at work there.
    """
    with _alone_in(folder):
        if folder.state is not State.FOREIGN:
            # A process that was killed here may have left files that were not whole yet.
            sweep(folder.path, deep=True)
        fresh = folder.state is State.EMPTY
        work = _reserve(folder, plan)
        try:
            yield work
        except KeyboardInterrupt:
            how = f"repeat the command with --output {folder.path} to go on"
            raise Stopped(f"Stopped. What was finished is whole; {how}.") from None
        except UserError:
            if fresh:
                _remove_beginnings(folder, plan)
            raise


@contextlib.contextmanager
def _alone_in(folder: RunFolder) -> Iterator[None]:
    """Hold the folder against a second process."""
    try:
        with lock(home() / "locks" / f"{digest(str(folder.path.absolute()))[:16]}.lock", wait=False):
            yield
    except LockedError:
        raise RunFolderError(f"--output {folder.path}: another process is at work there; wait for it.") from None


def _reserve(folder: RunFolder, plan: Plan) -> Done | None:
    state = folder.state
    if state is State.FOREIGN:
        raise RunFolderError(f"--output {folder.path} exists and is no run folder; name another one.")
    if state is State.EMPTY:
        _make(folder)
        folder.write_json(folder.plan_file, plan.model_dump(mode="json"))
        return {}
    if state is State.FINISHED:
        state = _finished_or_not(folder, plan)
        if state is State.FINISHED:
            return None
    else:
        _require_same(folder, plan, folder.plan(), state)
    done = {seed: facts for seed in plan.protocol.seeds if (facts := folder.facts(seed))}
    seeds = f"seed{'s' if len(done) > 1 else ''} {', '.join(map(str, done))}"
    what = f"goes on after {seeds}" if done else "starts clean: no seed was finished"
    note(f"{folder.path} holds this run, unfinished; it {what}.")
    return done


def _finished_or_not(folder: RunFolder, plan: Plan) -> State:
    """Whether every file of a run that has a ``run.json`` is as it was; if not, it is unfinished from here on."""
    try:
        record = folder.record
    except RunFolderError as error:
        if not folder.plan_file.is_file():
            raise
        _require_same(folder, plan, folder.plan(), State.FINISHED)
        note(f"{error} This does.")
        folder.reopen(plan)
        return State.UNFINISHED
    _require_same(folder, plan, record.plan, State.FINISHED)
    if record.schema_version == 1:
        return _finished_before_digests(folder, plan)
    if wrong := differences(folder.path, record.files):
        note(
            f"{folder.path} holds this run, but not as it was finished: {listed(wrong)}; what is needed is made again."
        )
        folder.reopen(plan)
        return State.UNFINISHED
    note(f"{folder.path} holds this very run, finished; nothing is computed again.")
    return State.FINISHED


def _finished_before_digests(folder: RunFolder, plan: Plan) -> State:
    """The same of schema 1, where all that can be asked is whether the files are there."""
    if folder.gallery_file.is_file() and all(folder.facts(seed) for seed in plan.protocol.seeds):
        note(f"{folder.path} holds this very run, finished, with its files {UNVERIFIED}; nothing is computed again.")
        return State.FINISHED
    folder.reopen(plan)
    return State.UNFINISHED


def _require_same(folder: RunFolder, plan: Plan, found: Plan, state: State) -> None:
    if difference := plan.difference(found):
        raise RunFolderError(
            f"--output {folder.path} holds another run ({state.value}): {difference}; name another folder."
        )


def _make(folder: RunFolder) -> None:
    try:
        folder.path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise
        raise RunFolderError(f"--output {folder.path} can't be made: {error.strerror}.") from None


def _remove_beginnings(folder: RunFolder, plan: Plan) -> None:
    """Remove the folder if it holds a plan and nothing else of worth: no weights, no predictions, no one's files."""
    for seed in plan.protocol.seeds:
        (folder.model_folder(seed) / "best.safetensors").unlink(missing_ok=True)
        _remove_empty(folder.model_folder(seed))
    _remove_empty(folder.path / "models")
    if set(folder.path.iterdir()) == {folder.plan_file}:
        folder.plan_file.unlink()
        _remove_empty(folder.path)


def _remove_empty(path: Path) -> None:
    # The current folder, a link, or one with somebody's files stays.
    with contextlib.suppress(OSError):
        path.rmdir()

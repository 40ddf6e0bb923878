"""Making a folder a run's own: what may be written into, by whom, and what a mistake leaves there."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterator
from pathlib import Path

from mmeval.console import note
from mmeval.errors import RunFolderError, Stopped, UserError
from mmeval.files import LockedError, digest, lock
from mmeval.home import home
from mmeval.record import Plan
from mmeval.run.folder import RunFolder, State


@contextlib.contextmanager
def claimed(folder: RunFolder, plan: Plan) -> Iterator[bool]:
    """Hold ``folder`` for ``plan``; yields False if the run is in it already, finished.

    A mistake at the very beginning leaves no folder; Ctrl-C leaves it and says how to go on.

    Raises:
        RunFolderError: something else is in the folder, or another process is at work there.
    """
    with _alone_in(folder):
        fresh = folder.state is State.EMPTY
        work = _claim(folder, plan)
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


def _claim(folder: RunFolder, plan: Plan) -> bool:
    state = folder.state
    if state is State.FOREIGN:
        raise RunFolderError(f"--output {folder.path} exists and is no run folder; name another one.")
    if state is State.EMPTY:
        _make(folder)
        folder.write_json(folder.plan_file, plan.model_dump(mode="json"))
        return True
    found = folder.record().plan if state is State.FINISHED else folder.plan()
    if difference := plan.difference(found):
        raise RunFolderError(
            f"--output {folder.path} holds another run ({state.value}): {difference}; name another folder."
        )
    if state is State.FINISHED and folder.whole:
        note(f"{folder.path} holds this very run, finished; nothing is computed again.")
        return False
    if state is State.FINISHED:
        folder.reopen()
    done = [str(seed) for seed in plan.protocol.seeds if folder.facts(seed)]
    seeds = f"seed{'s' if len(done) > 1 else ''} {', '.join(done)}"
    what = f"goes on after {seeds}" if done else "starts clean: no seed was finished"
    note(f"{folder.path} holds this run, unfinished; it {what}.")
    return True


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

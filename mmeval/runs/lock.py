"""The lock of a run folder, and the state in which a run finds it: empty, unfinished, finished, or another's."""

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
from mmeval.runs.manifest import differences, format_differences

FinishedSeeds = dict[int, dict[str, Any]]
"""Facts of the seeds that need no training, by seed."""


@contextlib.contextmanager
def locked(folder: RunFolder, plan: Plan) -> Iterator[FinishedSeeds | None]:
    """Lock ``folder`` for the run of ``plan``; yield the finished seeds, or None if the whole run is finished.

    A user error before the first result removes a new folder; Ctrl-C keeps it.

    Raises:
        RunFolderError: the folder holds something else, or another process is working in it.
        Stopped: the user pressed Ctrl-C; the message says how to continue.
    """
    with exclusive(folder, f"--output {folder.path}"):
        if folder.state is not State.FOREIGN:
            # A killed process may have left temporaries.
            sweep(folder.path, deep=True)
        new = folder.state is State.EMPTY
        finished_seeds = _reserve(folder, plan)
        try:
            yield finished_seeds
        except KeyboardInterrupt:
            how = f"repeat the command with --output {folder.path} to continue"
            raise Stopped(f"Stopped. Finished seeds are kept; {how}.") from None
        except UserError:
            if new:
                _remove_if_without_results(folder, plan)
            raise


@contextlib.contextmanager
def exclusive(folder: RunFolder, name: str, *, optional: bool = False) -> Iterator[None]:
    """Lock ``folder`` against other processes that use the same cache folder.

    Args:
        folder: the run folder.
        name: how the user named it, for the message.
        optional: continue without a lock if the cache folder can't be written. Scores and reports need no cache, and
            no run can start with such a cache folder.

    Raises:
        RunFolderError: another process is working in the folder.
    """
    path = home() / "locks" / f"{digest(str(folder.path.absolute()))[:16]}.lock"
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(lock(path, wait=False))
        except LockedError:
            message = f"{name}: another process is working in this folder; wait until it has finished."
            raise RunFolderError(message) from None
        except OSError:
            if not optional:
                raise
        yield


def _reserve(folder: RunFolder, plan: Plan) -> FinishedSeeds | None:
    """Create the folder of a run, or find the seeds that are finished; None if all of the run is."""
    state = folder.state
    if state is State.FOREIGN:
        raise RunFolderError(f"--output {folder.path} exists and is not a run folder; name another folder.")
    if state is State.EMPTY:
        _create(folder)
        folder.write_json(folder.plan_file, plan.model_dump(mode="json"))
        return {}
    if state is State.FINISHED:
        state = _check_finished(folder, plan)
        if state is State.FINISHED:
            return None
    else:
        _require_same(folder, plan, folder.plan(), state)
    finished = {seed: facts for seed in plan.protocol.seeds if (facts := folder.facts(seed))}
    seeds = f"seed{'s' if len(finished) > 1 else ''} {', '.join(map(str, finished))}"
    start = f"continues after {seeds}" if finished else "starts from the beginning: no seed is finished"
    note(f"{folder.path} holds an unfinished run of this plan; it {start}.")
    return finished


def _check_finished(folder: RunFolder, plan: Plan) -> State:
    """Return FINISHED if no file of a finished run was changed; otherwise reopen the run and return UNFINISHED."""
    try:
        record = folder.record
    except RunFolderError as error:
        if not folder.plan_file.is_file():
            raise
        _require_same(folder, plan, folder.plan(), State.FINISHED)
        note(f"{error} This command rewrites it.")
        folder.reopen(plan)
        return State.UNFINISHED
    _require_same(folder, plan, record.plan, State.FINISHED)
    if record.schema_version == 1:
        return _check_finished_without_digests(folder, plan)
    if changed := differences(folder.path, record.files):
        note(
            f"{folder.path} holds this run, but files differ from run.json: {format_differences(changed)}; "
            "this command recreates them."
        )
        folder.reopen(plan)
        return State.UNFINISHED
    note(f"{folder.path} holds a finished run of this plan; nothing is computed again.")
    return State.FINISHED


def _check_finished_without_digests(folder: RunFolder, plan: Plan) -> State:
    """Like :func:`_check_finished` for a run of schema 1: only the existence of its files can be checked."""
    if folder.gallery_file.is_file() and all(folder.facts(seed) for seed in plan.protocol.seeds):
        note(
            f"{folder.path} holds a finished run of this plan, with its files {UNVERIFIED}; nothing is computed again."
        )
        return State.FINISHED
    folder.reopen(plan)
    return State.UNFINISHED


def _require_same(folder: RunFolder, plan: Plan, recorded: Plan, state: State) -> None:
    if difference := plan.difference(recorded):
        raise RunFolderError(
            f"--output {folder.path} holds another run ({state.value}): {difference}; name another folder."
        )


def _create(folder: RunFolder) -> None:
    try:
        folder.path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise
        raise RunFolderError(f"--output {folder.path} can't be created: {error.strerror}.") from None


def _remove_if_without_results(folder: RunFolder, plan: Plan) -> None:
    """Remove a new folder that holds only the plan and checkpoints of unfinished training."""
    for seed in plan.protocol.seeds:
        (folder.model_folder(seed) / "best.safetensors").unlink(missing_ok=True)
        _remove_empty(folder.model_folder(seed))
    _remove_empty(folder.path / "models")
    if set(folder.path.iterdir()) == {folder.plan_file}:
        folder.plan_file.unlink()
        _remove_empty(folder.path)


def _remove_empty(path: Path) -> None:
    # The current folder, a link, and a folder that isn't empty stay.
    with contextlib.suppress(OSError):
        path.rmdir()

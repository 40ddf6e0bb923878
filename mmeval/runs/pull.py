"""A published run brought back from the Hub, and verified by its digests."""

from __future__ import annotations

import glob
import json
import shutil
from pathlib import Path

from pydantic import ValidationError

from mmeval.console import note
from mmeval.errors import DataError, RunFolderError
from mmeval.fetch.hub import MODEL
from mmeval.fetch.snapshot import Snapshot, snapshot
from mmeval.files import atomic_folder, disk_full
from mmeval.integrity import seal_holds
from mmeval.record import Record
from mmeval.runs.folder import RunFolder, State
from mmeval.runs.manifest import differences, format_differences

RECORD = "run.json"
LARGEST_RECORD = 64 * 1024 * 1024
"""Most bytes of ``run.json``."""


def pull(repo_id: str, revision: str | None = None, output: Path | str | None = None) -> RunFolder:
    """Return a published run as a run folder whose files agree with their digests.

    Only ``run.json`` and the files that it lists are downloaded. They are kept per commit in the cache folder, so that
    a second call downloads nothing, and an interrupted one continues. Nothing in the repository is run as code.

    Args:
        repo_id: the repository, ``owner/name``.
        revision: a branch, tag or commit.
        output: a new folder to copy the run to; by default the run stays in the cache folder: don't write to it.

    Raises:
        UserError: there is no such repository, no connection or no access; the repository is not a run that mmeval
            published, or a file fails its digest; ``output`` holds something else.
    """
    files, record = _download(repo_id, revision)
    if output is None:
        return RunFolder(files.folder)
    return _copy(files.folder, record, Path(output))


def _download(repo_id: str, revision: str | None) -> tuple[Snapshot, Record]:
    """Download a run and compare its files with their digests; a damaged file in the cache is fetched once more."""
    for again in (True, False):
        first = _snapshot_of_record(repo_id, revision)
        record = _read(repo_id, first)
        files = snapshot(repo_id, [RECORD, *map(glob.escape, record.files)], first.commit, MODEL)
        if missing := sorted(record.files.keys() - set(files.files)):
            raise RunFolderError(
                f"The repository {repo_id} at {first.commit[:8]} lacks {missing[0]}, which its run.json lists; ask its "
                "authors to publish the run again."
            )
        changed = differences(files.folder, record.files)
        if not changed:
            return files, record
        if again:
            for name in changed:
                _remove(files.folder / name)
    raise RunFolderError(
        f"Files of the repository {repo_id} at {first.commit[:8]} fail their digests in run.json: "
        f"{format_differences(changed)}; ask its authors to publish the run again."
    )


def _snapshot_of_record(repo_id: str, revision: str | None) -> Snapshot:
    try:
        return snapshot(repo_id, [RECORD], revision, MODEL)
    except DataError as error:
        if " has no file that matches " in str(error):
            raise RunFolderError(
                f"The repository {repo_id} is not a run that mmeval published: it has no run.json."
            ) from None
        raise


def _read(repo_id: str, files: Snapshot) -> Record:
    """Read and check ``run.json``.

    Raises:
        RunFolderError: it can't be used.
    """
    path = files.folder / RECORD
    where = f"The repository {repo_id} at {files.commit[:8]} is not a run that this version of mmeval can use"
    if path.stat().st_size > LARGEST_RECORD:
        raise RunFolderError(f"{where}: its run.json is larger than {LARGEST_RECORD:,} bytes.")
    try:
        data = json.loads(path.read_bytes())
        record = Record.model_validate(data)
    except (ValidationError, ValueError, RecursionError) as error:
        _remove(path)
        shown = error.errors()[0]["msg"] if isinstance(error, ValidationError) else "it is not JSON"
        raise RunFolderError(f"{where}: its run.json is no record of a run ({shown}).") from None
    if record.schema_version == 1 or not seal_holds(data):
        _remove(path)
        why = "has no digests" if record.schema_version == 1 else "was changed: it does not match its seal"
        raise RunFolderError(f"{where}: its run.json {why}; ask its authors to publish the run again.")
    return record


def _remove(path: Path) -> None:
    """Remove a file from the cache, and the content that its link names, so that the next call downloads it again."""
    target = path.resolve()
    path.unlink(missing_ok=True)
    target.unlink(missing_ok=True)


def _copy(source: Path, record: Record, output: Path) -> RunFolder:
    """Copy a verified run to a new folder; a folder that holds it already is left as it is.

    Raises:
        RunFolderError: the folder holds something else, or can't be written.
    """
    folder = RunFolder(output)
    if folder.state is State.FINISHED and folder.record.seal == record.seal:
        if not (changed := differences(output, record.files)):
            note(f"{output} holds this run already.")
            return folder
        raise RunFolderError(
            f"--output {output}: {format_differences(changed)}; name a new folder, or remove this one."
        )
    if folder.state is not State.EMPTY:
        raise RunFolderError(f"--output {output} exists and holds something else; name a new folder.")
    try:
        if output.exists():
            output.rmdir()
        with atomic_folder(output) as temporary:
            for name in (RECORD, *record.files):
                target = temporary / name
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(source / name, target)
    except OSError as error:
        why = "the disk is full" if disk_full(error) else error.strerror or str(error)
        raise RunFolderError(f"--output {output} can't be written: {why}.") from None
    return folder

"""Errors of the operating system as one sentence: the path, the reason and the remedy."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from mmeval.files import disk_full, partial_of
from mmeval.home import VARIABLE, home

WRITABLE = "make it writable, or use a copy that you may write"
REASONS = {
    errno.EACCES: ("permission denied", WRITABLE),
    errno.EPERM: ("the operation is not permitted", WRITABLE),
    errno.EROFS: ("the disk is read-only", WRITABLE),
    errno.ENOTDIR: ("a file is in the place of a folder", "name another folder, or move the file"),
    errno.EEXIST: ("a file is in the place of a folder", "name another folder, or move the file"),
    errno.EISDIR: ("a folder is in the place of a file", "name another file, or move the folder"),
    errno.ENOENT: ("it does not exist", "check the path, and whether something has removed it"),
    errno.ENAMETOOLONG: ("the name is too long for the file system", "choose a shorter name"),
    errno.EMFILE: ("too many files are open", "allow more with `ulimit -n`"),
    errno.EIO: ("the disk reports an error", "check the disk, and keep copies on another disk"),
}
"""Reason and remedy by error number."""


def system_error_message(error: BaseException) -> str | None:
    """Return the sentence for an error of the operating system; None for any other error, which is a bug."""
    if disk_full(error):
        return f"The disk is full ({error}). Free some space, then repeat the command; complete files are kept."
    if not isinstance(error, OSError) or error.errno is None:
        return None
    # A rename has two names; the second is the one that the user knows.
    name = error.filename2 if error.filename2 is not None else error.filename
    if not isinstance(name, str | bytes | os.PathLike):
        return None
    path, failed = Path(os.fsdecode(name)), "used"
    if error.filename2 is not None or partial_of(path.name):
        path, failed = path.with_name(partial_of(path.name) or path.name), "written"
    why, remedy = REASONS.get(
        error.errno, ((error.strerror or str(error)).lower(), "fix the cause, then repeat the command")
    )
    if path.absolute().is_relative_to(home()):
        remedy = f"set {VARIABLE} to a folder that you may write (it is {home()})"
    return f"{path} can't be {failed}: {why}; {remedy}."

"""What the operating system refuses, in one sentence: which path, why, and what to do."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from mmeval.files import disk_full, partial_of
from mmeval.home import VARIABLE, home

ELSEWHERE = "change that, or work on a copy that you may write"
REASONS = {
    errno.EACCES: ("permission denied", ELSEWHERE),
    errno.EPERM: ("the system protects it", ELSEWHERE),
    errno.EROFS: ("the disk is read-only", ELSEWHERE),
    errno.ENOTDIR: ("a file stands where a folder is needed", "name another folder, or move the file away"),
    errno.EEXIST: ("a file stands where a folder is needed", "name another folder, or move the file away"),
    errno.EISDIR: ("a folder stands where a file is needed", "name another file, or move the folder away"),
    errno.ENOENT: ("it is not there", "look whether the path is right, and whether something removed it"),
    errno.ENAMETOOLONG: ("the name is too long for the file system", "choose a shorter one"),
    errno.EMFILE: ("too many files are open", "allow more with `ulimit -n`"),
    errno.EIO: ("the disk reports an error", "check the disk, and keep copies elsewhere"),
}
"""Why, and what to do, by the error's number."""


def trouble(error: BaseException) -> str | None:
    """The sentence for an error of the operating system; None for any other error, which is a defect of the program."""
    if disk_full(error):
        return f"The disk is full ({error}). Make room, then repeat the command; what is whole is kept."
    if not isinstance(error, OSError) or error.errno is None:
        return None
    # A rename names both; the second is the file that a person knows.
    name = error.filename2 if error.filename2 is not None else error.filename
    if not isinstance(name, str | bytes | os.PathLike):
        return None
    path, failed = Path(os.fsdecode(name)), "used"
    if error.filename2 is not None or partial_of(path.name):
        path, failed = path.with_name(partial_of(path.name) or path.name), "written"
    why, remedy = REASONS.get(
        error.errno, ((error.strerror or str(error)).lower(), "mend that, then repeat the command")
    )
    if path.absolute().is_relative_to(home()):
        remedy = f"set {VARIABLE} to a folder that you may write (it is {home()})"
    return f"{path} can't be {failed}: {why}; {remedy}."

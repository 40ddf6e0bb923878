"""The runs of a leaderboard: they are searched in folders, opened and verified."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from mmeval.console import progress
from mmeval.data.reading.text import without_folders
from mmeval.errors import UserError
from mmeval.record import Record
from mmeval.report.content import Content
from mmeval.runs.folder import RunFolder, State

RESERVED = {"con", "prn", "aux", "nul", "index", *(f"{port}{n}" for port in ("com", "lpt") for n in range(1, 10))}
"""Names that are no file names on Windows, and that of the index."""
LONGEST_SLUG = 60


@dataclass(frozen=True)
class Entry:
    """A run of the leaderboard."""

    folder: RunFolder
    record: Record
    content: Content
    digest: str
    """The seal of its record, or the digest of ``run.json`` of a run without one."""

    @property
    def name(self) -> str:
        """The name of the run folder."""
        return self.folder.name

    @property
    def model(self) -> str:
        """The name of the model, or of the other tool."""
        return self.record.plan.plugin.name

    @property
    def slug(self) -> str:
        """A file name that no other run has, and that does not change when runs are added."""
        return f"{slug(self.name)}-{self.digest[:12]}"

    @property
    def is_external(self) -> bool:
        """Whether another tool made the predictions."""
        return self.record.source is not None

    @property
    def is_verified(self) -> bool:
        """Whether the record has digests that its files were compared with."""
        return self.record.schema_version != 1


def collect(paths: Iterable[str | Path]) -> tuple[list[Entry], list[str]]:
    """Open all finished runs in folders; return them in an order that does not depend on that of the paths.

    Args:
        paths: run folders, or folders that contain run folders at any depth; files beside folders are passed over.

    Returns:
        The runs, and a sentence for each run that is left out: it is unfinished, damaged, or a copy of another one.

    Raises:
        UserError: a path does not exist or contains no run, or no run can be used.
    """
    folders: dict[Path, RunFolder] = {}
    places = list(map(Path, paths))
    for path in places:
        if path.is_file() and any(other.is_dir() for other in places):
            continue  # `runs/*` names the table of a bench beside its runs
        if not path.is_dir():
            reason = "this is a file" if path.exists() else "there is no such folder"
            raise UserError(f"{path}: {reason}; name run folders, or folders that contain run folders.")
        inside = {folder.resolve(): RunFolder(folder) for folder in run_folders(path)}
        if not inside:
            raise UserError(f"{path} contains no run: no folder in it has a run.json.")
        folders |= {key: folder for key, folder in inside.items() if key not in folders}
    entries: dict[str, Entry] = {}
    left_out = []
    with progress("Opening", len(folders), "runs") as advance:
        for _, folder in sorted(folders.items()):
            try:
                entry = _entry(folder)
            except UserError as error:
                reason = without_path(str(error), folder).removeprefix(f"{folder.name}: ")
                left_out.append(f"{folder.name} is left out: {reason}")
            else:
                if entry.digest in entries:
                    left_out.append(f"{folder.name} is left out: it is a copy of {entries[entry.digest].name}.")
                entries.setdefault(entry.digest, entry)
            advance()
    if not entries:
        raise UserError(f"No run can be used: {left_out[0]}")
    order = sorted(entries.values(), key=lambda entry: (entry.is_external, entry.model, entry.name, entry.digest))
    return order, sorted(left_out)


def run_folders(path: Path) -> Iterator[Path]:
    """Yield the run folders in a folder, finished or not; folders inside of a run are not searched."""
    for folder, subfolders, files in os.walk(path):
        if "run.json" in files or "plan.json" in files:
            subfolders.clear()
            yield Path(folder)
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))


def without_path(text: str, folder: RunFolder) -> str:
    """Return a message in which a run is called by its name, without folders of this machine."""
    for path in (folder.path.resolve(), folder.path.absolute(), folder.path):
        text = text.replace(str(path), folder.name)
    return without_folders(text)


def _entry(folder: RunFolder) -> Entry:
    """Open a run and compare its scores and its gallery with their digests; predictions follow when they are read."""
    record = folder.record
    if folder.state is not State.FINISHED:
        raise UserError(f"{folder.path} is no finished run.")
    for file in (folder.scores_file, folder.gallery_file):
        folder.require_unchanged(file)
    digest = record.seal or hashlib.sha256(folder.record_file.read_bytes()).hexdigest()
    return Entry(folder, record, folder.content(record), digest)


def slug(text: str) -> str:
    """Return a file name of lower-case ASCII letters, digits and hyphens; two different texts may have the same one."""
    plain = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:LONGEST_SLUG].strip("-")
    if not plain or plain in RESERVED or not re.search("[a-z0-9]", plain):
        return f"{plain or 'x'}-{digest_of(text)}"
    return plain


def slugs(texts: Collection[str]) -> dict[str, str]:
    """Return a different file name for each text; those that would share one get a digest of the text."""
    plain = {text: slug(text) for text in sorted(texts)}
    shared = list(plain.values())
    names: dict[str, str] = {}
    for text, name in plain.items():
        unique = name if shared.count(name) == 1 else f"{name}-{digest_of(text)}"
        while unique in names.values():
            unique += "-x"
        names[text] = unique
    return names


def digest_of(text: str) -> str:
    """Return eight hex digits that tell texts apart."""
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:8]

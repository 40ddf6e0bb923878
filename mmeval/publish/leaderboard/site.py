"""Writing a leaderboard: a static site that works from a disk and from any host."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from mmeval.console import note, progress, quiet
from mmeval.errors import UserError
from mmeval.files import file_digest, write_text
from mmeval.publish.leaderboard.downloads import GENERATOR, as_csv, as_json
from mmeval.publish.leaderboard.runs import Entry, collect
from mmeval.publish.leaderboard.tables import Table, tables
from mmeval.publish.leaderboard.views import CSV_FILE, INDEX, JSON_FILE, Site
from mmeval.report.html import html
from mmeval.runs.analysis import analysis_of

TITLE = "Leaderboard"
FOLDERS = ("datasets", "languages", "reports")


@dataclass(frozen=True)
class Earlier:
    """The pages that an earlier call has written."""

    files: dict[str, str]
    """By path the SHA-256 of a report that this version of mmeval rendered; empty for other pages."""

    def has(self, folder: Path, name: str) -> bool:
        """Return whether a report is there, as this version of mmeval renders it; its name has the run's digest."""
        path = folder / name
        return bool(self.files.get(name)) and path.is_file() and file_digest(path) == self.files[name]


@dataclass(frozen=True)
class Leaderboard:
    """A leaderboard that was written."""

    path: Path
    """The folder of the site."""
    tables: list[Table]
    left_out: list[str]
    """A sentence for each run that is left out."""
    changed: int
    """Number of files that were written, since they are new or have changed."""
    files: int
    """Number of files of the site."""

    @property
    def index(self) -> Path:
        """The start page."""
        return self.path / INDEX

    def _repr_html_(self) -> str:
        """Return a link to the start page, for a notebook."""
        from html import escape

        return f'<a href="{escape(self.index.as_posix())}">{escape(self.index.as_posix())}</a>'


def leaderboard(runs: Iterable[str | Path], output: str | Path = "site", *, title: str = TITLE) -> Leaderboard:
    """Write a static site that compares finished runs; the same runs give the same bytes.

    Args:
        runs: run folders, or folders that contain run folders at any depth.
        output: the folder of the site. A site that is there is brought up to date; other files stay.
        title: the title of the site.

    Raises:
        UserError: no run can be used, or the folder holds something else.
    """
    folder = Path(output)
    earlier = _earlier(folder)
    entries, left_out = collect(runs)
    compared, not_compared = tables(entries)
    left_out = sorted([*left_out, *not_compared])
    for line in left_out:
        note(line)
    if not compared:
        raise UserError(f"No run can be used: {left_out[0]}")
    site = Site(title, compared, left_out)
    reports = {f"reports/{entry.slug}.html": entry for entry in site.entries}
    files = dict.fromkeys(sorted([*site.names, *reports, CSV_FILE, JSON_FILE]), "")
    if not files.keys() <= earlier.files.keys():
        # The list of files comes first: an interrupted call leaves a site that can be written again.
        _write(folder / JSON_FILE, as_json(site, files | earlier.files))
    changed = 0
    with progress("Writing", len(files), "files") as advance:
        for name, entry in reports.items():
            if not earlier.has(folder, name):
                changed += _write(folder / name, _report(entry))
            files[name] = file_digest(folder / name)
            advance()
        for name, text in (*site.pages(), (CSV_FILE, as_csv(site))):
            changed += _write(folder / name, text)
            advance()
        for name in earlier.files:
            if name not in files:
                (folder / name).unlink(missing_ok=True)
        changed += _write(folder / JSON_FILE, as_json(site, files))
        advance()
    return Leaderboard(folder, compared, left_out, changed, len(files))


def _report(entry: Entry) -> str:
    """Return the report of a run, rendered again: a ``report.html`` that someone else wrote could hold a script."""
    with quiet():
        return html(entry.content, analysis_of(entry.folder, entry.record))


def _write(path: Path, text: str) -> bool:
    """Write a file unless it has this content already; return whether it was written."""
    if path.is_file() and path.read_bytes() == text.encode():
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, text)
    return True


def _earlier(folder: Path) -> Earlier:
    """Return what an earlier call has written into a folder.

    Raises:
        UserError: the folder is a file, a run, or another site.
    """
    if folder.is_file():
        raise UserError(f"--output {folder}: this is a file; name a folder.")
    if (folder / "run.json").exists() or (folder / "plan.json").exists():
        raise UserError(f"--output {folder}: this is the folder of a run; name another folder.")
    try:
        data = json.loads((folder / JSON_FILE).read_bytes())
        files = {name: str(digest) for name, digest in data["files"].items() if _is_own(name)}
        return Earlier(files if data["generator"] == GENERATOR else dict.fromkeys(files, ""))
    except FileNotFoundError:
        if (folder / INDEX).exists():
            raise UserError(
                f"--output {folder}: {INDEX} there is not of a leaderboard, and would be replaced; name another folder."
            ) from None
        return Earlier({})
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise UserError(
            f"{folder / JSON_FILE} can't be used: it was changed, or another program wrote it; delete it, or name "
            "another folder."
        ) from None


def _is_own(name: object) -> bool:
    """Return whether a name is that of a file which leaderboards write; only those are ever removed."""
    if not isinstance(name, str) or "\\" in name or "\0" in name:
        return False
    parts = PurePosixPath(name).parts
    return len(parts) == 2 and parts[0] in FOLDERS and parts[1].endswith(".html") and parts[1] not in (".", "..")

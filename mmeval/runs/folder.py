"""The run folder: what stands where, and in what state it is."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from enum import Enum
from html import escape
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import ValidationError

from mmeval.console import note
from mmeval.errors import RunFolderError
from mmeval.files import partial_of, write_text
from mmeval.integrity import SEAL, seal_holds, with_seal
from mmeval.metrics.scores import read_scores
from mmeval.record import FileRecord, Plan, Record, SeedFacts
from mmeval.report.content import Content
from mmeval.report.html import summary
from mmeval.runs.gallery import read_gallery
from mmeval.runs.manifest import describe, differences, listed

Kind = TypeVar("Kind", Plan, Record)
FILES = "files"
"""The field of ``fit.json`` that describes the files of its seed, as that of ``run.json`` does all files."""
UNVERIFIED = "unverified (its run.json is of schema 1, which has no digests)"


class State(Enum):
    """What a folder is."""

    EMPTY = "empty"
    UNFINISHED = "unfinished"
    FINISHED = "finished"
    FOREIGN = "not a run"


class RunFolder:
    """A run on disk.

    ``run.json`` is written last: where it stands, everything else was finished. It and ``fit.json`` of each seed hold
    the digests of the files that they vouch for, and one of their own fields.
    """

    def __init__(self, path: Path | str) -> None:
        """The folder need not exist yet."""
        self.path = path = Path(path)
        self.record_file = path / "run.json"
        self.plan_file = path / "plan.json"
        self.scores_file = path / "scores.parquet"
        self.gallery_file = path / "gallery.parquet"
        self.report_path = path / "report.html"
        self.readme_file = path / "README.md"

    @property
    def name(self) -> str:
        """Name of the folder."""
        return self.path.absolute().name

    @property
    def state(self) -> State:
        """Whether the folder is empty, an unfinished run, a finished one, or something else."""
        if self.path.is_file():
            return State.FOREIGN
        if not self.path.exists() or not any(self._counts(entry.name) for entry in self.path.iterdir()):
            return State.EMPTY
        if self.record_file.is_file():
            return State.FINISHED
        return State.UNFINISHED if self.plan_file.is_file() else State.FOREIGN

    def _counts(self, name: str) -> bool:
        """False for a file of a run that a process, at work or killed, has not finished writing."""
        files = (
            self.plan_file,
            self.record_file,
            self.scores_file,
            self.gallery_file,
            self.report_path,
            self.readme_file,
        )
        return partial_of(name) not in {file.name for file in files}

    def predictions_file(self, seed: int) -> Path:
        """Predictions of one training seed."""
        return self.path / "predictions" / f"seed-{seed}.parquet"

    def model_folder(self, seed: int) -> Path:
        """Weights and config of one training seed."""
        return self.path / "models" / f"seed-{seed}"

    def facts_file(self, seed: int) -> Path:
        """Facts about one training; written when its predictions are whole."""
        return self.model_folder(seed) / "fit.json"

    def plan(self) -> Plan:
        """Read ``plan.json``."""
        return self._read(self.plan_file, Plan)

    @property
    def record(self) -> Record:
        """The content of ``run.json``: plan, data, seeds, versions, and the digests of all other files.

        Raises:
            RunFolderError: there is no finished run here, or its record was changed; the message says which.
        """
        if self.state is not State.FINISHED:
            raise RunFolderError(self._what_is_missing())
        return self._read(self.record_file, Record)

    @property
    def scores(self) -> pa.Table:
        """The scores of a finished run as an Arrow table, one row per number; ``.to_pandas()`` if pandas is installed.

        Raises:
            RunFolderError: there is no finished run, or its scores were changed.
        """
        self.require_unchanged(self.scores_file)
        return read_scores(self.scores_file)

    def predictions(self, seed: int = 0) -> pa.Table:
        """Read the predictions of one training seed as an Arrow table, one row per test example.

        Its columns are ``id``, ``language``, ``cluster``, ``slice:*`` and, for each task, ``TASK`` (the true class,
        null where there is no label) and ``TASK:probabilities`` (one float32 per class).

        Raises:
            RunFolderError: there is no finished run, no such seed, or the predictions were changed.
        """
        path = self.predictions_file(seed)
        if seed not in (seeds := self.record.plan.protocol.seeds):
            raise RunFolderError(f"{self.path} has no training seed {seed}; it has {', '.join(map(str, seeds))}.")
        self.require_unchanged(path)
        return pq.read_table(path, page_checksum_verification=True)

    def require_unchanged(self, path: Path) -> None:
        """Compare a file of a finished run with its digest in ``run.json``.

        Raises:
            RunFolderError: there is no finished run, or the file is missing or was changed.
        """
        record = self.record
        self.require(path)
        name = path.relative_to(self.path).as_posix()
        recorded = {name: record.files[name]} if name in record.files else {}
        if changed := differences(self.path, recorded):
            raise RunFolderError(f"{self.path}: {listed(changed)}; {self.again('make it anew')}.")

    def content(self, record: Record | None = None) -> Content:
        """Return what every view of the run shows: record, scores and gallery.

        Args:
            record: the record of a run whose ``run.json`` is not written yet; by default it is read.

        Raises:
            RunFolderError: scores or gallery are missing or damaged.
        """
        record = record or self.record
        self.require(self.scores_file, self.gallery_file)
        return Content(record, read_scores(self.scores_file), read_gallery(self.gallery_file))

    def _repr_html_(self) -> str:
        """Show the scores per language in a notebook; an unfinished run shows its state."""
        if self.state is not State.FINISHED:
            return f"<p>{escape(repr(self))}</p>"
        return summary(self.content(), self.report_path)

    def __repr__(self) -> str:
        """``RunFolder('runs/one', finished)``."""
        return f"RunFolder({str(self.path)!r}, {self.state.value})"

    def facts(self, seed: int) -> dict[str, Any] | None:
        """Facts of a training that is done and whose files are as it left them, else None.

        What is damaged is said in one line.
        """
        if not (self.facts_file(seed).is_file() and self.predictions_file(seed).is_file()):
            return None
        found = self._seed_record(seed)
        if found is None:
            name = self.facts_file(seed).relative_to(self.path).as_posix()
            note(f"{self.path}: {name} was changed, or written by another version; seed {seed} is not used as it is.")
            return None
        facts, files = found
        if wrong := differences(self.path, files):
            note(f"{self.path}: {listed(wrong)}; seed {seed} is not used as it is.")
            return None
        return facts

    def seed_files(self, seed: int) -> dict[str, FileRecord]:
        """What ``fit.json`` says of the files of a seed, and ``fit.json`` itself; empty if it says nothing."""
        found = self._seed_record(seed)
        return (found[1] | describe(self.path, [self.facts_file(seed)])) if found and found[1] else {}

    def _seed_record(self, seed: int) -> tuple[dict[str, Any], dict[str, FileRecord]] | None:
        """Facts and files of a seed; None if ``fit.json`` can't be used. Before schema 2 it names no files."""
        try:
            data = json.loads(self.facts_file(seed).read_bytes())
            SeedFacts.model_validate(data)
            files = {name: FileRecord.model_validate(one) for name, one in data.get(FILES, {}).items()}
        except (ValueError, OSError, AttributeError, RecursionError):
            return None
        if (FILES in data or SEAL in data) and not (files and seal_holds(data)):
            return None
        return {name: value for name, value in data.items() if name not in (FILES, SEAL)}, files

    def finish_seed(self, seed: int, facts: Mapping[str, Any]) -> None:
        """Write ``fit.json``, last of all files of a seed: facts, and the digests of the model and the predictions."""
        model = (
            path for path in self.model_folder(seed).rglob("*") if path.is_file() and path != self.facts_file(seed)
        )
        files = describe(
            self.path, [*(path for path in model if partial_of(path.name) is None), self.predictions_file(seed)]
        )
        self.write_json(
            self.facts_file(seed),
            with_seal(dict(facts) | {FILES: {name: one.model_dump() for name, one in files.items()}}),
        )

    def reopen(self, plan: Plan) -> None:
        """Make a finished run an unfinished one again, to be mended."""
        self.write_json(self.plan_file, plan.model_dump(mode="json"))
        self.record_file.unlink()

    def finish(self, record: Record, made: Iterable[Path] | None = None) -> None:
        """Write ``run.json``, last of all, with the digests of all other files.

        Args:
            record: what is to be written.
            made: the files that are new since the record was read; None describes every file.
        """
        if record.schema_version == 1:
            # Nobody knows what these files were when they were written, so there is nothing to vouch for.
            self.write_json(self.record_file, record.model_dump(mode="json", exclude={FILES, SEAL}))
            return
        if made is None:
            files: dict[str, FileRecord] = {}
            for seed in record.plan.protocol.seeds:
                files |= self.seed_files(seed)
            made = [
                path for path in self._own_files(record.plan) if path.relative_to(self.path).as_posix() not in files
            ]
        else:
            files = dict(record.files)
        files |= describe(self.path, made)
        record = record.model_copy(update={FILES: dict(sorted(files.items()))})
        self.write_json(self.record_file, with_seal(record.model_dump(mode="json")))

    def _own_files(self, plan: Plan) -> list[Path]:
        """The files that a run writes and that are there; what else somebody put into the folder is theirs."""
        own = [self.plan_file, self.scores_file, self.gallery_file, self.report_path, self.readme_file]
        for seed in plan.protocol.seeds:
            own += [self.predictions_file(seed), *self.model_folder(seed).rglob("*")]
        return [path for path in own if path.is_file() and partial_of(path.name) is None]

    def write_json(self, path: Path, data: Any) -> None:  # noqa: ANN401 - what JSON holds
        """Write JSON atomically."""
        write_text(path, json.dumps(data, indent=1, ensure_ascii=False) + "\n")

    def require(self, *files: Path) -> None:
        """Check that files of a finished run are there.

        Raises:
            RunFolderError: one is not.
        """
        for file in files:
            if not file.is_file():
                again = self.again("make it anew")
                how = f"`mmeval score {self.path}` makes it again" if file == self.scores_file else again
                raise RunFolderError(f"{self.path} lacks {file.relative_to(self.path)}; {how}.")

    def _what_is_missing(self) -> str:
        if self.state is State.UNFINISHED:
            plan = self.plan()
            done = [str(seed) for seed in plan.protocol.seeds if self.facts(seed)]
            have = f"predictions of {len(done)} of {len(plan.protocol.seeds)} seeds are there"
            return f"{self.path} is an unfinished run: run.json is missing, {have}; {self.again('go on')}."
        if not self.path.exists():
            return f"{self.path}: there is no such folder; `mmeval run` makes one."
        return f"{self.path} is no run folder: it has neither run.json nor plan.json; give the folder that a run made."

    def again(self, purpose: str) -> str:
        """The advice to repeat the run, and to which end."""
        return f"repeat its `mmeval run` with --output {self.path} to {purpose}"

    def _read(self, path: Path, kind: type[Kind]) -> Kind:
        try:
            data = json.loads(path.read_bytes())
            read = kind.model_validate(data)
        except (ValidationError, ValueError, RecursionError) as error:
            raise RunFolderError(
                f"{path} can't be used: {_first(error)}; it was changed, or made by another version of mmeval; "
                f"{self._after_damage(path)}."
            ) from None
        if isinstance(read, Record) and read.schema_version != 1 and not seal_holds(data):
            raise RunFolderError(
                f"{path} was changed since it was written: its seal is not that of its content; "
                f"{self.again('write it anew')}."
            )
        if isinstance(read, Record) and read.schema_version != 1:
            self._require_described(read)
        return read

    def _after_damage(self, path: Path) -> str:
        """What to do about a ``run.json`` or ``plan.json`` that can't be read; the second is enough for the first."""
        if path == self.record_file and self.plan_file.is_file():
            return self.again("write it anew")
        return "run it anew with another --output"

    def _require_described(self, record: Record) -> None:
        """A record without the digest of what scores and reports are made of vouches for nothing."""
        needed = [self.scores_file, self.gallery_file, *map(self.predictions_file, record.plan.protocol.seeds)]
        for path in needed:
            if path.relative_to(self.path).as_posix() not in record.files:
                raise RunFolderError(
                    f"{self.record_file} says nothing of {path.relative_to(self.path)}, which every run describes; "
                    f"{self.again('write it anew')}."
                )


def _first(error: ValueError | RecursionError) -> str:
    """The first thing that is wrong with a file, in a few words."""
    if isinstance(error, UnicodeDecodeError):
        return "it is not UTF-8"
    if not isinstance(error, ValidationError):
        return f"it is no JSON ({error})"
    first = error.errors()[0]
    where = ".".join(map(str, first["loc"])) or "the file"
    said = first["msg"].removeprefix("Value error, ")
    return f"{where}: {said[0].lower()}{said[1:]}"

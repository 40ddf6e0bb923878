"""The run folder: its files, its state, and how they are read and written."""

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
from mmeval.protocol import EXTERNAL
from mmeval.record import FileRecord, Plan, Record, SeedFacts, require_inside
from mmeval.report.content import Content
from mmeval.report.html import summary
from mmeval.runs.gallery import read_gallery
from mmeval.runs.manifest import describe, differences, format_differences

RecordT = TypeVar("RecordT", Plan, Record)
FILES = "files"
"""The field of ``fit.json`` with the digests of the files of its seed; ``run.json`` has one for all files."""
VALIDATION = "validation"
"""The split on which models are selected."""
UNVERIFIED = "unverified (its run.json has schema 1, which has no digests)"


class State(Enum):
    """The state of a run folder."""

    EMPTY = "empty"
    UNFINISHED = "unfinished"
    FINISHED = "finished"
    FOREIGN = "not a run"


class RunFolder:
    """A run on disk.

    ``run.json`` is written last, so a folder with ``run.json`` is a finished run. ``run.json`` and the ``fit.json`` of
    each seed hold digests of the files that they describe, and a digest of their own content.
    """

    def __init__(self, path: Path | str) -> None:
        """Name the folder, which need not exist yet."""
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
        if not self.path.exists() or not any(self._is_content(entry.name) for entry in self.path.iterdir()):
            return State.EMPTY
        if self.record_file.is_file():
            return State.FINISHED
        return State.UNFINISHED if self.plan_file.is_file() else State.FOREIGN

    def _is_content(self, name: str) -> bool:
        """Return False for the temporary of a file of the run, which a running or killed process has left."""
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
        """Return the path of the predictions of one training seed, of the scored split."""
        return self.path / "predictions" / f"seed-{seed}.parquet"

    def validation_predictions_file(self, seed: int) -> Path:
        """Return the path of the predictions of one training seed, of the validation split.

        A run has no such file if its validation split is empty, or if an older version of mmeval wrote it.
        """
        return self.path / "predictions" / f"seed-{seed}.{VALIDATION}.parquet"

    def model_folder(self, seed: int) -> Path:
        """Return the folder with weights and config of one training seed."""
        return self.path / "models" / f"seed-{seed}"

    def facts_file(self, seed: int) -> Path:
        """Return the path of ``fit.json``, the facts about one training; it is written after its predictions."""
        return self.model_folder(seed) / "fit.json"

    def plan(self) -> Plan:
        """Read ``plan.json``.

        Raises:
            RunFolderError: the file can't be used.
        """
        return self._read(self.plan_file, Plan)[0]

    @property
    def record(self) -> Record:
        """The content of ``run.json``: plan, data, seeds, versions, and the digests of all other files.

        Raises:
            RunFolderError: there is no finished run here, or its record was changed; the message says which.
        """
        if self.state is not State.FINISHED:
            raise RunFolderError(self._why_not_finished())
        record, data = self._read(self.record_file, Record)
        if record.schema_version != 1:
            if not seal_holds(data):
                raise RunFolderError(
                    f"{self.record_file} was changed after it was written: its content does not match its seal; "
                    f"{self.rerun_advice('rewrite it')}."
                )
            self._require_digests(record)
        return record

    @property
    def scores(self) -> pa.Table:
        """The scores of a finished run as an Arrow table, one row per number; ``.to_pandas()`` if pandas is installed.

        Raises:
            RunFolderError: there is no finished run, or its scores were changed.
        """
        self.require_unchanged(self.scores_file)
        return read_scores(self.scores_file)

    def predictions(self, seed: int = 0, split: str | None = None) -> pa.Table:
        """Read the predictions of one training seed as an Arrow table, one row per example.

        Its columns are ``id``, ``language``, ``cluster``, ``slice:*`` and, for each task, ``TASK`` (the true class,
        null where there is no label) and ``TASK:probabilities`` (one float32 per class).

        Args:
            seed: the training seed.
            split: ``validation``, or the scored split, which is the default: ``test``.

        Raises:
            RunFolderError: there is no finished run, no such seed or split, or the predictions were changed.
        """
        record = self.record
        scored, seeds = record.plan.protocol.split, record.plan.protocol.seeds
        if seed not in seeds:
            raise RunFolderError(f"{self.path} has no training seed {seed}; it has {', '.join(map(str, seeds))}.")
        files = {scored: self.predictions_file(seed), VALIDATION: self.validation_predictions_file(seed)}
        path = files.get(split or scored)
        if path is None:
            raise RunFolderError(f'{self.path} has no predictions of the split "{split}"; it has {", ".join(files)}.')
        if split == VALIDATION and self._name_of(path) not in record.files and not path.is_file():
            raise RunFolderError(
                f"{self.path} has no predictions of the validation split: the split is empty, or an older version of "
                "mmeval wrote this run; only another run can add them."
            )
        self.require_unchanged(path)
        return pq.read_table(path, page_checksum_verification=True)

    def require_unchanged(self, path: Path) -> None:
        """Compare a file of a finished run with its digest in ``run.json``.

        Raises:
            RunFolderError: there is no finished run, or the file is missing or was changed.
        """
        record = self.record
        self.require(path)
        name = self._name_of(path)
        recorded = {name: record.files[name]} if name in record.files else {}
        if changed := differences(self.path, recorded):
            raise RunFolderError(f"{self.path}: {format_differences(changed)}; {self.rerun_advice('recreate it')}.")

    def content(self, record: Record | None = None) -> Content:
        """Read the content of the report: record, scores and gallery.

        Args:
            record: the record of a run whose ``run.json`` is not written yet; by default it is read from the folder.

        Raises:
            RunFolderError: scores or gallery are missing or damaged.
        """
        record = record or self.record
        self.require(self.scores_file, self.gallery_file)
        return Content(record, read_scores(self.scores_file), read_gallery(self.gallery_file))

    def _repr_html_(self) -> str:
        """Return the scores per language for a notebook; the state of an unfinished run, or what was changed."""
        if self.state is not State.FINISHED:
            return f"<p>{escape(repr(self))}</p>"
        try:
            self.require_unchanged(self.scores_file)
            return summary(self.content(), self.report_path)
        except RunFolderError as error:
            return f"<p>{escape(str(error))}</p>"

    def __repr__(self) -> str:
        """Return ``RunFolder('runs/emoji', finished)``."""
        return f"RunFolder({str(self.path)!r}, {self.state.value})"

    def facts(self, seed: int) -> dict[str, Any] | None:
        """Return the facts of a finished training, or None if it is not finished or its files were changed.

        A note on standard error names the files that were changed.
        """
        if not (self.facts_file(seed).is_file() and self.predictions_file(seed).is_file()):
            return None
        fit = self._read_fit(seed)
        if fit is None:
            name = self._name_of(self.facts_file(seed))
            note(f"{self.path}: {name} was changed, or written by another version; seed {seed} must be trained again.")
            return None
        facts, files = fit
        if changed := differences(self.path, files):
            note(f"{self.path}: {format_differences(changed)}; seed {seed} must be trained again.")
            return None
        return facts

    def seed_files(self, seed: int) -> dict[str, FileRecord]:
        """Return the digests of the files of a seed from ``fit.json``, and its own; empty if it has none."""
        fit = self._read_fit(seed)
        return (fit[1] | describe(self.path, [self.facts_file(seed)])) if fit and fit[1] else {}

    def _read_fit(self, seed: int) -> tuple[dict[str, Any], dict[str, FileRecord]] | None:
        """Return facts and files of a seed, or None if ``fit.json`` can't be used; before schema 2 it has no files."""
        try:
            data = json.loads(self.facts_file(seed).read_bytes())
            SeedFacts.model_validate(data)
            files = {name: FileRecord.model_validate(file) for name, file in data.get(FILES, {}).items()}
            require_inside(files)
        except (ValueError, OSError, AttributeError, RecursionError):
            return None
        if (FILES in data or SEAL in data) and not (files and seal_holds(data)):
            return None
        return {name: value for name, value in data.items() if name not in (FILES, SEAL)}, files

    def finish_seed(self, seed: int, facts: Mapping[str, Any]) -> None:
        """Write ``fit.json`` after all other files of a seed: facts, and digests of the model and the predictions."""
        files = describe(self.path, [path for path in self._seed_paths(seed) if path != self.facts_file(seed)])
        digests = {name: file.model_dump() for name, file in files.items()}
        self.write_json(self.facts_file(seed), with_seal(dict(facts) | {FILES: digests}))

    def _seed_paths(self, seed: int) -> list[Path]:
        """Return the files of a seed that exist: its predictions, its model, and ``fit.json``."""
        predictions = [self.predictions_file(seed), self.validation_predictions_file(seed)]
        paths = [*predictions, *self.model_folder(seed).rglob("*")]
        return [path for path in paths if path.is_file() and partial_of(path.name) is None]

    def reopen(self, plan: Plan) -> None:
        """Turn a finished run into an unfinished one, so that its damaged files are recreated."""
        self.write_json(self.plan_file, plan.model_dump(mode="json"))
        self.record_file.unlink()

    def finish(self, record: Record, written: Iterable[Path] | None = None) -> None:
        """Write ``run.json`` after all other files, with their digests.

        Args:
            record: the record to write.
            written: the files that were written since the record was read; None: all files.
        """
        if record.schema_version == 1:
            # The files may have changed since the run wrote them, so a digest of today would prove nothing.
            self.write_json(self.record_file, record.model_dump(mode="json", exclude={FILES, SEAL}))
            return
        if written is None:
            files: dict[str, FileRecord] = {}
            for seed in record.plan.protocol.seeds:
                files |= self.seed_files(seed)
            written = [path for path in self._paths(record.plan) if self._name_of(path) not in files]
        else:
            files = dict(record.files)
        files |= describe(self.path, written)
        record = record.model_copy(update={FILES: dict(sorted(files.items()))})
        self.write_json(self.record_file, with_seal(record.model_dump(mode="json")))

    def _paths(self, plan: Plan) -> list[Path]:
        """Return the files of the run that exist, without ``run.json`` and without files that a user has added."""
        pages = (self.plan_file, self.scores_file, self.gallery_file, self.report_path, self.readme_file)
        paths = [path for path in pages if path.is_file()]
        return paths + [path for seed in plan.protocol.seeds for path in self._seed_paths(seed)]

    def _name_of(self, path: Path) -> str:
        """Return the path of a file within the folder, as ``run.json`` names it."""
        return path.relative_to(self.path).as_posix()

    def write_json(self, path: Path, data: Any) -> None:  # noqa: ANN401 - what JSON holds
        """Write JSON atomically."""
        write_text(path, json.dumps(data, indent=1, ensure_ascii=False) + "\n")

    def require(self, *files: Path) -> None:
        """Check that files of a finished run exist.

        Raises:
            RunFolderError: a file is missing.
        """
        for file in files:
            if not file.is_file():
                left_out = self._publication_of_json()
                if isinstance(left_out, dict) and self._name_of(file) in left_out.get("left_out", {}):
                    raise RunFolderError(
                        f"{self.path} was published without {self._name_of(file)}; its authors can publish it with "
                        "`mmeval publish --predictions`."
                    )
                advice = self.rerun_advice("recreate it")
                if file == self.scores_file:
                    advice = f"run `mmeval score {self.path}` to recreate it"
                raise RunFolderError(f"{self.path} lacks {self._name_of(file)}; {advice}.")

    def _why_not_finished(self) -> str:
        if self.state is State.UNFINISHED:
            seeds = self.plan().protocol.seeds
            done = sum(self.facts(seed) is not None for seed in seeds)
            return (
                f"{self.path} is an unfinished run: run.json is missing, finished seeds: {done} of {len(seeds)}; "
                f"{self.rerun_advice('continue it')}."
            )
        if not self.path.exists():
            return f"{self.path}: there is no such folder; `mmeval run` creates a run folder."
        return f"{self.path} is not a run folder: it has neither run.json nor plan.json; name the folder of a run."

    def rerun_advice(self, purpose: str) -> str:
        """Return the advice to repeat the run's command, or to pull the run again, for a purpose: "recreate it"."""
        if self._publication_of_json() is not None:
            return f"pull the run again into an empty folder to {purpose}"
        command = "mmeval score" if self._is_external() else "mmeval run"
        return f"repeat the `{command}` command with --output {self.path} to {purpose}"

    def _is_external(self) -> bool:
        """Return whether the plan is of predictions that another tool made; False for a plan that can't be read."""
        try:
            return bool(json.loads(self.plan_file.read_bytes())["protocol"]["track"] == EXTERNAL)
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            return False

    def _publication_of_json(self) -> object:
        """Return the field ``publication`` of ``run.json``, unchecked; None if the file can't be read."""
        try:
            return json.loads(self.record_file.read_bytes()).get("publication")
        except (OSError, ValueError, AttributeError, RecursionError):
            return None

    def _read(self, path: Path, model: type[RecordT]) -> tuple[RecordT, dict[str, Any]]:
        """Read a JSON file; return the validated model and the JSON object."""
        try:
            data = json.loads(path.read_bytes())
            return model.model_validate(data), data
        except (ValidationError, ValueError, RecursionError) as error:
            raise RunFolderError(
                f"{path} can't be used: {_first_problem(error)}; it was changed, or written by another version of "
                f"mmeval; {self._advice_after_damage(path)}."
            ) from None

    def _advice_after_damage(self, path: Path) -> str:
        """Return the advice for a ``run.json`` or ``plan.json`` that can't be read; a run restores ``run.json``."""
        if path == self.record_file and self.plan_file.is_file():
            return self.rerun_advice("rewrite it")
        return "repeat the `mmeval run` command with another --output"

    def _require_digests(self, record: Record) -> None:
        """Check that a record has digests of scores, gallery and predictions; without them it would prove nothing.

        Not every run has validation predictions; those that are there need a digest. A published copy may lack files,
        but has their digests.
        """
        seeds = record.plan.protocol.seeds
        needed = [self.scores_file, self.gallery_file, *map(self.predictions_file, seeds)]
        needed += [path for path in map(self.validation_predictions_file, seeds) if path.is_file()]
        known = record.files | (record.publication.left_out if record.publication else {})
        for name in map(self._name_of, needed):
            if name not in known:
                raise RunFolderError(
                    f"{self.record_file} has no digest of {name}, which every finished run has; "
                    f"{self.rerun_advice('rewrite it')}."
                )


def _first_problem(error: ValueError | RecursionError) -> str:
    """Return the first problem of a file in a few words."""
    if isinstance(error, UnicodeDecodeError):
        return "it is not UTF-8"
    if not isinstance(error, ValidationError):
        return f"it is not JSON ({error})"
    first = error.errors()[0]
    where = ".".join(map(str, first["loc"])) or "the file"
    message = first["msg"].removeprefix("Value error, ")
    return f"{where}: {message[0].lower()}{message[1:]}"

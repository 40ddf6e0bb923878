"""The run folder: what stands where, and in what state it is."""

from __future__ import annotations

import json
from enum import Enum
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from mmeval.errors import RunFolderError
from mmeval.files import write_text
from mmeval.record import Plan, Record

Kind = TypeVar("Kind", Plan, Record)


class State(Enum):
    """What a folder is."""

    EMPTY = "empty"
    UNFINISHED = "unfinished"
    FINISHED = "finished"
    FOREIGN = "not a run"


class RunFolder:
    """A run on disk. ``run.json`` is written last: where it stands, everything else is whole."""

    def __init__(self, path: Path) -> None:
        """The folder need not exist yet."""
        self.path = path
        self.record_file = path / "run.json"
        self.plan_file = path / "plan.json"
        self.scores_file = path / "scores.parquet"
        self.gallery_file = path / "gallery.parquet"
        self.html_file = path / "report.html"
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
        if not self.path.exists() or not any(self.path.iterdir()):
            return State.EMPTY
        if self.record_file.is_file():
            return State.FINISHED
        return State.UNFINISHED if self.plan_file.is_file() else State.FOREIGN

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

    def record(self) -> Record:
        """Read ``run.json``.

        Raises:
            RunFolderError: there is no finished run here; the message says what is missing.
        """
        if self.state is not State.FINISHED:
            raise RunFolderError(self._what_is_missing())
        return self._read(self.record_file, Record)

    def facts(self, seed: int) -> dict[str, Any] | None:
        """Facts of a training that is done, else None."""
        if not (self.facts_file(seed).is_file() and self.predictions_file(seed).is_file()):
            return None
        try:
            facts: dict[str, Any] = json.loads(self.facts_file(seed).read_text(encoding="utf-8"))
        except ValueError:
            return None
        return facts

    @property
    def whole(self) -> bool:
        """Whether nothing that can't be made again without the model is missing."""
        seeds = self.record().plan.protocol.seeds
        return self.gallery_file.is_file() and all(self.facts(seed) for seed in seeds)

    def reopen(self) -> None:
        """Make a finished run an unfinished one again, to be mended."""
        self.write_json(self.plan_file, self.record().plan.model_dump(mode="json"))
        self.record_file.unlink()

    def finish(self, record: Record) -> None:
        """Write ``run.json``, last of all; the plan is in it."""
        self.write_json(self.record_file, record.model_dump(mode="json"))
        self.plan_file.unlink(missing_ok=True)

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
                again = self._again("make it anew")
                how = f"`mmeval score {self.path}` makes it again" if file == self.scores_file else again
                raise RunFolderError(f"{self.path} lacks {file.relative_to(self.path)}; {how}.")

    def _what_is_missing(self) -> str:
        if self.state is State.UNFINISHED:
            plan = self.plan()
            done = [str(seed) for seed in plan.protocol.seeds if self.facts(seed)]
            have = f"predictions of {len(done)} of {len(plan.protocol.seeds)} seeds are there"
            return f"{self.path} is an unfinished run: run.json is missing, {have}; {self._again('go on')}."
        if not self.path.exists():
            return f"{self.path}: there is no such folder; `mmeval run` makes one."
        return f"{self.path} is no run folder: it has neither run.json nor plan.json; give the folder that a run made."

    def _again(self, purpose: str) -> str:
        return f"repeat its `mmeval run` with --output {self.path} to {purpose}"

    def _read(self, path: Path, kind: type[Kind]) -> Kind:
        try:
            return kind.model_validate_json(path.read_bytes())
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"])) or "the file"
            raise RunFolderError(
                f"{path} can't be used: {where}: {first['msg'][0].lower()}{first['msg'][1:]}; "
                "it was changed, or made by another version of mmeval."
            ) from None

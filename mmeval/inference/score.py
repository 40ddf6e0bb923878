"""Scores of predictions for new rows that have labels, as a run folder with a report."""

from __future__ import annotations

import datetime as dt
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from mmeval.api.task import Task
from mmeval.console import note
from mmeval.data.external.predictions import ExternalPredictions
from mmeval.data.groups import UnionFind
from mmeval.data.table.scan import unique_id
from mmeval.errors import DataError, UserError
from mmeval.inference.classifier import Classified, Classifier
from mmeval.inference.results import REJECTED
from mmeval.inference.rows import NewRow, NewRows
from mmeval.metrics.predictions import PROBABILITIES
from mmeval.protocol import EXTERNAL, Protocol
from mmeval.record import ExternalSource, Plan, PluginRecord, Record, RejectedRows
from mmeval.runs.environment import environment
from mmeval.runs.external import data_check_of, data_facts, write_scored
from mmeval.runs.folder import RunFolder, State
from mmeval.runs.lock import exclusive

TRUE, IMAGE = ":true", ":image"
"""Suffix of the labels in the table, and the column with the key of each image, in the parts of a job."""
SHOWN = 3
"""Unknown labels that a message names."""


@dataclass
class Scoring:
    """Collects labels and probabilities while rows are classified, and writes the run folder at the end."""

    folder: RunFolder
    classifier: Classifier
    command: str
    """The command line, for the record."""
    calibrated: bool
    started: dt.datetime = field(default_factory=lambda: dt.datetime.now(dt.UTC))
    clock: float = field(default_factory=time.perf_counter)

    def require_new_folder(self) -> None:
        """Check, before the work begins, that the run folder can be written.

        Raises:
            UserError: the folder is not empty.
        """
        if self.folder.state is not State.EMPTY:
            raise UserError(f"--score {self.folder.path} exists already; name a new folder.")

    @property
    def fields(self) -> list[pa.Field]:
        """The columns that the parts of the job have beside those of the output."""
        fields = [pa.field(IMAGE, pa.string())]
        for task in self.classifier.tasks:
            fields.append(pa.field(task.name + TRUE, pa.list_(pa.string())))
            fields.append(pa.field(task.name + PROBABILITIES, pa.list_(pa.float32(), len(task.classes))))
        return fields

    def extend(self, table: pa.Table, own: Classified, rows: NewRows) -> pa.Table:
        """Return the results of a chunk with the columns of :attr:`fields`."""
        chunk = own.chunk
        place = np.full(len(chunk), -1, np.int64)
        place[chunk.usable] = np.arange(len(chunk.usable))
        take = pa.array(place, pa.int64(), mask=place < 0)
        keys = [row.parsed.image.key if row.parsed.image else None for row in chunk.rows]
        columns = [pa.array(keys, pa.string())]
        for task in self.classifier.tasks:
            labels = [_label(row, rows.labels.get(task.name)) for row in chunk.rows]
            columns.append(pa.array(labels, pa.list_(pa.string())))
            flat = pa.array(np.ascontiguousarray(own.probabilities[task.name], np.float32).ravel())
            columns.append(pa.FixedSizeListArray.from_arrays(flat, len(task.classes)))
        for definition, values in zip(self.fields, columns, strict=True):
            table = table.append_column(definition, values.take(take))
        return table

    def write(self, parts: Sequence[Path], rows: NewRows, digest: str) -> None:
        """Score the rows that have a label, and write the run folder.

        Raises:
            DataError: no row has a label that the model knows.
        """
        notes = [f"Predicted by {' + '.join(member.name for member in self.classifier.members)}."]
        notes.append(f"Probabilities are {'' if self.calibrated else 'not '}calibrated on validation.")
        test, rejected = self._predictions(parts, rows.where, notes)
        for line in notes[2:]:
            note(line)
        first = self.classifier.members[0]
        protocol = Protocol(
            dataset=Path(rows.where).stem,
            fingerprint=test.fingerprint(),
            split="test",
            inputs=self.classifier.inputs,
            track=EXTERNAL,
            seeds=test.seeds,
            limit=None,
        )
        name = first.record.plan.plugin.name
        name = name if len(self.classifier.members) == 1 else f"{name} ensemble of {len(self.classifier.members)}"
        plan = Plan(
            signature=protocol.signature(name, EXTERNAL),
            protocol=protocol,
            plugin=PluginRecord(name=name, version=EXTERNAL, paper="", licence=""),
            preset="",
            config={},
        )
        check = data_check_of("test", test, None)
        total = RejectedRows(rows=rejected, total=len(test) + rejected)
        record = Record(
            command=self.command,
            plugin=name,
            dataset=protocol.dataset,
            **environment("not recorded").model_dump(),
            name=self.folder.name,
            plan=plan,
            data=data_facts(protocol, test, None) | {"warnings": notes[2:]},
            seeds={str(seed): {"seconds": 0.0} for seed in test.seeds},
            started=self.started.isoformat(timespec="seconds"),
            wall_seconds=time.perf_counter() - self.clock,
            device_seconds=0,
            peak_memory_bytes=None,
            data_check=check.model_copy(update={"rejected": total}),
            source=ExternalSource(file=rows.where, sha256=digest, rows=len(test), notes=notes[:2]),
        )
        with exclusive(self.folder, f"--score {self.folder.path}"):
            write_scored(self.folder, record, [test], (), self.clock)

    def _predictions(self, parts: Sequence[Path], where: str, notes: list[str]) -> tuple[ExternalPredictions, int]:
        """Return the predictions of the usable rows, and the number of rejected rows."""
        tasks = self.classifier.tasks
        names = ["id", "language", IMAGE, REJECTED, *(task.name + TRUE for task in tasks)]
        whole = pa.concat_tables([pq.read_table(part, columns=names) for part in parts])
        usable = whole.filter(whole[REJECTED].is_null())
        labels: dict[str, NDArray[Any]] = {}
        for task in tasks:
            labels[task.name], unknown = _indices(usable[task.name + TRUE].to_pylist(), task)
            if unknown:
                shown = ", ".join(f'"{name}" ({count:,})' for name, count in unknown.most_common(SHOWN))
                more = ", ..." if len(unknown) > SHOWN else ""
                rows = sum(unknown.values())
                labels_of = f"{rows:,} row{'' if rows == 1 else 's'} with a label that the model does not know"
                notes.append(f"Not scored in {task.name}: {labels_of}: {shown}{more}")
        if not any((values >= 0).any() for values in labels.values()):
            raise DataError(
                f"--score: no row of {where} has a label that the model knows; compare the column with the classes, "
                f"such as {', '.join(tasks[0].classes[:SHOWN])}. The predictions are written."
            )
        ids, languages = usable["id"].to_pylist(), usable["language"].to_pylist()
        unique = _unique(ids, languages)
        notes += self._seen(unique, where)
        groups = UnionFind()
        for own, image in zip(ids, usable[IMAGE].to_pylist(), strict=True):
            groups.add(f"n{own}", *([f"p{image}"] if image else []))
        columns = {
            "id": pa.array(unique, pa.string()),
            "language": pa.array(languages, pa.string()),
            "cluster": pa.array([ids[groups.root(number)] for number in range(len(ids))], pa.string()),
        }

        def blocks(_: int) -> Iterator[dict[str, NDArray[np.float32]]]:
            for part in parts:
                table = pq.read_table(part, columns=[REJECTED, *(task.name + PROBABILITIES for task in tasks)])
                table = table.filter(table[REJECTED].is_null())
                yield {task.name: _matrix(table, task) for task in tasks}

        members = self.classifier.members
        seeds = (members[0].seed if len(members) == 1 else 0,)
        predictions = ExternalPredictions(
            where, columns, tasks, labels, seeds, (), predicted=lambda _: {}, blocks=blocks
        )
        return predictions, len(whole) - len(usable)

    def _seen(self, ids: Sequence[str], where: str) -> Iterator[str]:
        """Yield a warning for each model that was selected on rows with these ids."""
        for member in self.classifier.members:
            path = member.folder.validation_predictions_file(member.seed)
            if not path.is_file():
                continue
            known = set(pq.read_table(path, columns=["id"])["id"].to_pylist())
            if count := len(known & set(ids)):
                yield (
                    f"{count:,} of {len(ids):,} rows of {where} have ids of the validation split of "
                    f"{member.folder.name}, so the table probably has its training rows, too: a model scores too high "
                    "on rows that it was trained on."
                )


def _label(row: NewRow, column: str | None) -> list[str] | None:
    label = row.parsed.labels.get(column) if column else None
    return None if label is None else [label] if isinstance(label, str) else list(label)


def _indices(labels: Sequence[list[str] | None], task: Task) -> tuple[NDArray[Any], Counter[str]]:
    """Return labels as a predictions file takes them, and the number of rows by label that the model does not know."""
    index: Mapping[str, int] = {name: number for number, name in enumerate(task.classes)}
    unknown: Counter[str] = Counter()
    single = np.full(len(labels), -1, np.int64)
    several = np.full((len(labels) if task.multilabel else 0, len(task.classes)), -1, np.int64)
    for row, names in enumerate(labels):
        if names is None:
            continue
        if strange := next((name for name in names if name not in index), None):
            unknown[strange] += 1
        elif task.multilabel:
            several[row] = 0
            several[row, [index[name] for name in names]] = 1
        elif len(names) == 1:
            single[row] = index[names[0]]
        elif names:
            unknown[" + ".join(names)] += 1
    return (several if task.multilabel else single), unknown


def _unique(ids: Sequence[str], languages: Sequence[str]) -> list[str]:
    """Return unique ids as in training."""
    counts, pairs = Counter(ids), Counter(zip(ids, languages, strict=True))
    return [
        unique_id(own, language, number, counts[own], pairs[own, language])
        for number, (own, language) in enumerate(zip(ids, languages, strict=True))
    ]


def _matrix(table: pa.Table, task: Task) -> NDArray[np.float32]:
    column = table[task.name + PROBABILITIES].combine_chunks()
    return np.asarray(column.flatten(), np.float32).reshape(len(table), len(task.classes))

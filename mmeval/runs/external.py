"""A run folder from predictions that another tool made: checked, scored and reported like a trained run."""

from __future__ import annotations

import datetime as dt
import hashlib
import shlex
import shutil
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from mmeval.api.spec import MetricSpec
from mmeval.console import note
from mmeval.data.check import FEW_ROWS
from mmeval.data.external.classes import Classes
from mmeval.data.external.layout import Reference
from mmeval.data.external.predictions import ExternalPredictions, assemble
from mmeval.data.external.reading import RawPredictions, read_predictions_table
from mmeval.data.table.options import name_of
from mmeval.errors import RunFolderError, UserError
from mmeval.files import sweep
from mmeval.integrity import content_digest
from mmeval.metrics.predictions import SLICE, read_tasks, write_predictions
from mmeval.plugin.manager import Manager
from mmeval.protocol import EXTERNAL, Inputs, Protocol
from mmeval.record import DataCheck, ExternalSource, Plan, PluginRecord, Record, RejectedRows
from mmeval.runs.environment import environment, peak_memory_bytes
from mmeval.runs.folder import RunFolder, State
from mmeval.runs.gallery import write_empty_gallery
from mmeval.runs.hierarchies import hierarchies_of_files
from mmeval.runs.lock import exclusive
from mmeval.runs.manifest import differences, format_differences
from mmeval.runs.request import default_output
from mmeval.runs.scoring import plugin_metrics, write_report, write_scores_of

TABLE = "table"
"""Name of a table in memory in the record."""


@dataclass(frozen=True, kw_only=True)
class ExternalRequest:
    """The predictions that a user wants to be scored."""

    predictions: Path | pa.Table
    """The file, or a table in memory, with the predictions of the test split."""
    output: Path | None = None
    """The run folder; None: a new one in ``runs``."""
    validation: Path | pa.Table | None = None
    """The predictions of the validation split, for thresholds and calibration."""
    name: str = ""
    """The model's name; empty for the name of the file."""
    dataset: str = ""
    """The data set's name; empty for the name of the file."""
    columns: Mapping[str, str] = field(default_factory=dict)
    """Column by role, where the names differ."""
    classes: Classes = ()
    """The classes, in the order of lists of probabilities."""
    language: str = ""
    """The language of all rows of a table without a column of languages."""
    task: str = ""
    """The name of the task of a table without a column of tasks; empty for ``label``, or for the task of ``like``."""
    inputs: Inputs = Inputs.UNKNOWN
    like: Path | None = None
    """A run over the same examples, which the predictions are checked against."""
    encoding: str = ""
    """The encoding of text files; empty for UTF-8."""
    metrics: tuple[str, ...] = ()
    """Metric plugins beside the built-in metrics: names or ``./file.py``."""
    hierarchies: tuple[str, ...] = ()
    """Taxonomy files with the paths of classes, ``FILE`` or ``TASK=FILE``."""
    typed_classes: str = ""
    """``classes`` as typed on the command line, for the record."""

    def command(self) -> str:
        """Return the command line that asks for the same run."""
        words = ["mmeval", "score", _file_of(self.predictions)]
        words += ["--validation", _file_of(self.validation)] if self.validation is not None else []
        columns = ",".join(f"{role}={column}" for role, column in self.columns.items())
        options = {
            "--name": self.name,
            "--dataset": self.dataset,
            "--columns": columns,
            "--classes": self.typed_classes or _classes_text(self.classes),
            "--language": self.language,
            "--task": self.task,
            "--inputs": "" if self.inputs is Inputs.UNKNOWN else self.inputs.value,
            "--like": str(self.like or ""),
            "--encoding": self.encoding,
        }
        words += [word for option, value in options.items() if value for word in (option, value)]
        words += [word for metric in self.metrics for word in ("--metric", metric)]
        words += [word for file in self.hierarchies for word in ("--hierarchy", file)]
        return shlex.join(words)


def score_predictions(request: ExternalRequest, manager: Manager | None = None) -> RunFolder:
    """Score the predictions of another tool and write a run folder; nothing is written if they can't be used.

    A finished run of the same predictions in the folder is left as it is.

    Raises:
        UserError: the predictions can't be used, or the folder holds something else; the message says how to change it.
    """
    started, clock = dt.datetime.now(dt.UTC), time.perf_counter()
    manager = manager or Manager()
    for metric in request.metrics:
        manager.metric(metric)
    metrics = plugin_metrics(manager)
    name = _name(request)
    digest = _digest(request.predictions)
    validation_digest = _digest(request.validation) if request.validation is not None else ""
    if validation_digest == digest:
        raise UserError(
            f"--validation {_file_of(request.validation)} holds the scored predictions themselves; thresholds must be "
            "chosen on other examples."
        )
    notes: list[str] = []
    test, validation, like = _read(request, notes)
    hierarchies = hierarchies_of_files(request.hierarchies, test.tasks)
    protocol = Protocol(
        dataset=like.protocol.dataset if like else request.dataset or _stem(request.predictions),
        fingerprint=like.protocol.fingerprint if like else test.fingerprint(),
        split=like.protocol.split if like else "test",
        inputs=request.inputs,
        track=EXTERNAL,
        seeds=test.seeds,
        limit=like.protocol.limit if like else None,
    )
    plan = Plan(
        signature=protocol.signature(name, EXTERNAL),
        protocol=protocol,
        plugin=PluginRecord(name=name, version=EXTERNAL, paper="", licence=""),
        preset="",
        config={},
    )
    source = ExternalSource(
        file=Path(_file_of(request.predictions)).name,
        sha256=digest,
        rows=len(test) * len(test.seeds) * len(test.tasks),
        validation_file=Path(_file_of(request.validation)).name if request.validation is not None else "",
        validation_sha256=validation_digest,
        like=RunFolder(request.like).name if request.like else "",
        labels_only=list(test.labels_only),
        notes=notes,
    )
    folder = RunFolder(request.output or default_output(plan, started))
    record = Record(
        command=request.command(),
        plugin=name,
        dataset=protocol.dataset,
        metric_plugins=list(request.metrics),
        **environment("not recorded").model_dump(),
        name=folder.name,
        plan=plan,
        data=data_facts(protocol, test, validation) | _citation(request.like),
        seeds={str(seed): {"seconds": 0.0} for seed in test.seeds},
        started=started.isoformat(timespec="seconds"),
        wall_seconds=time.perf_counter() - clock,
        device_seconds=0,
        peak_memory_bytes=None,
        metric_origins={metric.name: metric.origin for metric in metrics},
        metrics=[metric.name for metric in metrics],
        data_check=data_check_of(protocol.split, test, validation),
        hierarchies=hierarchies,
        source=source,
    )
    splits = [test, validation] if validation is not None else [test]
    del test, validation  # so that their memory is free while they are scored
    with exclusive(folder, f"--output {folder.path}"):
        if _is_finished(folder, record):
            return folder
        write_scored(folder, record, splits, metrics, clock)
    manager.after_run(folder)
    return folder


def write_scored(
    folder: RunFolder,
    record: Record,
    splits: list[ExternalPredictions],
    metrics: tuple[MetricSpec, ...],
    clock: float,
) -> None:
    """Write all files of the run, ``run.json`` last; remove a new folder again if a file can't be written.

    Args:
        folder: the run folder, new or unfinished.
        record: its record.
        splits: the predictions of the test and of the validation split; the list is emptied once they are written.
        metrics: metrics beside the built-in ones.
        clock: the time at which the work began.
    """
    new, existed = folder.state is State.EMPTY, folder.path.exists()
    try:
        folder.path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunFolderError(f"--output {folder.path} can't be created: {error.strerror}.") from None
    try:
        folder.write_json(folder.plan_file, record.plan.model_dump(mode="json"))
        _write_splits(folder, splits)
        splits.clear()
        pa.default_memory_pool().release_unused()
        write_empty_gallery(folder.gallery_file)
        write_scores_of(folder, record, metrics)
        spent = {"wall_seconds": time.perf_counter() - clock, "peak_memory_bytes": peak_memory_bytes()}
        record = record.model_copy(update=spent)
        write_report(folder, record)
        folder.finish(record)
    except BaseException:
        if new:
            _remove(folder, existed=existed)
        raise


def _write_splits(folder: RunFolder, splits: list[ExternalPredictions]) -> None:
    for files, predictions in zip((folder.predictions_file, folder.validation_predictions_file), splits, strict=False):
        for seed in predictions.seeds:
            _write_predictions(files(seed), predictions, seed)


def _write_predictions(path: Path, predictions: ExternalPredictions, seed: int) -> None:
    write_predictions(
        path,
        predictions.tasks,
        predictions.columns,
        predictions.labels,
        predictions.blocks(seed),
        predictions.predicted(seed),
    )


def _remove(folder: RunFolder, *, existed: bool) -> None:
    """Remove what was written into a new folder, and the folder itself unless it existed before."""
    shutil.rmtree(folder.path / "predictions", ignore_errors=True)
    for path in (folder.plan_file, folder.scores_file, folder.gallery_file, folder.report_path, folder.readme_file):
        path.unlink(missing_ok=True)
    if not existed:
        shutil.rmtree(folder.path, ignore_errors=True)


def _is_finished(folder: RunFolder, record: Record) -> bool:
    """Return whether the folder holds this run, finished and unchanged.

    Raises:
        RunFolderError: the folder holds something else.
    """
    state = folder.state
    if state is not State.FOREIGN:
        sweep(folder.path, deep=True)  # a killed process may have left temporaries
    if state is State.EMPTY:
        return False
    if state is State.FOREIGN:
        raise RunFolderError(f"--output {folder.path} exists and is not a run folder; name another folder.")
    difference = record.plan.difference(folder.plan() if folder.plan_file.is_file() else folder.record.plan)
    if difference is None and state is State.FINISHED:
        recorded = folder.record
        assert record.source is not None
        if recorded.source is None or (recorded.source.sha256, recorded.source.validation_sha256) != (
            record.source.sha256,
            record.source.validation_sha256,
        ):
            difference = "its predictions are those of another file"
        elif recorded.metrics != record.metrics:
            difference = f"its metrics beside the built-in ones are {', '.join(recorded.metrics) or 'none'}"
        elif recorded.hierarchies != record.hierarchies:
            difference = "its classes have another hierarchy"
        elif changed := differences(folder.path, recorded.files):
            note(f"{folder.path}: {format_differences(changed)}; recreated by this command.")
            folder.reopen(record.plan)
            return False
        else:
            note(f"{folder.path} holds a finished run of these predictions; nothing is computed again.")
            return True
    if difference is not None:
        raise RunFolderError(
            f"--output {folder.path} holds another run ({state.value}): {difference}; name another folder."
        )
    return False


def _read(
    request: ExternalRequest, notes: list[str]
) -> tuple[ExternalPredictions, ExternalPredictions | None, Plan | None]:
    """Read and check the predictions; return those of test and validation split, and the plan of ``like``."""
    like, reference, validation_reference = None, None, None
    if request.like is not None:
        folder = RunFolder(request.like)
        like = folder.record.plan
        if request.dataset and request.dataset != like.protocol.dataset:
            raise UserError(
                f"--dataset {request.dataset}: {folder.path} is of {like.protocol.dataset}; leave --dataset out."
            )
        seed = like.protocol.seeds[0]
        reference = _reference(folder, folder.predictions_file(seed))
        path = folder.validation_predictions_file(seed)
        if request.validation is not None and path.is_file():
            validation_reference = _reference(folder, path)
    task = request.task
    if not task:
        names = list(reference.labels) if reference else []
        task = names[0] if len(names) == 1 else "label"
    required = ["id"] if reference else ["id", "true", *([] if request.language else ["language"])]
    raw = read_predictions_table(request.predictions, request.columns, required, request.encoding)
    raw_validation: RawPredictions | None = None
    if request.validation is not None:
        if validation_reference is None:
            required = ["id", "true", *([] if request.language else ["language"])]
        raw_validation = read_predictions_table(request.validation, request.columns, required, request.encoding)
    test, validation = assemble(
        raw,
        raw_validation,
        task=task,
        language=request.language,
        classes=request.classes,
        reference=reference,
        validation_reference=validation_reference,
        say=lambda text: notes.append(text) if text not in notes else None,
    )
    return test, validation, like


def _reference(folder: RunFolder, path: Path) -> Reference:
    """Return the examples of a finished run, from a predictions file of it."""
    folder.require_unchanged(path)
    tasks = read_tasks(path)
    schema = pq.read_schema(path)
    slices = [name for name in schema.names if name.startswith(SLICE)]
    # A task whose examples have several classes each has lists in its column, and can't be compared.
    names = [task.name for task in tasks if pa.types.is_dictionary(schema.field(task.name).type)]
    columns = ["id", "language", "cluster", *slices, *names]
    table = pq.read_table(path, columns=columns, page_checksum_verification=True)

    def texts(name: str) -> pa.ChunkedArray:
        return table[name].cast(pa.string())

    return Reference(
        name=str(folder.path),
        ids=texts("id"),
        languages=texts("language"),
        clusters=texts("cluster"),
        slices={name.removeprefix(SLICE): texts(name) for name in slices},
        labels={name: texts(name) for name in names},
        classes={task.name: task.classes for task in tasks if task.name in names},
    )


def _name(request: ExternalRequest) -> str:
    """Return the name of the model: as given, or the name of the file.

    Raises:
        UserError: a given name can't stand in a signature.
    """
    for option, value in (("--name", request.name), ("--dataset", request.dataset)):
        if value and ("|" in value or not value.isprintable() or value != value.strip()):
            raise UserError(f"{option} {value!r}: write a name of one line without the sign |.")
    return request.name or _stem(request.predictions)


def _file_of(source: Path | pa.Table | None) -> str:
    return str(source) if isinstance(source, Path) else TABLE


def _stem(source: Path | pa.Table) -> str:
    return name_of(source.name.split(".")[0]) if isinstance(source, Path) else TABLE


def _digest(source: Path | pa.Table) -> str:
    """Return the SHA-256 of a file, or of a table in Arrow's stream format.

    Raises:
        UserError: there is no such file.
    """
    if isinstance(source, Path):
        if source.is_dir():
            raise UserError(f"{source} is a folder, not a file of predictions.")
        try:
            return content_digest(source)
        except FileNotFoundError:
            raise UserError(f"There is no file {source}.") from None
    sink = _Hashing()
    with pa.ipc.new_stream(pa.PythonFile(sink, mode="w"), source.schema) as writer:
        # In one piece, so that the chunks of the table make no difference.
        writer.write_table(source.combine_chunks())
    return sink.sha.hexdigest()


class _Hashing:
    """A file that hashes what is written to it."""

    closed = False

    def __init__(self) -> None:
        self.sha = hashlib.sha256()

    def write(self, data: bytes) -> int:
        self.sha.update(data)
        return len(data)

    def flush(self) -> None:
        """Do nothing: there is no buffer."""


def _classes_text(classes: Classes) -> str:
    names = classes if isinstance(classes, tuple) else tuple(name for of_task in classes.values() for name in of_task)
    return ",".join(names)


def _language_counts(predictions: ExternalPredictions | None) -> Counter[str]:
    if predictions is None:
        return Counter()
    counts = predictions.columns["language"].value_counts()
    return Counter({row["values"]: row["counts"] for row in counts.to_pylist()})


def data_check_of(split: str, test: ExternalPredictions, validation: ExternalPredictions | None) -> DataCheck:
    """Return the counts of the examples of a file of predictions."""
    scored, others = _language_counts(test), _language_counts(validation)
    by_split = {split: scored, **({"validation": others} if validation is not None else {})}
    return DataCheck(
        split=split,
        languages={
            language: {name: counts[language] for name, counts in by_split.items()}
            for language in sorted(set(scored) | set(others))
        },
        classes={task.name: len(task.classes) for task in test.tasks},
        unscored_languages={language: others[language] for language in sorted(set(others) - set(scored))},
        few_rows_languages={language: count for language, count in sorted(scored.items()) if count < FEW_ROWS},
        rejected=RejectedRows(rows=0, total=len(test) + (len(validation) if validation is not None else 0)),
    )


def _citation(like: Path | None) -> dict[str, str]:
    """Return how the examples of another run are cited; nothing without such a run."""
    return {"citation": RunFolder(like).record.data["citation"]} if like is not None else {}


def data_facts(
    protocol: Protocol, test: ExternalPredictions, validation: ExternalPredictions | None
) -> dict[str, object]:
    """Return the facts about the examples of a file of predictions."""
    sizes = {protocol.split: len(test)} | ({"validation": len(validation)} if validation is not None else {})
    missing = {name: (labels.reshape(len(labels), -1) < 0).any(1) for name, labels in test.labels.items()}
    unlabelled = {name: int(np.count_nonzero(rows)) for name, rows in missing.items()}
    return {
        "name": protocol.dataset,
        "summary": "examples of a file of predictions",
        "licence": "not stated",
        "fingerprint": protocol.fingerprint,
        "splits": sizes,
        "unlabelled": {name: count for name, count in unlabelled.items() if count},
        "warnings": [],
    }

"""Prediction on several machines: Ray Data maps the function of one process over parts of a table in Parquet."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa

from mmeval.console import quiet
from mmeval.data.reading.files import PARQUET, table_suffix
from mmeval.engine.device import resolve_device
from mmeval.errors import MissingExtraError, UserError
from mmeval.inference.chunk import ROWS
from mmeval.inference.classifier import Classifier
from mmeval.inference.embeddings import embeddings, only
from mmeval.inference.job import PART_ROWS
from mmeval.inference.member import load_member
from mmeval.inference.results import ResultOptions, result_table
from mmeval.inference.rows import NewRows, RowOptions
from mmeval.runs.folder import RunFolder


class Function(Protocol):
    """The function that every process maps over parts of a table; it is sent to the workers."""

    def __call__(self, classifier: Classifier, rows: NewRows, start: int, stop: int) -> Iterator[pa.Table]:
        """Yield the results of the rows from number ``start`` to the one before ``stop``."""


@dataclass(frozen=True)
class Classify:
    """Predictions as columns."""

    results: ResultOptions
    calibrated: bool = True
    batch_size: int | None = None

    def __call__(self, classifier: Classifier, rows: NewRows, start: int, stop: int) -> Iterator[pa.Table]:
        """Yield a table per chunk."""
        chunks = classifier.classify(
            rows, calibrated=self.calibrated, batch_size=self.batch_size, start=start, stop=stop
        )
        for own in chunks:
            yield result_table(own.chunk, own.probabilities, classifier.tasks, self.results)


@dataclass(frozen=True)
class Embed:
    """Embeddings as columns."""

    batch_size: int | None = None

    def __call__(self, classifier: Classifier, rows: NewRows, start: int, stop: int) -> Iterator[pa.Table]:
        """Yield a table per chunk."""
        member = only(classifier.members)
        for _, table in embeddings(member, rows, batch_size=self.batch_size, start=start, stop=stop):
            yield table


@dataclass(frozen=True)
class RayEngine:
    """Workers of a Ray cluster, each of which loads the models once.

    A running cluster is used if ``RAY_ADDRESS`` names one, or if the caller has initialized Ray; otherwise a local one
    is started. Its machines must see run folder and table under the same paths, and have mmeval and its plugins.
    """

    workers: int | None = None
    """Number of workers; by default one per CPU of the cluster, or per GPU for models on GPUs."""
    plugin: str | None = None
    """The Python file of the model, for a run whose model is a one-file plugin."""

    @classmethod
    def parse(cls, name: str, workers: int | None = None, plugin: Path | None = None) -> RayEngine | None:
        """Return the engine that ``--engine`` names; None for this process.

        Raises:
            UserError: there is no such engine, or ``--workers`` needs another.
            MissingExtraError: Ray is not installed.
        """
        if name == "ray":
            _import()
            return cls(workers, None if plugin is None else str(plugin))
        if name != "process":
            raise UserError(f"--engine {name}: write process or ray.")
        if workers is not None:
            raise UserError("--workers sets the number of Ray's workers; add --engine ray.")
        return None

    def require(self, rows: NewRows) -> None:
        """Check that a table can be read in parts.

        Raises:
            UserError: it can't.
        """
        path = rows.path
        if path is None or table_suffix(rows.tables[0].path) != PARQUET:
            raise UserError(
                f"--engine ray: {rows.where} can only be read from its beginning; write it as Parquet, a file or a "
                "folder of files, whose parts the workers read."
            )

    def tables(
        self,
        function: Function,
        classifier: Classifier,
        rows: NewRows,
        options: RowOptions,
        start: int,
        stop: int | None,
    ) -> Iterator[pa.Table]:
        """Yield the results of the rows from number ``start`` on in their order, in tables of a chunk's size.

        Args:
            function: the function.
            classifier: the models, of which the workers load their own copies.
            rows: the table, as opened in this process.
            options: the options that it was opened with.
            start: number of the first row.
            stop: number of the row behind the last; None for all.

        Raises:
            UserError: a worker fails.
        """
        stop = rows.count() if stop is None else stop
        if stop <= start:
            return
        ray = _import()
        cuda = classifier.members[0].device.type == "cuda"
        setup = {
            "function": function,
            "members": [(str(member.folder.path.absolute()), member.seed) for member in classifier.members],
            "device": "cuda" if cuda else "cpu",
            "plugin": self.plugin,
            "source": str(Path(rows.path or "").absolute()),
            "options": options if options.images is None else replace(options, images=options.images.absolute()),
        }
        spans = [{"start": own, "stop": min(own + PART_ROWS, stop)} for own in range(start, stop, PART_ROWS)]
        with _cluster(ray, self.workers):
            available = int(ray.cluster_resources().get("GPU" if cuda else "CPU", 1))
            workers = max(min(self.workers or available, len(spans)), 1)
            data = ray.data.from_items(spans, override_num_blocks=len(spans)).map_batches(
                _Worker,
                fn_constructor_kwargs=setup,
                batch_size=1,
                batch_format="numpy",
                compute=ray.data.ActorPoolStrategy(size=workers),
                num_gpus=1 if cuda else 0,
            )
            try:
                yield from _chunks(data.iter_batches(batch_size=None, batch_format="pyarrow"), ROWS)
            except Exception as error:
                if (cause := _user_error(error)) is not None:
                    raise cause from None
                raise


class _Worker:
    """A process that loads the models once, and computes parts of the table."""

    def __init__(
        self,
        function: Function,
        members: list[tuple[str, int]],
        device: str,
        plugin: str | None,
        source: str,
        options: RowOptions,
    ) -> None:
        place = resolve_device(device)
        with quiet():
            loaded = [load_member(RunFolder(path), seed, place, plugin) for path, seed in members]
            self._classifier = Classifier(loaded)
            self._rows = self._classifier.rows(source, options)
        self._function = function

    def __call__(self, span: Mapping[str, Any]) -> Iterator[pa.Table]:
        """Yield the results of the rows of a span."""
        for start, stop in zip(span["start"].tolist(), span["stop"].tolist(), strict=True):
            with quiet():
                yield from self._function(self._classifier, self._rows, start, stop)


def _import() -> Any:  # noqa: ANN401 - a module without complete types
    """Return the module ``ray``, which sends no usage statistics.

    Raises:
        MissingExtraError: it is not installed.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # errors of workers are raised here anyway
    try:
        import ray
    except ImportError:
        raise MissingExtraError("--engine ray", "ray", "ray") from None
    import ray.data

    return ray


@contextlib.contextmanager
def _cluster(ray: Any, workers: int | None) -> Iterator[None]:  # noqa: ANN401 - a module without complete types
    """Use the cluster of ``RAY_ADDRESS`` or of the caller; else start a local one, and stop it after the block."""
    started = not ray.is_initialized()
    if started:
        options: dict[str, Any] = {"logging_level": logging.ERROR, "log_to_driver": False, "configure_logging": True}
        if not os.environ.get("RAY_ADDRESS"):
            options |= {"num_cpus": workers, "include_dashboard": False}
        ray.init(**options)
    context = ray.data.DataContext.get_current()
    before = context.execution_options.preserve_order, context.enable_progress_bars
    level = logging.getLogger("ray.data").level
    context.execution_options.preserve_order, context.enable_progress_bars = True, False
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    try:
        yield
    finally:
        context.execution_options.preserve_order, context.enable_progress_bars = before
        logging.getLogger("ray.data").setLevel(level)
        if started:
            ray.shutdown()


def _chunks(tables: Iterator[pa.Table], size: int) -> Iterator[pa.Table]:
    """Cut a stream of tables, which Ray may split and join, into tables of ``size`` rows."""
    held: list[pa.Table] = []
    count = 0
    for table in tables:
        while len(table) >= size - count:
            yield pa.concat_tables([*held, table.slice(0, size - count)])
            table, held, count = table.slice(size - count), [], 0
        if len(table):
            held.append(table)
            count += len(table)
    if held:
        yield pa.concat_tables(held)


def _user_error(error: BaseException | None) -> UserError | None:
    """Return the mistake of the user that a worker's error wraps; None if there is none."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        inner = getattr(error, "cause", None)
        if isinstance(inner, UserError):
            return inner
        if isinstance(error, UserError) and inner is None:
            return error
        error = inner if isinstance(inner, BaseException) else error.__cause__
    return None

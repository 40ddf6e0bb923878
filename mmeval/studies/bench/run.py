"""Running a benchmark: one run after the other; a run that fails does not stop the others."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa

from mmeval.console import note
from mmeval.data.request import DatasetRequest
from mmeval.errors import Stopped, UserError
from mmeval.files import disk_full, write_text
from mmeval.metrics.scores import read_scores, write_scores
from mmeval.plugin.manager import Manager
from mmeval.protocol import Protocol
from mmeval.runs.folder import RunFolder, State
from mmeval.runs.pipeline import run
from mmeval.runs.request import Request
from mmeval.studies.bench.compare import FinishedRun, compare_runs, page_of
from mmeval.studies.bench.entries import Entry, Member, entries_of, parse_plugins, read_members, write_members
from mmeval.studies.bench.table import BenchmarkRow, html, markdown
from mmeval.system_errors import system_error_message


@dataclass(frozen=True)
class Benchmark:
    """The result of a benchmark: a run folder per model and inputs, and one table of all models."""

    path: Path
    """The folder that holds the run folders, ``bench.html``, ``README.md`` and ``scores.parquet``."""
    rows: list[BenchmarkRow]
    """The table, one row per model, best first."""
    failures: dict[str, str]
    """Reasons of failed runs, by the name of the run folder."""
    notes: list[str] = field(default_factory=list)
    """Sentences below the table, such as which models can't be told apart."""

    @property
    def scores(self) -> pa.Table:
        """The scores of all finished runs as one Arrow table."""
        return read_scores(self.scores_file)

    @property
    def report_path(self) -> Path:
        """Path of the Markdown page with the table."""
        return self.path / "README.md"

    @property
    def page_path(self) -> Path:
        """Path of the HTML page: models by languages for every task."""
        return self.path / "bench.html"

    @property
    def scores_file(self) -> Path:
        """Path of the scores of all finished runs."""
        return self.path / "scores.parquet"

    def _repr_html_(self) -> str:
        """Show the table in a notebook."""
        return html(self.rows, self.failures, self.notes)


def bench(
    dataset: str | Path | DatasetRequest,
    plugins: str | Sequence[str] = "all",
    *,
    preset: str | None = None,
    seeds: int = 1,
    baselines: bool = True,
    device: str = "auto",
    limit: int | None = None,
    output: str | Path | None = None,
    source: str | Path | None = None,
    allow_mismatch: bool = False,
    columns: str | Mapping[str, str | Sequence[str]] = "",
    language: str = "",
    images: str | Path | None = None,
    encoding: str = "",
) -> Benchmark:
    """Run many models on one data set and compare them in one table; the same call again continues where it stopped.

    A later call with other plugins and the same ``output`` adds them to the table.

    Args:
        dataset: the data set's name, ``table:PATH``, or the path of a TOML or Python file.
        plugins: ``"all"``, or the names of the models.
        preset: the preset of every model; by default each model's own default preset.
        seeds: number of training seeds; scores are means over them.
        baselines: also train each model on images alone and on texts alone, with the same seeds.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
        limit: examples taken of each split; by default all.
        output: folder of the run folders; by default ``runs/bench-DATASET``.
        source: the archive or folder that the data set is read from.
        allow_mismatch: accept data that differs from its data card.
        columns: tables only: the role of each column, as for ``mmeval.run``.
        language: tables only: the language of every row.
        images: tables only: the folder that image paths start from.
        encoding: tables only: the text encoding; by default UTF-8.

    Raises:
        UserError: a name or option is wrong, or all runs failed.
    """
    request = DatasetRequest.of(
        dataset,
        source=source,
        allow_mismatch=allow_mismatch,
        columns=columns,
        language=language,
        images=images,
        encoding=encoding,
    )
    names = parse_plugins(plugins if isinstance(plugins, str) else ",".join(plugins))
    path = Path(output) if output else default_output(request)
    base = Request(dataset=request, preset=preset, device=device, seeds=seeds, limit=limit)
    words = ["mmeval", "bench", *request.arguments()[1:], "--plugins", ",".join(names)]
    words += ["--preset", preset] if preset else []
    words += ["--seeds", str(seeds)] if seeds != 1 else []
    words += [] if baselines else ["--no-baselines"]
    words += ["--limit", str(limit)] if limit else []
    words += ["--device", device] if device != "auto" else []
    words += ["--output", str(path)] if output else []
    return run_benchmark(entries_of(names, base, path, Manager(), baselines=baselines), path, shlex.join(words))


def default_output(dataset: DatasetRequest) -> Path:
    """Return the default folder: ``runs/bench-DATASET``."""
    return Path("runs") / f"bench-{Path(dataset.name).stem.replace(':', '-')}"


def run_benchmark(entries: Sequence[Entry], output: Path, command: str) -> Benchmark:
    """Do the missing runs, then write ``bench.html``, ``README.md``, ``scores.parquet`` and ``bench.json``.

    Finished runs are not changed, and an unfinished run continues. A plugin whose run on all inputs failed has no
    row, even if its unimodal baselines are done. Finished runs of earlier calls into the same folder stay in the table
    if they follow the same protocol.

    Args:
        entries: the runs.
        output: the folder of the benchmark.
        command: the command line that repeats the benchmark, for its page.

    Raises:
        UserError: all runs failed.
        Stopped: the user pressed Ctrl-C.
    """
    earlier = read_members(output)
    failures: dict[str, str] = {}
    runs: dict[Member, FinishedRun] = {}
    for number, entry in enumerate(entries, 1):
        note(f"[{number} of {len(entries)}] {entry.plugin}, {entry.inputs.value}")
        try:
            # Each run gets its own manager, so that one plugin's registrations don't reach another run.
            folder = run(entry.request, Manager())
            runs[entry.member] = FinishedRun(folder, folder.content())
        except Stopped:
            raise Stopped(
                f"Stopped. {number - 1} of {len(entries)} runs are finished; repeat the command to continue."
            ) from None
        except Exception as error:
            failures[entry.folder.name] = reason = _reason(error)
            note(f"{entry.folder.name} failed: {reason}")
    if not runs:
        raise UserError(f"All runs of the benchmark failed, the first one because: {next(iter(failures.values()))}")
    asked = [entry.member for entry in entries]
    protocol = next(iter(runs.values())).content.record.plan.protocol
    for member in earlier:
        if member not in asked and (kept := _earlier_run(output / member.folder, protocol)):
            runs[member] = kept
    # All runs are recorded, failed ones too: a later call may finish them.
    write_members(output, dict.fromkeys([*earlier, *asked]))
    table = compare_runs(runs)
    failures |= table.failures
    benchmark = Benchmark(output, table.rows, failures, table.notes)
    write_text(benchmark.page_path, page_of(runs, table, failures, command))
    write_text(benchmark.report_path, markdown(table.rows, failures, command, table.notes))
    write_scores(benchmark.scores_file, pa.concat_tables([each.content.scores for each in runs.values()]))
    return benchmark


def _earlier_run(path: Path, protocol: Protocol) -> FinishedRun | None:
    """Return a finished run of an earlier call, or None if there is none or it can't stand in the same table."""
    folder = RunFolder(path)
    if folder.state is not State.FINISHED:
        return None
    try:
        content = folder.content()
    except UserError as error:
        note(f"{path.name} is left out: {error}")
        return None
    other = content.record.plan.protocol
    for name in ("dataset", "fingerprint", "split", "labels", "limit", "seeds"):
        if getattr(other, name) != getattr(protocol, name):
            note(f"{path.name} is left out: its {name} differs; benchmarks of different protocols need two folders.")
            return None
    return FinishedRun(folder, content)


def _reason(error: Exception) -> str:
    """Return the reason of a failed run.

    Raises:
        Exception: the given error, if the disk is full, since the next run would fail too, or if it is a bug.
    """
    if isinstance(error, UserError):
        return str(error)
    if disk_full(error) or (message := system_error_message(error)) is None:
        raise error
    return message

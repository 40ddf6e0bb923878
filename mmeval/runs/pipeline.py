"""The run pipeline: prepare, train, predict, score, report."""

from __future__ import annotations

import datetime as dt
import shlex
import time
from collections.abc import Mapping, Sequence

from mmeval.console import note
from mmeval.data.card import read_card
from mmeval.data.check import data_check, lines, majority_lines
from mmeval.data.examples import Examples
from mmeval.data.open.resolve import open_data
from mmeval.data.request import Dataset
from mmeval.engine.device import device_name, resolve_device
from mmeval.errors import RunFolderError
from mmeval.plugin.manager import Manager
from mmeval.record import Record
from mmeval.runs.efficiency import summarized
from mmeval.runs.environment import environment, peak_memory_bytes, reset_peak_memory
from mmeval.runs.folder import RunFolder
from mmeval.runs.gallery import write_gallery
from mmeval.runs.hierarchies import Hierarchies, hierarchies_of_card, hierarchies_of_files
from mmeval.runs.lock import locked
from mmeval.runs.repeat import Named, request_of, require_same
from mmeval.runs.request import Request, configured, default_output, inputs_of, make_plan
from mmeval.runs.scoring import plugin_metrics, write_report, write_scores_of
from mmeval.runs.train import run_seed


def run(request: Request, manager: Manager | None = None, repeated: Record | None = None) -> RunFolder:
    """Prepare the data, train and predict with each seed, score, and write the report.

    An unfinished run continues with the seeds that are missing; a finished run is left as it is.

    Args:
        request: the run that a user asks for.
        manager: the plugin manager; by default a new one.
        repeated: the record of the run that this one repeats; the plan is compared with it before the work begins.

    Raises:
        UserError: the request can't be met; the message says how to change it.
    """
    started, clock = dt.datetime.now(dt.UTC), time.perf_counter()
    reset_peak_memory()
    manager = manager or Manager()
    spec = manager.model(request.plugin)
    requested_metrics = {metric: manager.metric(metric).name for metric in request.metrics}
    inputs_of(spec, request.inputs)
    preset, config = configured(spec, request)
    metrics, device = plugin_metrics(manager), resolve_device(request.device)
    dataset = open_data(request.dataset, manager)
    store = dataset.store
    from_files = hierarchies_of_files(request.hierarchies, store.tasks)
    recorded = repeated.hierarchies if repeated else {}
    hierarchies = hierarchies_of_card(dataset.spec, store.tasks) | recorded | from_files
    for warning in warnings(dataset):
        note(warning)
    plan = make_plan(request, spec, preset, config, store)
    if repeated is not None:
        require_same(plan, repeated, environment(device_name(device)))
    folder = RunFolder(request.output or default_output(plan, started))
    with locked(folder, plan) as finished_seeds:
        if finished_seeds is None:
            _require_metrics(folder, requested_metrics)
            _require_hierarchies(folder, from_files, request.hierarchies)
            return folder
        check = data_check(store, plan.protocol.split, plan.protocol.limit)
        for line in (*lines(check), *majority_lines(check)):
            note(f"Data check: {line}")
        manager.before_run(plan)
        seeds = {
            str(seed): finished_seeds.get(seed) or run_seed(folder, plan, spec, config, store, seed, str(device))
            for seed in plan.protocol.seeds
        }
        examples = Examples(store, plan.protocol.split, plan.protocol.inputs, plan.protocol.limit)
        write_gallery(folder.gallery_file, folder.predictions_file(plan.protocol.seeds[0]), store.tasks, examples)
        record = Record(
            **request.invocation().model_dump(),
            **environment(device_name(device)).model_dump(),
            name=folder.name,
            plan=plan,
            data=_data_facts(dataset),
            seeds=seeds,
            started=started.isoformat(timespec="seconds"),
            wall_seconds=time.perf_counter() - clock,
            device_seconds=sum(facts["seconds"] for facts in seeds.values()),
            peak_memory_bytes=None,
            metric_origins={metric.name: metric.origin for metric in metrics},
            metrics=[metric.name for metric in metrics],
            hierarchies=hierarchies,
            data_check=check,
            efficiency=summarized(seeds.values()),
            model_citation=spec.citation,
        )
        write_scores_of(folder, record, metrics)
        # Measured after scoring, which takes time and memory too.
        spent = {"wall_seconds": time.perf_counter() - clock, "peak_memory_bytes": peak_memory_bytes()}
        record = record.model_copy(update=spent)
        write_report(folder, record)
        folder.finish(record)
    manager.after_run(folder)
    return folder


def repeat(folder: RunFolder, named: Named, manager: Manager | None = None) -> RunFolder:
    """Repeat a finished run from its record, into another folder.

    Args:
        folder: the finished run.
        named: the device and the folder of the new run, and names that take the place of recorded ones.
        manager: the plugin manager; by default a new one.

    Raises:
        UserError: the run can't be repeated; the message says why.
    """
    manager = manager or Manager()
    return run(request_of(folder, named, manager), manager, repeated=folder.record)


def _require_metrics(folder: RunFolder, requested: Mapping[str, str]) -> None:
    """Check that a finished run has every requested metric, since it isn't scored again.

    Args:
        folder: the finished run.
        requested: name of each metric by what the user typed, a name or the path of a file.

    Raises:
        RunFolderError: a metric is missing; the message names the command that adds it.
    """
    recorded = folder.record.metrics
    for typed, name in requested.items():
        if name not in recorded:
            how = f"run `mmeval score {folder.path} --metric {typed}` to add it"
            raise RunFolderError(f"The finished run {folder.path} lacks the metric {typed}; {how}.")


def _require_hierarchies(folder: RunFolder, requested: Hierarchies, typed: Sequence[str]) -> None:
    """Check that a finished run was scored with every requested hierarchy, since it isn't scored again.

    Args:
        folder: the finished run.
        requested: the paths of the requested files.
        typed: what the user typed.

    Raises:
        RunFolderError: a hierarchy is missing or differs; the message names the command that adds it.
    """
    recorded = folder.record.hierarchies
    if any(recorded.get(task) != paths for task, paths in requested.items()):
        options = shlex.join(word for file in typed for word in ("--hierarchy", file))
        raise RunFolderError(
            f"The finished run {folder.path} was not scored with this hierarchy; run `mmeval score {folder.path} "
            f"{options}` to add it."
        )


def warnings(data: Dataset) -> list[str]:
    """Return the warnings about a data set that are shown beside its scores."""
    spec, store = data.spec, data.store
    result = []
    if store.attributes:
        names = " and ".join(store.attributes)
        result.append(f"Models of {store.name} see {names}, also in testing: {spec.variants.get(spec.variant, '')}")
    if not store.released:
        count = len(store.info["differences"])
        differences = f"{count} difference{'s' if count != 1 else ''} from its card"
        result.append(f"{store.name} is not the published data: it has {differences}.")
    return result


def _data_facts(data: Dataset) -> dict[str, object]:
    spec, store = data.spec, data.store
    card = read_card(spec.card, spec.variant) if spec.card is not None and spec.card.is_file() else None
    return {
        "name": store.name,
        "summary": spec.summary,
        "fingerprint": store.fingerprint,
        "identity": store.info["identity"],
        "splits": store.split_sizes,
        "images": store.image_count,
        "licence": data.licence,
        "credit": spec.credit,
        "citation": data.citation,
        "warnings": warnings(data),
        "description": card.description if card else "",
        "defects": list(card.defects) if card else [],
    }

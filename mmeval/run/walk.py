"""The whole way: from names to a finished run folder."""

from __future__ import annotations

import datetime as dt
import shlex
import time
from dataclasses import dataclass
from pathlib import Path

from mmeval.data.card import read_card
from mmeval.data.examples import Examples
from mmeval.data.prepare import prepare
from mmeval.data.store import Store
from mmeval.engine.device import device_name, resolve_device
from mmeval.errors import PluginError, UserError
from mmeval.plugin.config import ModelConfig, configure
from mmeval.plugin.manager import Manager
from mmeval.plugin.spec import DatasetSpec, ModelSpec
from mmeval.protocol import Inputs, Protocol
from mmeval.record import Plan, PluginRecord, Record
from mmeval.run import environment
from mmeval.run.claim import claimed
from mmeval.run.folder import RunFolder
from mmeval.run.gallery import write_gallery
from mmeval.run.seed import run_seed
from mmeval.run.views import plugin_metrics, write_report, write_scores_of


@dataclass(frozen=True)
class Request:
    """What a user asks for, as typed."""

    plugin: str = "embracenet"
    dataset: str = "emoji14"
    preset: str | None = None
    changes: tuple[str, ...] = ()
    inputs: Inputs = Inputs.IMAGE_TEXT
    device: str = "auto"
    seed: int = 0
    seeds: int = 1
    limit: int | None = None
    output: Path | None = None

    def command(self) -> str:
        """The command line that asks for the same."""
        words = ["mmeval", "run", "--plugin", self.plugin, "--dataset", self.dataset]
        words += ["--preset", self.preset] if self.preset else []
        words += [word for change in self.changes for word in ("--set", change)]
        words += ["--inputs", self.inputs.value] if self.inputs is not Inputs.IMAGE_TEXT else []
        words += ["--seed", str(self.seed)] if self.seed else []
        words += ["--seeds", str(self.seeds)] if self.seeds != 1 else []
        words += ["--limit", str(self.limit)] if self.limit else []
        words += ["--device", self.device] if self.device != "auto" else []
        return shlex.join(words)


def run(request: Request, manager: Manager | None = None) -> RunFolder:
    """Do what is asked: prepare, fit, predict, score, report.

    A run that was cut short goes on with the seeds that are missing; a finished one is left as it is.

    Raises:
        UserError: anything that the user can mend.
    """
    started, clock = dt.datetime.now(dt.UTC), time.perf_counter()
    manager = manager or Manager()
    spec, dataset = manager.model(request.plugin), manager.dataset(request.dataset)
    _check_inputs(spec, request.inputs)
    preset, config = _configured(spec, request)
    metrics, device = plugin_metrics(manager), resolve_device(request.device)
    store = prepare(dataset)
    plan = _plan(request, spec, preset, config, store)
    folder = RunFolder(request.output or _default_output(request, spec, started))
    with claimed(folder, plan) as work:
        if not work:
            return folder
        manager.before_run(plan)
        facts = {
            str(seed): folder.facts(seed) or run_seed(folder, plan, spec, config, store, seed, str(device))
            for seed in plan.protocol.seeds
        }
        examples = Examples(store, plan.protocol.split, plan.protocol.inputs, plan.protocol.limit)
        write_gallery(folder.gallery_file, folder.predictions_file(plan.protocol.seeds[0]), store.tasks[0], examples)
        record = Record(
            name=folder.name,
            plan=plan,
            data=_data(store, dataset),
            seeds=facts,
            versions=environment.versions(),
            device=device_name(device),
            started=started.isoformat(timespec="seconds"),
            wall_seconds=time.perf_counter() - clock,
            device_seconds=sum(one["seconds"] for one in facts.values()),
            peak_memory_bytes=None,
            git_commit=environment.git_commit(),
            command=request.command(),
            plugin=request.plugin,
            metrics=[metric.name for metric in metrics],
        )
        write_scores_of(folder, record, metrics)
        spent = {"wall_seconds": time.perf_counter() - clock, "peak_memory_bytes": environment.peak_memory_bytes()}
        record = record.model_copy(update=spent)
        write_report(folder, record)
        folder.finish(record)
    manager.after_run(folder)
    return folder


def _check_inputs(spec: ModelSpec, inputs: Inputs) -> None:
    wanted = inputs.value.split("+")
    if not set(wanted) <= set(spec.inputs):
        raise UserError(
            f"--inputs {inputs.value}: {spec.name} uses {' + '.join(spec.inputs)} only; say so by --inputs."
        )


def _configured(spec: ModelSpec, request: Request) -> tuple[str, ModelConfig]:
    preset = request.preset or spec.default_preset
    if preset not in spec.presets:
        has = ", ".join(sorted(spec.presets))
        raise PluginError(f'--preset {preset}: {spec.name} has no preset "{preset}"; it has {has}.')
    return preset, configure(spec.config, spec.name, spec.presets[preset], request.changes)


def _plan(request: Request, spec: ModelSpec, preset: str, config: ModelConfig, store: Store) -> Plan:
    protocol = Protocol(
        dataset=store.name,
        fingerprint=store.fingerprint,
        inputs=request.inputs,
        track="paper" if preset == "paper" else "standard-1",
        seeds=tuple(range(request.seed, request.seed + request.seeds)),
        limit=request.limit,
    )
    return Plan(
        signature=protocol.signature(spec.name, spec.version),
        protocol=protocol,
        plugin=PluginRecord(name=spec.name, version=spec.version, paper=spec.paper, licence=spec.licence),
        preset=preset,
        config=config.model_dump(mode="json"),
    )


def _default_output(request: Request, spec: ModelSpec, started: dt.datetime) -> Path:
    inputs = "" if request.inputs is Inputs.IMAGE_TEXT else f"-{request.inputs.value}"
    name = f"{request.dataset}-{spec.name}{inputs}-{started:%Y%m%d-%H%M%S}"
    names = (name, *(f"{name}-{number}" for number in range(2, 1000)))
    return next(path for path in (Path("runs") / one for one in names) if not path.exists())


def _data(store: Store, dataset: DatasetSpec) -> dict[str, object]:
    return {
        "name": store.name,
        "summary": dataset.summary,
        "fingerprint": store.fingerprint,
        "identity": store.info["identity"],
        "splits": store.split_sizes,
        "images": store.image_count,
        "licence": read_card(dataset.card).licence,
        "credit": dataset.credit,
    }

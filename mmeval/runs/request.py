"""What a user asks for, and the plan that follows from it."""

from __future__ import annotations

import datetime as dt
import shlex
from dataclasses import dataclass
from pathlib import Path

from mmeval.data.request import Asked
from mmeval.data.store import Store
from mmeval.errors import PluginError, UserError
from mmeval.api.config import ModelConfig
from mmeval.plugin.configure import configure
from mmeval.api.spec import ModelSpec
from mmeval.protocol import LARGEST_SEED, MOST_SEEDS, Inputs, Protocol
from mmeval.record import Plan, PluginRecord


@dataclass(frozen=True)
class Request:
    """What a user asks for, as typed."""

    plugin: str = "embracenet"
    dataset: str = "emoji14"
    preset: str | None = None
    changes: tuple[str, ...] = ()
    inputs: Inputs | None = None
    """None: all that the model uses."""
    device: str = "auto"
    seed: int = 0
    seeds: int = 1
    limit: int | None = None
    output: Path | None = None
    metrics: tuple[str, ...] = ()
    source: Path | None = None
    released: bool = True
    columns: str = ""
    language: str = ""
    images: Path | None = None
    encoding: str = ""

    @property
    def data(self) -> Asked:
        """The data set that is asked for."""
        return Asked(self.dataset, self.source, self.released, self.columns, self.language, self.images, self.encoding)

    def command(self) -> str:
        """The command line that asks for the same."""
        words = ["mmeval", "run", "--plugin", self.plugin, *self.data.words()]
        words += ["--preset", self.preset] if self.preset else []
        words += [word for change in self.changes for word in ("--set", change)]
        words += ["--inputs", self.inputs.value] if self.inputs else []
        words += [word for metric in self.metrics for word in ("--metric", metric)]
        words += ["--seed", str(self.seed)] if self.seed else []
        words += ["--seeds", str(self.seeds)] if self.seeds != 1 else []
        words += ["--limit", str(self.limit)] if self.limit else []
        words += ["--device", self.device] if self.device != "auto" else []
        return shlex.join(words)


def inputs_of(spec: ModelSpec, asked: Inputs | None) -> Inputs:
    """What the model is shown: what was asked for, else all that it uses.

    Raises:
        UserError: the model doesn't use what was asked for.
    """
    if asked is None:
        return Inputs("+".join(sorted(set(spec.inputs))))
    if not set(asked.value.split("+")) <= set(spec.inputs):
        raise UserError(f"--inputs {asked.value}: {spec.name} uses {' + '.join(spec.inputs)} only; leave --inputs out.")
    return asked


def configured(spec: ModelSpec, request: Request) -> tuple[str, ModelConfig]:
    """Name of the preset, and the config that follows from it and from ``--set``."""
    preset = request.preset or spec.default_preset
    if preset not in spec.presets:
        has = ", ".join(sorted(spec.presets))
        raise PluginError(f'--preset {preset}: {spec.name} has no preset "{preset}"; it has {has}.')
    return preset, configure(spec.config, spec.name, spec.presets[preset], request.changes)


def plan(request: Request, spec: ModelSpec, preset: str, config: ModelConfig, store: Store) -> Plan:
    """What is to be done, in full.

    Raises:
        UserError: more seeds, or larger ones, than there may be.
    """
    if request.seeds > MOST_SEEDS:
        raise UserError(f"--seeds {request.seeds}: at most {MOST_SEEDS} training seeds make a run.")
    if request.seed + request.seeds - 1 > LARGEST_SEED:
        raise UserError(f"--seed {request.seed}: training seeds go from 0 to {LARGEST_SEED}.")
    protocol = Protocol(
        dataset=store.name,
        fingerprint=store.fingerprint,
        inputs=inputs_of(spec, request.inputs),
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


def default_output(plan: Plan, started: dt.datetime) -> Path:
    """A folder of its own in ``runs``."""
    inputs = "" if plan.protocol.inputs is Inputs.IMAGE_TEXT else f"-{plan.protocol.inputs.value}"
    name = f"{plan.protocol.dataset.replace(':', '-')}-{plan.plugin.name}{inputs}-{started:%Y%m%d-%H%M%S}"
    names = (name, *(f"{name}-{number}" for number in range(2, 1000)))
    return next(path for path in (Path("runs") / one for one in names) if not path.exists())

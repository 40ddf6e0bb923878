"""The request for a run, and the plan that follows from it."""

from __future__ import annotations

import datetime as dt
import json
import re
import shlex
from dataclasses import dataclass, field
from pathlib import Path

from mmeval.api.config import ModelConfig
from mmeval.api.spec import ModelSpec
from mmeval.data.request import DatasetRequest
from mmeval.data.store import Store
from mmeval.errors import PluginError, UserError
from mmeval.plugin.configure import configure
from mmeval.protocol import LARGEST_SEED, MOST_SEEDS, Inputs, Protocol
from mmeval.record import DatasetOptions, Invocation, Plan, PluginRecord


@dataclass(frozen=True, kw_only=True)
class Request:
    """The run that a user asks for, before any plugin or data set is loaded."""

    plugin: str = "embracenet"
    """The model: a plugin's name or ``./file.py``."""
    dataset: DatasetRequest = field(default_factory=lambda: DatasetRequest("emoji14"))
    preset: str | None = None
    """None: the plugin's default preset."""
    changes: tuple[str, ...] = ()
    """Option changes as typed after ``--set``: ``"width=256"``."""
    inputs: Inputs | None = None
    """None: all inputs that the model uses."""
    device: str = "auto"
    seed: int = 0
    """The first training seed."""
    seeds: int = 1
    """Number of training seeds."""
    limit: int | None = None
    """Examples taken of each split; None: all."""
    output: Path | None = None
    """The run folder; None: a new one in ``runs``."""
    metrics: tuple[str, ...] = ()
    """Metric plugins beside the built-in metrics: names or ``./file.py``."""
    hierarchies: tuple[str, ...] = ()
    """Taxonomy files: ``FILE`` or ``TASK=FILE``."""

    def invocation(self) -> Invocation:
        """Return the part of this request that the record keeps: the command and the names as typed."""
        return Invocation(
            command=self.command(),
            plugin=self.plugin,
            dataset=self.dataset.name,
            dataset_options=DatasetOptions(
                source=None if self.dataset.source is None else str(self.dataset.source),
                allow_mismatch=self.dataset.allow_mismatch,
                columns=self.dataset.columns,
                language=self.dataset.language,
                images=None if self.dataset.images is None else str(self.dataset.images),
                encoding=self.dataset.encoding,
            ),
            metric_plugins=list(self.metrics),
        )

    def command(self) -> str:
        """Return the command line that asks for the same run."""
        words = ["mmeval", "run", "--plugin", self.plugin, *self.dataset.arguments()]
        words += ["--preset", self.preset] if self.preset else []
        words += [word for change in self.changes for word in ("--set", change)]
        words += ["--inputs", self.inputs.value] if self.inputs else []
        words += [word for metric in self.metrics for word in ("--metric", metric)]
        words += [word for file in self.hierarchies for word in ("--hierarchy", file)]
        words += ["--seed", str(self.seed)] if self.seed else []
        words += ["--seeds", str(self.seeds)] if self.seeds != 1 else []
        words += ["--limit", str(self.limit)] if self.limit else []
        words += ["--device", self.device] if self.device != "auto" else []
        return shlex.join(words)


def set_text(value: object) -> str:
    """Return the value of an option as text that ``--set`` reads back."""
    if value is None:
        return "none"
    return value if isinstance(value, str) else json.dumps(value, default=str)


def parse_inputs(text: str) -> Inputs:
    """Return the inputs that ``--inputs`` names.

    Raises:
        UserError: it is not ``image+text``, ``image`` or ``text``.
    """
    if text == Inputs.UNKNOWN or text not in list(Inputs):
        raise UserError(f"--inputs {text}: write image+text, image or text.")
    return Inputs(text)


def inputs_of(spec: ModelSpec, requested: Inputs | None) -> Inputs:
    """Return the inputs that the model is shown: the requested ones, or else all that it uses.

    Raises:
        UserError: the model doesn't use a requested input.
    """
    if requested is None:
        return Inputs("+".join(sorted(set(spec.inputs))))
    if not set(requested.value.split("+")) <= set(spec.inputs):
        uses = " + ".join(spec.inputs)
        raise UserError(f"--inputs {requested.value}: {spec.name} uses {uses} only; leave --inputs out.")
    return requested


def configured(spec: ModelSpec, request: Request) -> tuple[str, ModelConfig]:
    """Return the name of the preset, and the model's config from the preset and ``--set``.

    Raises:
        PluginError: the model has no such preset.
        UserError: an option has no such name or value.
    """
    preset = request.preset or spec.default_preset
    if preset not in spec.presets:
        has = ", ".join(sorted(spec.presets))
        raise PluginError(f'--preset {preset}: {spec.name} has no preset "{preset}"; it has {has}.')
    return preset, configure(spec.config, spec.name, spec.presets[preset], request.changes)


def make_plan(request: Request, spec: ModelSpec, preset: str, config: ModelConfig, store: Store) -> Plan:
    """Return the complete plan of a run.

    Raises:
        UserError: there are too many training seeds, or a seed is too large.
    """
    if request.seeds > MOST_SEEDS:
        raise UserError(f"--seeds {request.seeds}: a run has at most {MOST_SEEDS} training seeds.")
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
        plugin=PluginRecord.model_validate(spec),
        preset=preset,
        config=config.model_dump(mode="json"),
    )


def default_output(plan: Plan, started: dt.datetime) -> Path:
    """Return a new folder in ``runs``, named after data set, model, inputs and time."""
    usual = plan.protocol.inputs in (Inputs.IMAGE_TEXT, Inputs.UNKNOWN)
    inputs = "" if usual else f"-{plan.protocol.inputs.value}"
    # Names that are not a plugin's may have any character: Qwen/Qwen3-VL-8B.
    words = re.sub(r"[^\w.+-]+", "-", f"{plan.protocol.dataset}-{plan.plugin.name}")
    name = f"{words}{inputs}-{started:%Y%m%d-%H%M%S}"
    names = (name, *(f"{name}-{number}" for number in range(2, 1000)))
    return next(path for path in (Path("runs") / candidate for candidate in names) if not path.exists())

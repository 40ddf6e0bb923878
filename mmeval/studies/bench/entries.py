"""The runs of a benchmark."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from mmeval.errors import UserError
from mmeval.plugin.listing import installed
from mmeval.plugin.manager import Manager
from mmeval.protocol import Inputs
from mmeval.runs.request import Request


@dataclass(frozen=True)
class Entry:
    """One run of a benchmark: a plugin with certain inputs."""

    plugin: str
    """The plugin as typed: a name or the path of a Python file."""
    inputs: Inputs
    request: Request
    is_baseline: bool = False
    """Whether this is a unimodal baseline: a model that uses image and text, trained on one of them alone."""

    @property
    def folder(self) -> Path:
        """The run folder."""
        assert self.request.output is not None
        return self.request.output


def parse_plugins(text: str) -> list[str]:
    """Return the plugins that ``--plugins`` names: ``all``, or names with commas between them.

    Raises:
        UserError: there is no name, or a name occurs twice.
    """
    if text == "all":
        return [plugin.name for plugin in installed("model")]
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names or len(set(names)) < len(names):
        raise UserError(f'--plugins "{text}": write all, or each name once with commas between them.')
    return names


def entries_of(
    plugins: Sequence[str], base: Request, output: Path, manager: Manager, *, baselines: bool
) -> list[Entry]:
    """Return the runs: each plugin on all its inputs and, with ``baselines``, its unimodal baselines with one seed.

    Raises:
        UserError: a plugin can't be loaded.
    """
    entries = []
    for plugin in plugins:
        spec = manager.model(plugin)
        used = [Inputs("+".join(sorted(spec.inputs)))]
        if baselines and len(spec.inputs) > 1:
            used += [Inputs.IMAGE, Inputs.TEXT]
        for inputs in used:
            folder = output / f"{Path(plugin).stem}-{inputs.value.replace('+', '-')}"
            # One seed is enough for a unimodal baseline.
            seeds = base.seeds if inputs is used[0] else 1
            request = replace(base, plugin=plugin, inputs=inputs, output=folder, seeds=seeds)
            entries.append(Entry(plugin, inputs, request, is_baseline=inputs is not used[0]))
    return entries

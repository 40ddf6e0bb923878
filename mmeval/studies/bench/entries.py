"""The runs of a benchmark: those that a call asks for, and those that earlier calls left in its folder."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from mmeval.errors import UserError
from mmeval.files import write_text
from mmeval.plugin.listing import installed
from mmeval.plugin.manager import Manager
from mmeval.protocol import Inputs
from mmeval.runs.request import Request

RUNS_FILE = "bench.json"
"""The file with the runs of all calls of a benchmark."""


@dataclass(frozen=True)
class Member:
    """A run folder of a benchmark: a plugin with certain inputs."""

    plugin: str
    """The name of a plugin, or the name of its file without the suffix."""
    inputs: Inputs
    is_baseline: bool = False
    """Whether this is a unimodal baseline: a model that uses image and text, trained on one of them alone."""

    @property
    def folder(self) -> str:
        """The name of the run folder."""
        return f"{self.plugin}-{self.inputs.value.replace('+', '-')}"


@dataclass(frozen=True)
class Entry:
    """One run that a call of a benchmark asks for."""

    plugin: str
    """The plugin as typed: a name or the path of a Python file."""
    inputs: Inputs
    request: Request
    is_baseline: bool = False
    """Whether this is a unimodal baseline."""

    @property
    def folder(self) -> Path:
        """The run folder."""
        assert self.request.output is not None
        return self.request.output

    @property
    def member(self) -> Member:
        """The run folder of this run."""
        return Member(Path(self.plugin).stem, self.inputs, self.is_baseline)


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
    """Return the runs: each plugin on all its inputs and, with ``baselines``, its unimodal baselines.

    Baselines get as many training seeds as models: a mean over several seeds against a single one is no fair
    comparison.

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
            member = Member(Path(plugin).stem, inputs, is_baseline=inputs is not used[0])
            request = replace(base, plugin=plugin, inputs=inputs, output=output / member.folder)
            entries.append(Entry(plugin, inputs, request, is_baseline=member.is_baseline))
    return entries


def read_members(output: Path) -> list[Member]:
    """Return the runs that earlier calls left in the folder of a benchmark.

    Raises:
        UserError: ``bench.json`` can't be used.
    """
    path = output / RUNS_FILE
    if not path.is_file():
        return []
    try:
        runs = json.loads(path.read_bytes())["runs"]
        members = [Member(str(run["plugin"]), Inputs(run["inputs"]), bool(run["baseline"])) for run in runs]
        if any(Path(member.folder).name != member.folder for member in members):
            raise ValueError("a name is no name of a folder")
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        raise UserError(
            f"{path} can't be used: it was changed, or written by another version of mmeval; delete it, and name all "
            "plugins of the benchmark in one call."
        ) from None
    return members


def write_members(output: Path, members: Iterable[Member]) -> None:
    """Write ``bench.json``."""
    runs = [
        {"plugin": member.plugin, "inputs": member.inputs.value, "baseline": member.is_baseline} for member in members
    ]
    write_text(output / RUNS_FILE, json.dumps({"runs": runs}, indent=1, ensure_ascii=False) + "\n")

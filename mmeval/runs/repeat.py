"""Repeating a finished run: the request that its record describes, and the check that it is the same run."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmeval.api.config import options
from mmeval.api.spec import ModelSpec
from mmeval.console import note
from mmeval.data.request import DatasetRequest
from mmeval.errors import PluginError, RunFolderError, UserError
from mmeval.plugin.configure import configure
from mmeval.plugin.manager import Manager
from mmeval.plugin.onefile import is_file
from mmeval.protocol import EXTERNAL
from mmeval.record import Environment, Plan, Record
from mmeval.runs.folder import RunFolder
from mmeval.runs.request import Request, inputs_of, set_text


@dataclass(frozen=True, kw_only=True)
class Named:
    """Names that the user of ``--from`` gives; they take the place of those in the record.

    Python files must be named here: nothing that is read from a file makes code run.
    """

    plugin: str | None = None
    """The model's Python file."""
    dataset: str | None = None
    """The data set's Python file, or a table that has moved."""
    metrics: tuple[str, ...] = ()
    """Python files of metrics."""
    source: Path | None = None
    """The archive or folder of the data set, if it has moved."""
    images: Path | None = None
    """The folder of a table's images, if it has moved."""
    device: str | None = None
    """By default the CPU for a run on the CPU, else ``auto``."""
    output: Path | None = None
    """By default a new folder in ``runs``."""


@dataclass
class _Missing:
    """Python files that only the record names, as the options that would name them."""

    options: list[str] = field(default_factory=list)

    def chosen(self, option: str, recorded: str, named: str | None, folder: RunFolder) -> str:
        """Return the name to use for a plugin; a recorded file is not used unless the user names a file.

        Raises:
            UserError: the user names something else than the record.
        """
        if named is None and is_file(recorded):
            self.options.append(f"{option} {recorded}")
            return recorded
        if named is not None and named != recorded and not (is_file(named) and is_file(recorded)):
            raise UserError(
                f"{option} {named}: the run {folder.path} has {recorded}; leave {option} out, or start a run without "
                "--from."
            )
        return named or recorded

    def refuse(self, folder: RunFolder) -> None:
        """Raise a PluginError if there are such files."""
        if self.options:
            many = len(self.options) > 1
            raise PluginError(
                f"The run {folder.path} used the file{'s' if many else ''} "
                f"{' and '.join(option.partition(' ')[2] for option in self.options)}, and mmeval runs no file that "
                f"only a run folder names; if you trust {'them' if many else 'it'}, add {' '.join(self.options)}."
            )


def request_of(folder: RunFolder, named: Named, manager: Manager) -> Request:
    """Return the request that repeats a finished run; the only code that it loads is the model's plugin.

    Args:
        folder: the run to repeat.
        named: what the user names.
        manager: the manager that will do the run.

    Raises:
        UserError: a Python file is not named, ``named`` contradicts the record, or the run can't be repeated by a
            command.
    """
    record = folder.record
    protocol = record.plan.protocol
    if protocol.track == EXTERNAL:
        raise UserError(
            f"--from {folder.path}: another tool made its predictions, so mmeval can't repeat it; score its file again."
        )
    if named.output is not None and named.output.absolute() == folder.path.absolute():
        raise UserError(f"--output {named.output} holds the run that --from repeats; name another folder.")
    missing = _Missing()
    plugin = missing.chosen("--plugin", record.plugin, named.plugin, folder)
    dataset = _dataset(folder, record, named, missing)
    metrics = tuple(_metrics(folder, record, named, missing))
    missing.refuse(folder)
    seeds = protocol.seeds
    if seeds != tuple(range(seeds[0], seeds[0] + len(seeds))):
        raise UserError(
            f"--from {folder.path}: its seeds are {', '.join(map(str, seeds))}; only consecutive ones can be repeated."
        )
    spec = manager.model(plugin)
    inputs = None if protocol.inputs is inputs_of(spec, None) else protocol.inputs
    return Request(
        plugin=plugin,
        dataset=dataset,
        preset=record.plan.preset,
        changes=tuple(_changes(folder, record.plan, spec)),
        inputs=inputs,
        device=named.device or ("cpu" if record.device.startswith("CPU") else "auto"),
        seed=seeds[0],
        seeds=len(seeds),
        limit=protocol.limit,
        output=named.output,
        metrics=metrics,
    )


def dataset_of(folder: RunFolder, named: Named) -> DatasetRequest:
    """Return the request for the data set of a finished run.

    Raises:
        UserError: it is a Python file that the user has not named, or the record does not tell its options.
    """
    missing = _Missing()
    request = _dataset(folder, folder.record, named, missing)
    missing.refuse(folder)
    return request


def _dataset(folder: RunFolder, record: Record, named: Named, missing: _Missing) -> DatasetRequest:
    recorded = DatasetRequest(record.dataset or record.plan.protocol.dataset)
    if recorded.is_table:
        if named.dataset is not None and not DatasetRequest(named.dataset).is_table:
            raise UserError(
                f"--dataset {named.dataset}: the run {folder.path} has {recorded.name}; name that table, or leave "
                "--dataset out."
            )
        name = named.dataset or recorded.name
    else:
        name = missing.chosen("--dataset", recorded.name, named.dataset, folder)
    kept = record.dataset_options
    if kept is None:
        # An older version recorded only the command.
        if option := re.search(r" --(source|allow-mismatch|columns|language|images|encoding)\b", record.command):
            raise UserError(
                f"--from {folder.path}: an older version of mmeval wrote this run, which did not record{option[0]}; "
                f"repeat its command: {record.command}"
            )
        return DatasetRequest(name, source=named.source, images=named.images)
    return DatasetRequest(
        name,
        source=named.source or _path(kept.source),
        allow_mismatch=kept.allow_mismatch,
        columns=kept.columns,
        language=kept.language,
        images=named.images or _path(kept.images),
        encoding=kept.encoding,
    )


def _path(recorded: str | None) -> Path | None:
    return None if recorded is None else Path(recorded)


def _metrics(folder: RunFolder, record: Record, named: Named, missing: _Missing) -> Iterator[str]:
    """Yield the recorded metrics, with the files that the user names in place of recorded files of the same name."""
    left = list(named.metrics)
    for recorded in record.metric_plugins:
        same = [name for name in left if name == recorded or (is_file(name) and Path(name).name == Path(recorded).name)]
        own = same[0] if same else None
        if own is not None:
            left.remove(own)
        yield missing.chosen("--metric", recorded, own, folder)
    if left:
        raise UserError(f"--metric {left[0]}: the run {folder.path} was not scored with it; add it by `mmeval score`.")


def _changes(folder: RunFolder, plan: Plan, spec: ModelSpec) -> Iterator[str]:
    """Yield the options that differ from their preset, in the form of ``--set``.

    Raises:
        UserError: the plugin has lost the preset or an option.
    """
    advice = f"the plugin's version is {spec.version}, that of the run is {plan.plugin.version}"
    if plan.preset not in spec.presets:
        raise UserError(f'--from {folder.path}: {spec.name} has no preset "{plan.preset}" any more; {advice}.')
    preset = configure(spec.config, spec.name, spec.presets[plan.preset])
    now = preset.model_dump(mode="json")
    names = [option.name for option in options(preset)]
    for name in names:
        try:
            recorded = _value(plan.config, name)
        except KeyError:
            note(f"{spec.name} has a new option {name}, which {folder.path} did not have; {advice}.")
            continue
        if recorded != _value(now, name):
            yield f"{name}={set_text(recorded)}"
    for name in _leaves(plan.config, names):
        raise UserError(f"--from {folder.path}: {spec.name} has no option {name} any more; {advice}.")


def _value(config: Mapping[str, Any], name: str) -> Any:  # noqa: ANN401 - any option
    """Return the option with a dotted name.

    Raises:
        KeyError: there is none.
    """
    value: Any = config
    for part in name.split("."):
        if not isinstance(value, Mapping):
            raise KeyError(name)
        value = value[part]
    return value


def _leaves(config: Mapping[str, Any], known: list[str], prefix: str = "") -> Iterator[str]:
    """Yield the dotted names of recorded options that are not ``known``."""
    for key, value in config.items():
        name = f"{prefix}{key}"
        if name in known:
            continue
        if isinstance(value, Mapping) and any(other.startswith(f"{name}.") for other in known):
            yield from _leaves(value, known, f"{name}.")
        else:
            yield name


def require_same(plan: Plan, record: Record, environment: Environment) -> None:
    """Check that a plan repeats a recorded run; print a note about versions and devices that differ.

    Raises:
        RunFolderError: the data, an option, or another part of the protocol differs.
    """
    before = record.plan
    if plan.protocol.dataset != before.protocol.dataset or plan.protocol.fingerprint != before.protocol.fingerprint:
        now, then = (f"{each.dataset} {each.fingerprint[:8]}" for each in (plan.protocol, before.protocol))
        raise RunFolderError(
            f"The data set has changed since the run {record.name}: it is {now} now and was {then}; only the same data "
            "can repeat the run."
        )
    if plan.plugin.name != before.plugin.name:
        raise RunFolderError(
            f"The model is {plan.plugin.name}, but the run {record.name} is of {before.plugin.name}; name its file."
        )
    # Options that a newer version of the plugin added were not recorded.
    config = _merged(plan.config, before.config)
    expected = before.model_copy(update={"signature": plan.signature, "plugin": plan.plugin, "config": config})
    if difference := expected.difference(plan):
        raise RunFolderError(f"The run {record.name} can't be repeated: {difference}.")
    if plan.plugin.version != before.plugin.version:
        versions = f"version {plan.plugin.version}; the run {record.name} had {before.plugin.version}"
        note(f"The plugin {plan.plugin.name} has {versions}, so that predictions may differ.")
    changed = [
        f"{name} {environment.versions.get(name, 'not installed')} (was {version})"
        for name, version in record.versions.items()
        if environment.versions.get(name) != version
    ]
    if environment.git_commit != record.git_commit:
        changed.append(f"commit {environment.git_commit} (was {record.git_commit})")
    if environment.device != record.device:
        changed.append(f"device {environment.device} (was {record.device})")
    if changed:
        note(f"Since the run {record.name}, this has changed, so that predictions may differ: {', '.join(changed)}.")


def _merged(now: Mapping[str, Any], before: Mapping[str, Any]) -> dict[str, Any]:
    """Return a recorded config with current values for the options that it lacks."""
    merged = dict(now)
    for key, value in before.items():
        both = isinstance(value, Mapping) and isinstance(now.get(key), Mapping)
        merged[key] = _merged(now[key], value) if both else value
    return merged

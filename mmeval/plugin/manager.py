"""Loading the plugins that a run names, and only those."""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.metadata
import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import pluggy

from mmeval.errors import PluginError, UnknownNameError, UserError
from mmeval.files import digest
from mmeval.plugin import hooks
from mmeval.plugin.listing import entry_points
from mmeval.plugin.spec import DatasetSpec, MetricSpec, ModelSpec

Spec = TypeVar("Spec", ModelSpec, DatasetSpec)
LISTING = {"model": "mmeval plugins", "dataset": "mmeval data"}


class Manager:
    """The plugins of one process. One typed method per hook; nothing is loaded until it is asked for by name."""

    def __init__(self) -> None:
        self._pluggy = pluggy.PluginManager(hooks.PROJECT)
        self._pluggy.add_hookspecs(hooks)
        self._models: dict[str, ModelSpec] = {}
        self._datasets: dict[str, DatasetSpec] = {}
        self._metrics: dict[str, MetricSpec] = {}
        self._files: dict[str, ModelSpec] = {}

    def model(self, name: str) -> ModelSpec:
        """The model plugin that a user calls ``name``: an entry point, or the path of a Python file.

        Raises:
            UserError: no such plugin, or it can't be used.
        """
        if name.endswith(".py") or "/" in name:
            return self._one_file(Path(name))
        return self._named("model", name, self._models)

    def dataset(self, name: str) -> DatasetSpec:
        """The data set that a user calls ``name``; errors as :meth:`model`."""
        return self._named("dataset", name, self._datasets)

    def metrics(self) -> tuple[MetricSpec, ...]:
        """The metrics that the loaded plugins add."""
        return tuple(self._metrics.values())

    def add_commands(self, name: str, group: Any) -> bool:  # noqa: ANN401 - a Typer app
        """Load the plugin behind command ``name`` and let it fill ``group``; False if there is none."""
        entry = _entry("command", name)
        if entry is None:
            return False
        caller = self._pluggy.subset_hook_caller("register_commands", self._others(self._import(name, entry)))
        _guarded(f"{name} ({_origin(entry)})", lambda: caller(group=group))
        return True

    def before_run(self, run: Any) -> None:  # noqa: ANN401 - a layer above
        """Call ``before_run`` of every loaded plugin."""
        self._pluggy.hook.before_run(run=run)

    def after_run(self, run: Any) -> None:  # noqa: ANN401 - a layer above
        """Call ``after_run`` of every loaded plugin."""
        self._pluggy.hook.after_run(run=run)

    def add(self, plugin: object, name: str) -> None:
        """Register a module (or any object) whose methods are marked as hooks, and take in what it offers."""
        try:
            self._pluggy.register(plugin, name=name)
            self._pluggy.check_pending()
        except pluggy.PluginValidationError as error:
            raise PluginError(f"Plugin {name}: {' '.join(str(error).split())}") from None
        only = self._others(plugin)
        offered: list[tuple[dict[str, Any], Any]] = []
        try:
            for hook, registry in (
                ("register_models", self._models),
                ("register_datasets", self._datasets),
                ("register_metrics", self._metrics),
            ):
                caller = self._pluggy.subset_hook_caller(hook, only)
                _guarded(name, lambda c=caller, r=registry: c(register=_adder(r, name, offered)))  # type: ignore[misc]
        except UserError:
            # All or nothing: a plugin that is refused leaves nothing behind.
            self._pluggy.unregister(plugin)
            raise
        for registry, spec in offered:
            registry[spec.name] = spec

    def _others(self, plugin: object) -> set[object]:
        return {other for other in self._pluggy.get_plugins() if other is not plugin}

    def _named(self, kind: str, name: str, registry: dict[str, Spec]) -> Spec:
        if name in registry:
            return registry[name]
        entry = _entry(kind, name)
        if entry is None:
            known = [*(entry.name for entry in entry_points(kind)), *registry]
            raise UnknownNameError({"model": "plugin", "dataset": "data set"}[kind], name, known, LISTING[kind])
        self._import(name, entry)
        if name not in registry:
            source = _origin(entry)
            raise PluginError(f'Plugin "{name}" ({source}) registers no {kind} named "{name}"; tell its authors.')
        return registry[name]

    def _import(self, name: str, entry: importlib.metadata.EntryPoint) -> object:
        module = _guarded(f"{name} ({_origin(entry)})", entry.load)
        if not self._pluggy.is_registered(module):
            self.add(module, name)
        return module

    def _one_file(self, path: Path) -> ModelSpec:
        if not path.is_file():
            raise PluginError(f"--plugin {path}: there is no such file.")
        key = str(path.resolve())
        if key in self._files:
            return self._files[key]
        name = f"mmeval_file_{path.stem}_{digest(key)[:8]}"
        found = importlib.util.spec_from_file_location(name, path)
        if found is None or found.loader is None:
            raise PluginError(f"--plugin {path}: not a Python file.")
        module = importlib.util.module_from_spec(found)
        sys.modules[name] = module
        loader = found.loader
        before = set(self._models)
        _guarded(str(path), lambda: loader.exec_module(module))
        self.add(module, str(path))
        new = [spec for key, spec in self._models.items() if key not in before]
        if len(new) != 1:
            raise PluginError(f"--plugin {path}: the file must register one model, it registers {len(new)}.")
        # The code is part of what is scored: another text of the file is another version.
        version = f"{new[0].version}+{hashlib.sha256(path.read_bytes()).hexdigest()[:8]}"
        self._files[key] = dataclasses.replace(new[0], version=version)
        return self._files[key]


def _entry(kind: str, name: str) -> importlib.metadata.EntryPoint | None:
    """The entry point of a name; two distributions that offer the same one are refused."""
    entries = [entry for entry in entry_points(kind) if entry.name == name]
    if len(entries) > 1:
        offering = " and ".join(sorted(_origin(entry) for entry in entries))
        raise PluginError(f'{offering} both offer the {kind} "{name}"; uninstall one of them.')
    return entries[0] if entries else None


def _guarded(name: str, call: Callable[[], Any]) -> Any:  # noqa: ANN401 - whatever the call returns
    """Run a plugin's code; what it raises becomes one sentence that names it."""
    try:
        return call()
    except UserError:
        raise
    except (Exception, SystemExit) as error:
        raise PluginError(f"Plugin {name} can't be loaded: {type(error).__name__}: {error}") from error


def _adder(registry: dict[str, Any], plugin: str, offered: list[tuple[dict[str, Any], Any]]) -> Callable[[Any], None]:
    def register(spec: Any) -> None:  # noqa: ANN401 - one of the specs
        taken = {*registry, *(other.name for kind, other in offered if kind is registry)}
        if spec.name in taken:
            raise PluginError(f'Plugin {plugin} registers "{spec.name}", which another plugin has registered already.')
        if isinstance(spec, ModelSpec) and spec.default_preset not in spec.presets:
            raise PluginError(f'Plugin {plugin}: "{spec.name}" lacks its default preset "{spec.default_preset}".')
        offered.append((registry, spec))

    return register


def _origin(entry: importlib.metadata.EntryPoint) -> str:
    return f"{entry.dist.name} {entry.dist.version}" if entry.dist else entry.module

"""The plugin manager, which loads only the plugins that a user names."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Collection
from pathlib import Path
from typing import Any, TypeVar

import pluggy

from mmeval.api import hooks
from mmeval.api.spec import DatasetSpec, MetricSpec, ModelSpec
from mmeval.errors import PluginError, UnknownNameError, UserError
from mmeval.plugin import compat, onefile
from mmeval.plugin.guard import guarded
from mmeval.plugin.listing import entry_points, origin, stated_api
from mmeval.plugin.registry import KINDS, Registration, Registry, Spec, hook_error

LISTING = {"model": "mmeval plugins", "dataset": "mmeval data", "metric": "mmeval plugins"}
WORDS = {"model": "model", "dataset": "data set", "metric": "metric"}
OPTIONS = {"model": "plugin", "dataset": "dataset", "metric": "metric"}
S = TypeVar("S", ModelSpec, DatasetSpec, MetricSpec)


class Manager:
    """The plugins of one process, with a typed method per hook; a plugin is loaded when its name is first used."""

    def __init__(self) -> None:
        self._pluggy = pluggy.PluginManager(hooks.PROJECT)
        self._pluggy.add_hookspecs(hooks)
        self._registry = Registry()
        self._files: dict[str, list[Spec]] = {}

    def model(self, name: str) -> ModelSpec:
        """Return the model plugin called ``name``: an entry point, or the path of a Python file.

        Raises:
            UserError: there is no such plugin, or it can't be used.
        """
        return self._find(ModelSpec, "model", name)

    def dataset(self, name: str) -> DatasetSpec:
        """Return the data set called ``name``; raises the errors of :meth:`model`."""
        return self._find(DatasetSpec, "dataset", name)

    def metric(self, name: str) -> MetricSpec:
        """Return the metric called ``name``; raises the errors of :meth:`model`."""
        return self._find(MetricSpec, "metric", name)

    def names(self, spec: type[Spec]) -> list[str]:
        """Return the names of the installed and loaded plugins of a kind."""
        kind = {ModelSpec: "model", DatasetSpec: "dataset", MetricSpec: "metric"}[spec]
        return [*(entry.name for entry in entry_points(kind)), *self._registry.of(spec)]  # type: ignore[type-var]

    def metrics(self) -> tuple[MetricSpec, ...]:
        """Return the metrics that the loaded plugins register."""
        return tuple(self._registry.of(MetricSpec).values())

    @property
    def names_of_files(self) -> Collection[str]:
        """Absolute paths of the loaded one-file plugins."""
        return self._files.keys()

    def add_commands(self, name: str, group: Any) -> bool:  # noqa: ANN401 - a Typer app
        """Load the plugin of the command ``name`` and let it add to ``group``; return False if there is none."""
        entry = _entry("command", name)
        if entry is None:
            return False
        caller = self._pluggy.subset_hook_caller("register_commands", self._others(self._import(name, entry)))
        guarded(f"{name} ({origin(entry)})", lambda: caller(group=group))
        return True

    def before_run(self, run: Any) -> None:  # noqa: ANN401 - a layer above
        """Call ``before_run`` of every loaded plugin."""
        self._pluggy.hook.before_run(run=run)

    def after_run(self, run: Any) -> None:  # noqa: ANN401 - a layer above
        """Call ``after_run`` of every loaded plugin."""
        self._pluggy.hook.after_run(run=run)

    def add(self, plugin: object, name: str, distribution: str = "", code: str = "") -> list[Spec]:
        """Register a plugin: a module or any object with functions marked as hooks.

        Args:
            plugin: the module or object.
            name: name of the plugin, for messages.
            distribution: its package and version, empty for a one-file plugin.
            code: digest of the text of a one-file plugin.

        Returns:
            The specs that the plugin registers.

        Raises:
            PluginError: the plugin implements an unknown hook, or registers an invalid spec or a name that is taken;
                none of its specs is kept.
        """
        label = f"{name} ({distribution})" if distribution else name
        if message := hook_error(plugin):
            raise PluginError(f"Plugin {label}: {message}")
        try:
            # By id, because a model and a data set of two packages may have the same name.
            self._pluggy.register(plugin, name=str(id(plugin)))
            self._pluggy.check_pending()
        except pluggy.PluginValidationError as error:
            if self._pluggy.is_registered(plugin):
                self._pluggy.unregister(plugin)
            raise PluginError(f"Plugin {label}: {' '.join(str(error).split())}") from None
        others = self._others(plugin)
        registration = Registration(self._registry, label, distribution or name, code)
        try:
            for hook, kind in zip(("register_models", "register_datasets", "register_metrics"), KINDS, strict=True):
                caller = self._pluggy.subset_hook_caller(hook, others)
                guarded(label, lambda c=caller, k=kind: c(register=registration.register(k)))  # type: ignore[misc]
        except UserError:
            self._pluggy.unregister(plugin)
            raise
        return self._registry.accept(registration)

    def _others(self, plugin: object) -> set[object]:
        """Return all plugins but one, to call hooks of that one only."""
        return {other for other in self._pluggy.get_plugins() if other is not plugin}

    def _find(self, spec: type[S], kind: str, name: str) -> S:
        if onefile.is_file(name):
            return self._one_file(spec, kind, Path(name))
        known: dict[str, S] = self._registry.of(spec)
        if name in known:
            return known[name]
        entry = _entry(kind, name)
        if entry is None:
            raise UnknownNameError("plugin" if kind == "model" else WORDS[kind], name, self.names(spec), LISTING[kind])
        self._import(name, entry)
        if name not in known:
            raise PluginError(f'Plugin {name} ({origin(entry)}) registers no {kind} named "{name}"; tell its authors.')
        return known[name]

    def _import(self, name: str, entry: importlib.metadata.EntryPoint) -> object:
        label = f"{name} ({origin(entry)})"
        # Before the import, which may need names that this version lacks.
        if reason := compat.incompatibility(stated_api(getattr(entry, "module", ""))):
            raise PluginError(f"Plugin {label} {reason}.")
        module = guarded(label, entry.load, entry)
        if not self._pluggy.is_registered(module):
            self.add(module, name, origin(entry))
        return module

    def _one_file(self, spec: type[S], kind: str, path: Path) -> S:
        key = str(path.resolve())
        if key not in self._files:
            file = onefile.load(path, f"--{OPTIONS[kind]}")
            self._files[key] = self.add(file.module, str(path), code=file.digest)
        specs = [registered for registered in self._files[key] if isinstance(registered, spec)]
        if len(specs) != 1:
            option = f"--{OPTIONS[kind]} {path}"
            raise PluginError(f"{option}: the file must register one {WORDS[kind]}, it registers {len(specs)}.")
        return specs[0]


def _entry(kind: str, name: str) -> importlib.metadata.EntryPoint | None:
    """Return the entry point with a name; None if there is none.

    Raises:
        PluginError: two distributions offer the same name.
    """
    entries = [entry for entry in entry_points(kind) if entry.name == name]
    if len(entries) > 1:
        offering = " and ".join(sorted(origin(entry) for entry in entries))
        raise PluginError(f'{offering} both offer the {kind} "{name}"; uninstall one of them.')
    return entries[0] if entries else None

"""The specs that the loaded plugins register: all of a plugin, or none."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable
from types import ModuleType
from typing import Any, TypeVar

from mmeval.api import hooks
from mmeval.api.spec import DatasetSpec, MetricSpec, ModelSpec
from mmeval.errors import PluginError

Spec = ModelSpec | DatasetSpec | MetricSpec
S = TypeVar("S", ModelSpec, DatasetSpec, MetricSpec)
HOOKS: dict[str, Any] = {name: spec for name, spec in vars(hooks).items() if hasattr(spec, f"{hooks.PROJECT}_spec")}
KINDS: tuple[type[Spec], ...] = (ModelSpec, DatasetSpec, MetricSpec)


class Registry:
    """The registered specs by kind and name."""

    def __init__(self) -> None:
        self._specs: dict[type[Any], dict[str, Any]] = {kind: {} for kind in KINDS}

    def of(self, kind: type[S]) -> dict[str, S]:
        """Return the specs of a kind by name."""
        return self._specs[kind]

    def accept(self, registration: Registration) -> list[Spec]:
        """Add the specs of a plugin and return them."""
        for spec in registration.specs:
            kind = next(kind for kind in KINDS if isinstance(spec, kind))
            self._specs[kind][spec.name] = spec
        return registration.specs


class Registration:
    """The specs that one plugin registers, checked against the registry."""

    def __init__(self, registry: Registry, label: str, distribution: str, code: str) -> None:
        """Start without specs.

        Args:
            registry: the specs of other plugins.
            label: the plugin's name, for messages.
            distribution: package and version, or path of a one-file plugin.
            code: digest of the text of a one-file plugin.
        """
        self.specs: list[Spec] = []
        self._registry, self._label, self._distribution, self._code = registry, label, distribution, code

    def register(self, kind: type[Spec]) -> Callable[[Any], None]:
        """Return the function ``register(spec)`` that a hook gets for specs of ``kind``."""

        def register(spec: Any) -> None:  # noqa: ANN401 - whatever a plugin passes
            if not isinstance(spec, kind):
                raise PluginError(
                    f"Plugin {self._label} registers {spec!r}, which is not a {kind.__name__}; tell its authors."
                )
            taken = {known.name: known for known in [*self._registry.of(kind).values(), *self._of(kind)]}  # type: ignore[type-var]
            if spec.name in taken:
                owner = taken[spec.name].distribution
                raise PluginError(
                    f'Plugin {self._label} registers the name "{spec.name}", which {owner} has registered already; '
                    "uninstall one of them."
                )
            self.specs.append(self._with_origin(spec))

        return register

    def _of(self, kind: type[Spec]) -> list[Spec]:
        return [spec for spec in self.specs if isinstance(spec, kind)]

    def _with_origin(self, spec: Spec) -> Spec:
        """Return the spec with its distribution and code; another text of a one-file model is another version."""
        changes: dict[str, Any] = {"distribution": self._distribution}
        if self._code and isinstance(spec, ModelSpec):
            changes["version"] = f"{spec.version}+{self._code}"
        if self._code and not isinstance(spec, ModelSpec):
            changes["code"] = self._code
        return spec.model_copy(update=changes)


def hook_error(plugin: object) -> str | None:
    """Return in one sentence what is wrong with the hooks of a plugin; None if nothing is.

    An implementation may omit arguments of a hook, but not add others. A function with the name of a hook must be
    marked as one, because it would never be called otherwise.
    """
    for name in dir(plugin):
        function = inspect.getattr_static(plugin, name, None)
        if hasattr(function, f"{hooks.PROJECT}_impl"):
            if name not in HOOKS:
                near = difflib.get_close_matches(name, HOOKS, n=1)
                hint = f'did you mean "{near[0]}"?' if near else f"the hooks are {', '.join(HOOKS)}."
                return f'there is no hook "{name}"; {hint}'
            known = list(inspect.signature(HOOKS[name]).parameters)
            own = [argument for argument in inspect.signature(function).parameters if argument != "self"]
            if unknown := [argument for argument in own if argument not in known]:
                return f'its {name} takes "{unknown[0]}"; the arguments of this hook are: {", ".join(known)}.'
        elif name in HOOKS and isinstance(plugin, ModuleType) and inspect.isfunction(function):
            return f"its {name} lacks the mark @mmeval.hookimpl, so it would never be called."
    return None

"""What the loaded plugins offer: all of a plugin's specs, or none of them."""

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
    """Specs by kind and name."""

    def __init__(self) -> None:
        self._specs: dict[type[Any], dict[str, Any]] = {kind: {} for kind in KINDS}

    def of(self, kind: type[S]) -> dict[str, S]:
        """All specs of a kind, by name."""
        return self._specs[kind]

    def accept(self, offer: Offer) -> list[Spec]:
        """Take in all that a plugin offers."""
        for spec in offer.specs:
            kind = next(kind for kind in KINDS if isinstance(spec, kind))
            self._specs[kind][spec.name] = spec
        return offer.specs


class Offer:
    """What one plugin registers, checked against what is there already."""

    def __init__(self, registry: Registry, label: str, distribution: str, code: str) -> None:
        """``label`` names the plugin in messages; ``code`` is the digest of a one-file plugin's text."""
        self.specs: list[Spec] = []
        self._registry, self._label, self._distribution, self._code = registry, label, distribution, code

    def register(self, kind: type[Spec]) -> Callable[[Any], None]:
        """The function that a hook is given for specs of ``kind``."""

        def register(spec: Any) -> None:  # noqa: ANN401 - whatever a plugin passes
            if not isinstance(spec, kind):
                raise PluginError(
                    f"Plugin {self._label} registers {spec!r}, which is no {kind.__name__}; tell its authors."
                )
            taken = {one.name: one for one in [*self._registry.of(kind).values(), *self._of(kind)]}  # type: ignore[type-var]
            if spec.name in taken:
                by = taken[spec.name].distribution
                raise PluginError(
                    f'Plugin {self._label} registers the name "{spec.name}", which {by} has registered already; '
                    "uninstall one of them."
                )
            self.specs.append(self._marked(spec))

        return register

    def _of(self, kind: type[Spec]) -> list[Spec]:
        return [spec for spec in self.specs if isinstance(spec, kind)]

    def _marked(self, spec: Spec) -> Spec:
        """Say where it came from. The code is part of what is scored: another text of a file is another version."""
        changes: dict[str, Any] = {"distribution": self._distribution}
        if self._code and isinstance(spec, ModelSpec):
            changes["version"] = f"{spec.version}+{self._code}"
        if self._code and not isinstance(spec, ModelSpec):
            changes["code"] = self._code
        return spec.model_copy(update=changes)


def hook_complaint(plugin: object) -> str | None:
    """What is wrong with the hooks of a plugin, in one sentence; None if nothing is.

    An implementation may leave out arguments, but not have others; a function that bears a hook's name but not its
    mark would silently do nothing.
    """
    for name in dir(plugin):
        function = inspect.getattr_static(plugin, name, None)
        if hasattr(function, f"{hooks.PROJECT}_impl"):
            if name not in HOOKS:
                near = difflib.get_close_matches(name, HOOKS, n=1)
                guess = f'did you mean "{near[0]}"?' if near else f"the hooks are {', '.join(HOOKS)}."
                return f'there is no hook "{name}"; {guess}'
            takes = list(inspect.signature(HOOKS[name]).parameters)
            own = [argument for argument in inspect.signature(function).parameters if argument != "self"]
            if unknown := [argument for argument in own if argument not in takes]:
                return f'its {name} takes "{unknown[0]}"; the arguments of this hook are: {", ".join(takes)}.'
        elif name in HOOKS and isinstance(plugin, ModuleType) and inspect.isfunction(function):
            return f"its {name} lacks the mark @mmeval.hookimpl, so it would never be called."
    return None

"""What the loaded plugins offer: all of a plugin's specs, or none of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, TypeVar

from mmeval.errors import PluginError
from mmeval.plugin.spec import DatasetSpec, MetricSpec, ModelSpec

Spec = ModelSpec | DatasetSpec | MetricSpec
S = TypeVar("S", ModelSpec, DatasetSpec, MetricSpec)
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
        return dataclasses.replace(spec, **changes)

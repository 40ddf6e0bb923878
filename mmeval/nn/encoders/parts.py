"""A foreign model taken apart by depth: which of its modules are embeddings, which its layers."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

from torch import nn


class Place(NamedTuple):
    """Where a part stands in a model, by paths, since adapters put other modules there."""

    modules: tuple[str, ...]
    parameters: tuple[str, ...] = ()
    """Those of modules that aren't in the part whole."""

    def within(self, model: nn.Module) -> nn.Module:
        """The part itself: the module where it is one, else several held together."""
        modules = [model.get_submodule(path) for path in self.modules]
        loose = [model.get_parameter(path) for path in self.parameters]
        return modules[0] if len(modules) == 1 and not loose else _Together(modules, loose)


class _Together(nn.Module):
    """Modules and parameters of a model, to be frozen or counted as one. Nobody calls or saves it."""

    def __init__(self, modules: Sequence[nn.Module], parameters: Sequence[nn.Parameter]) -> None:
        super().__init__()
        self.whole, self.loose = nn.ModuleList(modules), nn.ParameterList(parameters)


def place(model: nn.Module, names: Collection[str]) -> Place:
    """The largest modules of ``model`` that have no parameters but ``names``, and what of these is in none."""
    modules: list[str] = []
    loose: list[str] = []
    wanted = set(names)

    def walk(module: nn.Module, path: str) -> None:
        has = {f"{path}{name}" for name, _ in module.named_parameters(remove_duplicate=False)}
        if not has & wanted:
            return
        if has <= wanted:
            modules.append(path.removesuffix("."))
            return
        loose.extend(path + name for name, _ in module.named_parameters(recurse=False) if path + name in wanted)
        for name, child in module.named_children():
            walk(child, f"{path}{name}.")

    walk(model, "")
    return Place(tuple(modules), tuple(loose))


def by_layers(model: nn.Module) -> tuple[Place, ...]:
    """What comes before the first list of layers, as one, then each of its layers; empty where there is no list.

    Modules are in the order in which a class makes them, which in ``transformers`` is that of its forward pass.
    """
    lists = ((path, m) for path, m in model.named_modules() if isinstance(m, nn.ModuleList))
    path, layers = next(((path, m) for path, m in lists if any(True for _ in m.parameters())), ("", nn.ModuleList()))
    before: list[str] = []
    for name, _ in model.named_parameters():
        if name.startswith(f"{path}."):
            break
        before.append(name)
    stem = [place(model, before)] if before and len(layers) else []
    return (*stem, *(Place((f"{path}.{number}",)) for number in range(len(layers))))

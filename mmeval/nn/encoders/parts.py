"""Blocks of third-party models: which modules form the embeddings, and which the layers."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

from torch import nn


class BlockPaths(NamedTuple):
    """A block of a model, given by paths, which stay valid when adapters replace modules."""

    modules: tuple[str, ...]
    """Paths of modules that belong to the block with all their parameters."""
    parameters: tuple[str, ...] = ()
    """Paths of further parameters, whose modules do not belong to the block entirely."""

    def within(self, model: nn.Module) -> nn.Module:
        """Return the block of ``model``: its single module, or a container of its modules and parameters."""
        modules = [model.get_submodule(path) for path in self.modules]
        parameters = [model.get_parameter(path) for path in self.parameters]
        return modules[0] if len(modules) == 1 and not parameters else _PartsBlock(modules, parameters)


class _PartsBlock(nn.Module):
    """A container of modules and parameters that are frozen together; it is neither called nor saved."""

    def __init__(self, modules: Sequence[nn.Module], parameters: Sequence[nn.Parameter]) -> None:
        super().__init__()
        self.block_modules, self.block_parameters = nn.ModuleList(modules), nn.ParameterList(parameters)


def block_of(model: nn.Module, names: Collection[str]) -> BlockPaths:
    """Return the block of the parameters ``names``: the largest modules that have no others, then single parameters."""
    modules: list[str] = []
    parameters: list[str] = []
    wanted = set(names)

    def walk(module: nn.Module, path: str) -> None:
        own = {f"{path}{name}" for name, _ in module.named_parameters(remove_duplicate=False)}
        if not own & wanted:
            return
        if own <= wanted:
            modules.append(path.removesuffix("."))
            return
        parameters.extend(path + name for name, _ in module.named_parameters(recurse=False) if path + name in wanted)
        for name, child in module.named_children():
            walk(child, f"{path}{name}.")

    walk(model, "")
    return BlockPaths(tuple(modules), tuple(parameters))


def blocks_by_layer(model: nn.Module) -> tuple[BlockPaths, ...]:
    """Return the stem of a model and each layer of its first ``ModuleList``; empty if it has no such list.

    The stem has all parameters before the list. Parameters are in the order in which a class creates its modules, which
    in ``transformers`` is the order of the forward pass.
    """
    lists = ((path, m) for path, m in model.named_modules() if isinstance(m, nn.ModuleList))
    path, layers = next(((path, m) for path, m in lists if any(True for _ in m.parameters())), ("", nn.ModuleList()))
    before: list[str] = []
    for name, _ in model.named_parameters():
        if name.startswith(f"{path}."):
            break
        before.append(name)
    stem = [block_of(model, before)] if before and len(layers) else []
    return (*stem, *(BlockPaths((f"{path}.{number}",)) for number in range(len(layers))))

"""Mistakes in a plugin's hooks, told before pluggy would tell them of itself."""

from __future__ import annotations

import difflib
import inspect
from types import ModuleType
from typing import Any

from mmeval.plugin import hooks

SPECS: dict[str, Any] = {name: spec for name, spec in vars(hooks).items() if hasattr(spec, f"{hooks.PROJECT}_spec")}


def complaint(plugin: object) -> str | None:
    """What is wrong with the hooks of a plugin, in one sentence; None if nothing is.

    An implementation may leave out arguments, but not have others; a function that bears a hook's name but not its
    mark would silently do nothing.
    """
    for name in dir(plugin):
        function = inspect.getattr_static(plugin, name, None)
        if hasattr(function, f"{hooks.PROJECT}_impl"):
            if name not in SPECS:
                near = difflib.get_close_matches(name, SPECS, n=1)
                guess = f'did you mean "{near[0]}"?' if near else f"the hooks are {', '.join(SPECS)}."
                return f'there is no hook "{name}"; {guess}'
            takes = list(inspect.signature(SPECS[name]).parameters)
            own = [argument for argument in inspect.signature(function).parameters if argument != "self"]
            if unknown := [argument for argument in own if argument not in takes]:
                return f'its {name} takes "{unknown[0]}"; the arguments of this hook are: {", ".join(takes)}.'
        elif name in SPECS and isinstance(plugin, ModuleType) and inspect.isfunction(function):
            return f"its {name} lacks the mark @mmeval.hookimpl, so it would never be called."
    return None

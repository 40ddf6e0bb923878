"""Running a plugin's code so that what it raises becomes one sentence that names it."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable
from typing import TypeVar

from mmeval.errors import PluginError, SpecError, UserError

T = TypeVar("T")


def guarded(label: str, call: Callable[[], T], of: importlib.metadata.EntryPoint | None = None) -> T:
    """Return what ``call`` returns.

    Args:
        label: the plugin's name with its distribution, for messages.
        call: code of the plugin.
        of: the entry point that is being loaded, to tell a missing module of its own from one that it imports.

    Raises:
        PluginError: anything but a :class:`UserError`, which is passed on as it is.
    """
    try:
        return call()
    except SpecError as error:
        raise PluginError(f"Plugin {label}: {error}; tell its authors.") from error
    except UserError:
        raise
    except (Exception, SystemExit) as error:
        if of and isinstance(error, ModuleNotFoundError) and _is_own(of, error):
            what = f'its entry point "{of.value}" names a module that isn\'t there; reinstall it, or tell its authors'
            raise PluginError(f"Plugin {label}: {what}.") from error
        said = " ".join(str(error).split())
        raise PluginError(f"Plugin {label} can't be loaded: {type(error).__name__}: {said}") from error


def _is_own(entry: importlib.metadata.EntryPoint, error: ModuleNotFoundError) -> bool:
    return bool(error.name) and f"{entry.module}.".startswith(f"{error.name}.")

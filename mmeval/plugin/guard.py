"""Running a plugin's code, with its exceptions turned into one sentence that names the plugin."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable
from typing import TypeVar

from mmeval.errors import PluginError, SpecError, UserError

T = TypeVar("T")


def guarded(label: str, call: Callable[[], T], entry: importlib.metadata.EntryPoint | None = None) -> T:
    """Call a plugin's code and return its result.

    Args:
        label: the plugin's name with its distribution, for messages.
        call: code of the plugin.
        entry: the entry point that ``call`` loads, to tell its missing module from a missing dependency.

    Raises:
        PluginError: the plugin raised another exception than a :class:`UserError`.
        UserError: the plugin raised it.
    """
    try:
        return call()
    except SpecError as error:
        raise PluginError(f"Plugin {label}: {error}; tell its authors.") from error
    except UserError:
        raise
    except (Exception, SystemExit) as error:
        if entry and isinstance(error, ModuleNotFoundError) and _is_own_module(entry, error):
            reason = f'its entry point "{entry.value}" names a missing module; reinstall it, or tell its authors'
            raise PluginError(f"Plugin {label}: {reason}.") from error
        message = " ".join(str(error).split())
        raise PluginError(f"Plugin {label} can't be loaded: {type(error).__name__}: {message}") from error


def _is_own_module(entry: importlib.metadata.EntryPoint, error: ModuleNotFoundError) -> bool:
    """Return whether the missing module is that of the entry point or a parent package."""
    return bool(error.name) and f"{entry.module}.".startswith(f"{error.name}.")

"""Whose fault it is when a model fails."""

from __future__ import annotations

import contextlib
import functools
import re
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

from mmeval.api.spec import ModelSpec
from mmeval.errors import PluginError, UserError
from mmeval.files import disk_full

_WRONG_CALL = re.compile(r"TypeError: [\w.<>]+\(\) (takes|missing|got an unexpected)")


@contextlib.contextmanager
def attributed(spec: ModelSpec, doing: str) -> Iterator[None]:
    """Name the plugin, its distribution and the line of its code in whatever its model raises.

    What the plugin's code has no part in is passed on.

    Args:
        spec: the plugin.
        doing: what the model was asked for, for the message: ``while it was trained``.

    Raises:
        PluginError: instead of any other exception that came through the plugin's code.
    """
    label = f"Plugin {spec.name} ({spec.distribution})" if spec.distribution else f"Plugin {spec.name}"
    try:
        yield
    except PluginError as error:
        raise PluginError(f"{label}: {error}") from error
    except UserError:
        raise
    except Exception as error:
        where = _line(error.__traceback__, spec)
        # A call with the wrong arguments fails before a line of the plugin runs.
        if disk_full(error) or (where is None and not _WRONG_CALL.match(f"{type(error).__name__}: {error}")):
            raise
        said = f"{type(error).__name__}: {' '.join(str(error).split())}"
        at = f", at {where}" if where else ""
        raise PluginError(f"{label} failed {doing}{at}: {said} (`mmeval --traceback` shows the way)") from error


def _line(trace: TracebackType | None, spec: ModelSpec) -> str | None:
    """``model.py:37``, the innermost line of the plugin's own code that the error came through."""
    build: object = spec.build
    while isinstance(build, functools.partial):
        build = build.func
    package = _top(getattr(build, "__module__", ""))
    frames = list(traceback.walk_tb(trace))
    own = [(f.f_code.co_filename, line) for f, line in frames if _top(f.f_globals.get("__name__", "")) == package]
    return f"{Path(own[-1][0]).name}:{own[-1][1]}" if own else None


def _top(module: str) -> str:
    return module.partition(".")[0]

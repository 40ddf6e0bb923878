"""Attribution of a model's exceptions to its plugin, distribution and line of code."""

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
    """Turn exceptions of a model into a PluginError that names plugin, distribution and line of code.

    Exceptions that did not pass through the plugin's code are raised unchanged.

    Args:
        spec: the plugin.
        doing: the step in which the model failed, for the message: ``while it was trained``.

    Raises:
        PluginError: an exception passed through the plugin's code.
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
        # A call with wrong arguments fails before any line of the plugin runs.
        if disk_full(error) or (where is None and not _WRONG_CALL.match(f"{type(error).__name__}: {error}")):
            raise
        message = f"{type(error).__name__}: {' '.join(str(error).split())}"
        at = f", at {where}" if where else ""
        raise PluginError(
            f"{label} failed {doing}{at}: {message} (`mmeval --traceback` shows the traceback)"
        ) from error


def _line(trace: TracebackType | None, spec: ModelSpec) -> str | None:
    """Return the innermost line of the plugin's code in a traceback as ``model.py:37``; None if there is none."""
    build: object = spec.build
    while isinstance(build, functools.partial):
        build = build.func
    package = _top_level(getattr(build, "__module__", ""))
    frames = list(traceback.walk_tb(trace))
    own = [(f.f_code.co_filename, line) for f, line in frames if _top_level(f.f_globals.get("__name__", "")) == package]
    return f"{Path(own[-1][0]).name}:{own[-1][1]}" if own else None


def _top_level(module: str) -> str:
    return module.partition(".")[0]

"""The hooks of mmeval. Implement any of them in a module and mark it with ``@mmeval.hookimpl``."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pluggy

if TYPE_CHECKING:
    from mmeval.plugin.spec import DatasetSpec, MetricSpec, ModelSpec

PROJECT = "mmeval"
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def register_models(register: Callable[[ModelSpec], None]) -> None:
    """Call ``register(spec)`` for each model. Entry-point group ``mmeval.models``."""


@hookspec
def register_datasets(register: Callable[[DatasetSpec], None]) -> None:
    """Call ``register(spec)`` for each data set. Entry-point group ``mmeval.datasets``."""


@hookspec
def register_metrics(register: Callable[[MetricSpec], None]) -> None:
    """Call ``register(spec)`` for each metric; it then stands in Scores and reports beside the built-in ones."""


@hookspec
def register_commands(group: Any) -> None:  # noqa: ANN401 - a Typer app, and Typer is not imported to list plugins
    """Add commands to ``group``, a ``typer.Typer``. Entry-point group ``mmeval.commands``, named as the command."""


@hookspec
def before_run(run: Any) -> None:  # noqa: ANN401 - mmeval.record.Plan, a layer above
    """Look at a run (an ``mmeval.record.Plan``) just before its first model is built; raise to stop it."""


@hookspec
def after_run(run: Any) -> None:  # noqa: ANN401 - mmeval.run.folder.RunFolder, a layer above
    """Look at a finished run (an ``mmeval.run.folder.RunFolder``); its files are all written."""

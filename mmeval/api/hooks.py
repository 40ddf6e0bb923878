"""The hooks of mmeval. A plugin implements them as functions of its module, marked with ``@mmeval.hookimpl``."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    import typer

    from mmeval import Plan, RunFolder
    from mmeval.api.spec import DatasetSpec, MetricSpec, ModelSpec

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
    """Call ``register(spec)`` for each metric. Entry-point group ``mmeval.metrics``.

    Scores and reports show a metric beside the built-in ones in every run that loads the plugin: a run that names the
    metric with ``--metric``, or the model or data set of the same module.
    """


@hookspec
def register_commands(group: typer.Typer) -> None:
    """Add commands to ``group``, which has the entry point's name. Entry-point group ``mmeval.commands``."""


@hookspec
def before_run(run: Plan) -> None:
    """Inspect the plan of a run before the first model is built; raise ``mmeval.UserError`` to stop the run.

    Called for the plugins that the run names.
    """


@hookspec
def after_run(run: RunFolder) -> None:
    """Inspect a finished run, after all its files are written. Called for the plugins that the run names."""

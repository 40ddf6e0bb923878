"""The hooks of mmeval. Implement any of them in a module and mark it with ``@mmeval.hookimpl``."""

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

    A metric stands in Scores and reports beside the built-in ones, in every run that loads the plugin: one that names
    it by ``--metric``, or one that names the model or data set of the same module.
    """


@hookspec
def register_commands(group: typer.Typer) -> None:
    """Add commands to ``group``. Entry-point group ``mmeval.commands``; its name is that of the group of commands."""


@hookspec
def before_run(run: Plan) -> None:
    """Look at what is to be done, just before the first model is built; raise ``mmeval.UserError`` to stop it.

    Called of the plugins that the run names.
    """


@hookspec
def after_run(run: RunFolder) -> None:
    """Look at a finished run, whose files are all written. Called of the plugins that the run names."""

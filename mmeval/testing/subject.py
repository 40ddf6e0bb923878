"""A plugin under examination: loaded, trained once, and asked in many ways."""

from __future__ import annotations

import contextlib
import dataclasses
import weakref
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray

from mmeval.api.recipe import TorchConfig
from mmeval.api.task import ModelContext, Task
from mmeval.data.examples import Examples
from mmeval.data.prepare.prepare import prepare
from mmeval.data.request import DatasetRequest
from mmeval.data.store import Store
from mmeval.engine.device import resolve_device
from mmeval.engine.model import FitContext, Model, TrainableModel
from mmeval.engine.runner import TorchRunner, as_model
from mmeval.files import lock, scratch_folder
from mmeval.home import home
from mmeval.metrics.predictions import check_block
from mmeval.nn.model import TorchModel
from mmeval.plugin.configure import configure
from mmeval.plugin.manager import Manager
from mmeval.record import Plan
from mmeval.runs.attribution import attributed
from mmeval.runs.folder import RunFolder
from mmeval.runs.request import Request, configured, make_plan
from mmeval.runs.train import context_of, load_model, run_seed
from mmeval.testing.data import contract_data
from mmeval.testing.outcome import Broken, NotApplicable

Probabilities = dict[str, NDArray[np.float32]]
TOLERANCE = 1e-4
"""How far two probabilities may lie apart that should be the same: rounding of float32, not more."""


class Subject:
    """One plugin with one configuration. What is costly (a training) is done once, when a check first needs it."""

    def __init__(
        self, plugin: str, preset: str | None = None, changes: Sequence[str] = (), device: str = "cpu"
    ) -> None:
        """Load the plugin that a user calls ``plugin``; its models are built and trained on ``device``.

        Raises:
            UserError: it can't be loaded, has no such preset or option, or there is no such device.
        """
        self.plugin, self.device = plugin, resolve_device(device)
        self.spec = Manager().model(plugin)
        self.request = Request(
            plugin=plugin, dataset=DatasetRequest("shapes"), preset=preset, changes=tuple(changes), device=device
        )
        self.preset, self.config = configured(self.spec, self.request)
        if isinstance(self.config, TorchConfig):
            # The contract is about what happens, not about how well: one pass over the data is enough.
            short = ("recipe.epochs=1", "recipe.precision=fp32")
            self.config = configure(
                self.spec.config, self.spec.name, self.spec.presets[self.preset], (*changes, *short)
            )
        # DatasetRequest before any rule, so that a cache folder that can't be written isn't attributed on the plugin.
        with lock(home() / "locks" / "contract.lock"):
            pass
        self.folder, remove = scratch_folder("mmeval-contract-")
        weakref.finalize(self, remove)

    @cached_property
    def store(self) -> Store:
        """The contract's data, prepared."""
        return prepare(contract_data(self.folder))

    @cached_property
    def plan(self) -> Plan:
        """The plan of the training."""
        return make_plan(self.request, self.spec, self.preset, self.config, self.store)

    def examples(self, split: str) -> Examples:
        """A split, as the plugin's inputs are shown."""
        return Examples(self.store, split, self.plan.protocol.inputs)

    @cached_property
    def test(self) -> Examples:
        """The test split."""
        return self.examples("test")

    @property
    def torch_config(self) -> TorchConfig:
        """The config of a torch model.

        Raises:
            NotApplicable: it is a plain model.
        """
        if not isinstance(self.config, TorchConfig):
            raise NotApplicable("not a torch model")
        return self.config

    def context(self, tasks: int | None = None) -> ModelContext:
        """What a model is told when it is built; ``tasks`` takes only the first so many."""
        return dataclasses.replace(context_of(self.examples("train")), tasks=self.store.tasks[:tasks])

    def build(self, tasks: int | None = None, seed: int = 0) -> Model:
        """An untrained model."""
        torch.manual_seed(seed)
        with attributed(self.spec, "when it was built"):
            return as_model(self.spec.build(self.config, self.context(tasks)))

    def torch_model(self) -> TorchModel:
        """An untrained torch model.

        Raises:
            NotApplicable: it is a plain model.
        """
        _ = self.torch_config
        built = self.build()
        if not isinstance(built, TorchRunner):
            raise NotApplicable("not a torch model")
        return built.model.to(self.device)

    @property
    def run_folder(self) -> RunFolder:
        """The run folder of the training."""
        return RunFolder(self.folder / "run")

    @cached_property
    def trained(self) -> Model:
        """A model that was trained, saved and loaded as a run does it."""
        run_seed(self.run_folder, self.plan, self.spec, self.config, self.store, 0, str(self.device))
        return load_model(self.run_folder, 0, self.spec)

    @cached_property
    def twin(self) -> Model:
        """A model that was trained with the same seed, neither saved nor loaded; untrained if it doesn't learn."""
        model = self.build()
        with contextlib.suppress(NotApplicable):
            self.fit(model, self.examples("train"), self.examples("validation"))
        return model

    @cached_property
    def expected(self) -> Probabilities:
        """What the trained model says of the test split."""
        return self.predict(self.trained, self.test)

    def fit(self, model: Model, train: Examples, validation: Examples) -> None:
        """Train a model as a run does.

        Raises:
            NotApplicable: it doesn't learn.
        """
        if not isinstance(model, TrainableModel):
            raise NotApplicable("a model that isn't trained")
        with attributed(self.spec, "while it was trained"):
            model.fit(train, validation, self.fit_context("fit"))

    def predict(self, model: Model, examples: Examples, tasks: Sequence[Task] = ()) -> Probabilities:
        """Probabilities of all examples for the ``tasks`` that the model was built for, by default all.

        Raises:
            PluginError: they are not as they must be.
        """
        tasks, blocks, rows = tasks or self.store.tasks, [], 0
        with attributed(self.spec, "while it predicted"):
            for block in model.predict(examples, self.fit_context("predict")):
                rows += check_block(block, tasks, rows)
                blocks.append(block)
        if rows != len(examples):
            raise Broken(f"it predicted {rows} of {len(examples)} examples")
        return {task.name: np.concatenate([block[task.name] for block in blocks]) for task in tasks}

    def fit_context(self, name: str) -> FitContext:
        """What a model is told besides the examples; ``name`` is that of its scratch folder."""
        folder = self.folder / name
        folder.mkdir(exist_ok=True)
        return FitContext(0, str(self.device), folder)


def altered(examples: Examples, columns: Mapping[str, Sequence[Any]], name: str | None = None) -> Examples:
    """The same examples with other values in some columns, under another split name if one is given.

    Columns are those of a Store: ``text``, ``image`` (rows, -1 for none), ``id``, ``slice:market``.
    """
    table = examples.table
    for column, values in columns.items():
        at = table.schema.get_field_index(column)
        table = table.set_column(at, column, pa.array(list(values), table.schema.field(at).type))
    return Examples.of_table(examples.store, table, name or examples.split, examples.inputs)


def same(has: Mapping[str, NDArray[np.float32]], expected: Probabilities, when: str) -> None:
    """Compare two predictions.

    Raises:
        Broken: they differ by more than rounding.
    """
    for task, values in expected.items():
        difference = np.abs(has[task] - values)
        if not np.max(difference) <= TOLERANCE:
            moved = int((np.max(difference, axis=1) > TOLERANCE).sum())
            raise Broken(
                f"probabilities of {task} differ {when}: {moved} of {len(values)} examples, by up to "
                f"{np.max(difference):.2g}"
            )

"""A plugin under test: loaded, trained once, and shared by the checks."""

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
from mmeval.engine.collate import Collate
from mmeval.engine.device import Inference, resolve_device
from mmeval.engine.model import EmbeddingModel, FitContext, Model, TrainableModel
from mmeval.engine.predict import predict_batch
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
from mmeval.testing.check import CheckFailed, NotApplicable
from mmeval.testing.data import contract_data

Probabilities = dict[str, NDArray[np.float32]]
BATCH = 64
"""Examples that are embedded at once."""
TOLERANCE = 1e-4
"""Largest difference of two probabilities that should be equal: float32 rounding."""


class PluginUnderTest:
    """A model plugin with one configuration; it is trained once, when a check first needs a trained model."""

    def __init__(
        self, plugin: str, preset: str | None = None, changes: Sequence[str] = (), device: str = "cpu"
    ) -> None:
        """Load the plugin.

        Args:
            plugin: name of the plugin, or path of a Python file.
            preset: name of the preset, by default the plugin's default preset.
            changes: option changes in the form of ``--set``.
            device: device that the models are built and trained on.

        Raises:
            UserError: the plugin can't be loaded, has no such preset or option, or there is no such device.
        """
        self.name, self.device = plugin, resolve_device(device)
        self.spec = Manager().model(plugin)
        self.request = Request(
            plugin=plugin, dataset=DatasetRequest("shapes"), preset=preset, changes=tuple(changes), device=device
        )
        self.preset, self.config = configured(self.spec, self.request)
        if isinstance(self.config, TorchConfig):
            # The checks do not measure accuracy: one epoch is enough.
            short = ("recipe.epochs=1", "recipe.precision=fp32")
            self.config = configure(
                self.spec.config, self.spec.name, self.spec.presets[self.preset], (*changes, *short)
            )
        # Before any check, so that a cache folder that can't be written is not attributed to the plugin.
        with lock(home() / "locks" / "contract.lock"):
            pass
        self.folder, remove = scratch_folder("mmeval-contract-")
        weakref.finalize(self, remove)

    @cached_property
    def store(self) -> Store:
        """The prepared data set of the checks."""
        return prepare(contract_data(self.folder))

    @cached_property
    def plan(self) -> Plan:
        """The plan of the training run."""
        return make_plan(self.request, self.spec, self.preset, self.config, self.store)

    def examples(self, split: str) -> Examples:
        """Return a split, with the inputs that the plugin declares."""
        return Examples(self.store, split, self.plan.protocol.inputs)

    @cached_property
    def test_split(self) -> Examples:
        """The examples of the test split."""
        return self.examples("test")

    @property
    def torch_config(self) -> TorchConfig:
        """The config of the torch model.

        Raises:
            NotApplicable: the model is not a torch model.
        """
        if not isinstance(self.config, TorchConfig):
            raise NotApplicable("not a torch model")
        return self.config

    def context(self, tasks: int | None = None) -> ModelContext:
        """Return the context for building a model with the first ``tasks`` tasks, by default all."""
        return dataclasses.replace(context_of(self.examples("train")), tasks=self.store.tasks[:tasks])

    def build(self, tasks: int | None = None, seed: int = 0) -> Model:
        """Return an untrained model with the first ``tasks`` tasks, by default all."""
        torch.manual_seed(seed)
        with attributed(self.spec, "when it was built"):
            return as_model(self.spec.build(self.config, self.context(tasks)))

    def torch_model(self) -> TorchModel:
        """Return an untrained torch model.

        Raises:
            NotApplicable: the model is not a torch model.
        """
        _ = self.torch_config
        model = self.build()
        if not isinstance(model, TorchRunner):
            raise NotApplicable("not a torch model")
        return model.model.to(self.device)

    @property
    def run_folder(self) -> RunFolder:
        """The run folder of the training run."""
        return RunFolder(self.folder / "run")

    @cached_property
    def trained(self) -> Model:
        """A model that was trained, saved and loaded in the way of a run."""
        run_seed(self.run_folder, self.plan, self.spec, self.config, self.store, 0, str(self.device))
        return load_model(self.run_folder, 0, self.spec)

    @cached_property
    def in_memory(self) -> Model:
        """A model trained with the same seed, without saving and loading; untrained if the model has no training."""
        model = self.build()
        with contextlib.suppress(NotApplicable):
            self.fit(model, self.examples("train"), self.examples("validation"))
        return model

    @cached_property
    def expected(self) -> Probabilities:
        """Probabilities of the trained model for the test split."""
        return self.predict(self.trained, self.test_split)

    def fit(self, model: Model, train: Examples, validation: Examples) -> None:
        """Train a model in the way of a run.

        Raises:
            NotApplicable: the model has no training.
        """
        if not isinstance(model, TrainableModel):
            raise NotApplicable("a model without training")
        with attributed(self.spec, "while it was trained"):
            model.fit(train, validation, self.fit_context("fit"))

    def predict(self, model: Model, examples: Examples, tasks: Sequence[Task] = ()) -> Probabilities:
        """Return the probabilities of all examples for the tasks that the model was built for.

        Args:
            model: a model of the plugin.
            examples: the examples to predict.
            tasks: the model's tasks, by default all tasks of the data set.

        Returns:
            Per task an array ``[examples, classes]``.

        Raises:
            PluginError: the probabilities are invalid, or prediction fails.
            CheckFailed: the number of predictions differs from the number of examples.
        """
        tasks, blocks, rows = tasks or self.store.tasks, [], 0
        with attributed(self.spec, "while it predicted"):
            for block in model.predict(examples, self.fit_context("predict")):
                rows += check_block(block, tasks, rows)
                blocks.append(block)
        if rows != len(examples):
            raise CheckFailed(f"it predicted {rows} of {len(examples)} examples")
        return {task.name: np.concatenate([block[task.name] for block in blocks]) for task in tasks}

    def embed(self, model: Model, examples: Examples) -> NDArray[np.float32]:
        """Return the fused vectors ``[examples, D]``.

        Raises:
            NotApplicable: the model has none.
            PluginError: the vectors have a wrong shape or are not finite.
            CheckFailed: their number differs from the number of examples.
        """
        blocks: list[NDArray[np.float32]] = []
        with attributed(self.spec, "while it embedded"):
            if isinstance(model, TorchRunner):
                placement = Inference.of(self.device, model.model.config.recipe.precision)
                collate = Collate(examples, model.model.to(self.device).eval(), self.device, labels=False)
                for rows in np.array_split(np.arange(len(examples)), -(-len(examples) // BATCH)):
                    vectors = predict_batch(model.model, collate(rows), placement).embedding
                    if vectors is None:
                        raise NotApplicable("it gives no embedding")
                    blocks.append(vectors)
            elif isinstance(model, EmbeddingModel):
                blocks = list(model.embed(examples, self.fit_context("embed")))
            else:
                raise NotApplicable("it gives no embedding")
        if len({block.shape[1:] for block in blocks}) > 1 or any(block.ndim != 2 for block in blocks):
            raise CheckFailed(f"its embeddings have the shapes {', '.join(str(block.shape) for block in blocks)}")
        vectors = np.concatenate(blocks)
        if len(vectors) != len(examples):
            raise CheckFailed(f"it embedded {len(vectors)} of {len(examples)} examples")
        if not np.isfinite(vectors).all():
            raise CheckFailed("its embeddings hold NaN or infinity")
        return vectors

    def fit_context(self, name: str) -> FitContext:
        """Return the fit context of a model, with a scratch folder called ``name``."""
        folder = self.folder / name
        folder.mkdir(exist_ok=True)
        return FitContext(0, str(self.device), folder)


def with_columns(examples: Examples, columns: Mapping[str, Sequence[Any]], name: str | None = None) -> Examples:
    """Return a copy of the examples with other values in some columns.

    Args:
        examples: the examples.
        columns: new values by column of the Store: ``text``, ``image`` (rows, -1 for none), ``id``, ``slice:market``.
        name: name of the split, by default unchanged.
    """
    table = examples.table
    for column, values in columns.items():
        position = table.schema.get_field_index(column)
        table = table.set_column(position, column, pa.array(list(values), table.schema.field(position).type))
    return Examples.of_table(examples.store, table, name or examples.split, examples.inputs)


def assert_same(actual: Mapping[str, NDArray[np.float32]], expected: Probabilities, when: str) -> None:
    """Compare two sets of probabilities; ``when`` says in the message under which circumstance they differ.

    Raises:
        CheckFailed: they differ by more than rounding.
    """
    for task, values in expected.items():
        difference = np.abs(actual[task] - values)
        if not np.max(difference) <= TOLERANCE:
            changed = int((np.max(difference, axis=1) > TOLERANCE).sum())
            raise CheckFailed(
                f"probabilities of {task} differ {when}: {changed} of {len(values)} examples, by up to "
                f"{np.max(difference):.2g}"
            )

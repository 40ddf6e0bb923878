"""A trained model of a run, loaded and verified, with the temperatures that its validation predictions give."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from mmeval.api.spec import ModelSpec
from mmeval.api.task import ModelContext, Task
from mmeval.console import note, quiet
from mmeval.data.examples import Examples
from mmeval.data.languages import UNDETERMINED
from mmeval.data.loader import batches
from mmeval.data.prepare.image import StoredImage
from mmeval.data.store import Store
from mmeval.engine.collate import Collate, collate_single
from mmeval.engine.device import Inference
from mmeval.engine.model import EmbeddingModel, FitContext, Model
from mmeval.engine.predict import Block, Prediction, predict_batch
from mmeval.engine.runner import TorchRunner
from mmeval.errors import (
    MissingExtraError,
    MissingWeightsError,
    PluginError,
    RunFolderError,
    UnknownNameError,
    UserError,
)
from mmeval.files import digest
from mmeval.inference.chunk import single
from mmeval.metrics.predictions import check_block
from mmeval.metrics.temperature import scaled, validation_temperature
from mmeval.plugin.manager import Manager
from mmeval.plugin.onefile import is_file
from mmeval.protocol import EXTERNAL, Inputs
from mmeval.record import Record
from mmeval.runs.attribution import attributed
from mmeval.runs.folder import UNVERIFIED, RunFolder
from mmeval.runs.manifest import differences, format_differences
from mmeval.runs.train import installation_of, load_model, saved_context

LARGEST_BATCH = 256
"""Examples per forward pass at most, unless the user sets another size."""
FEW = 100
"""With fewer validation rows than this, a temperature is uncertain."""


@dataclass
class Member:
    """The model of one training seed of a run."""

    folder: RunFolder
    record: Record
    seed: int
    spec: ModelSpec
    model: Model
    context: ModelContext
    device: torch.device
    _lock: threading.RLock = field(default_factory=threading.RLock)

    @property
    def name(self) -> str:
        """Run and seed, for messages."""
        return f"{self.folder.path} (seed {self.seed})"

    @property
    def tasks(self) -> tuple[Task, ...]:
        """The tasks of the model."""
        return self.context.tasks

    @property
    def inputs(self) -> Inputs:
        """The inputs that the model was trained with."""
        return self.record.plan.protocol.inputs

    @property
    def identity(self) -> str:
        """A digest of the trained weights, which tells whether two embeddings are of one space."""
        prefix = self.folder.model_folder(self.seed).relative_to(self.folder.path).as_posix() + "/"
        files = {name: file.sha256 for name, file in self.record.files.items() if name.startswith(prefix)}
        return digest(*(part for pair in sorted(files.items()) for part in pair)) if files else ""

    @cached_property
    def temperatures(self) -> dict[str, float]:
        """The temperature of each task; empty if the run has no validation predictions.

        Raises:
            RunFolderError: the predictions were changed.
        """
        path = self.folder.validation_predictions_file(self.seed)
        if not path.is_file():
            return {}
        self.folder.require_unchanged(path)
        fits = {task.name: validation_temperature(path, task) for task in self.tasks}
        fitted = {name: own[0] for name, own in fits.items() if own}
        fewest = min((own[1] for own in fits.values() if own), default=0)
        if fitted and fewest < FEW:
            note(f"{self.name}: its probabilities are calibrated on only {fewest:,} validation rows")
        return fitted

    def predict(self, store: Store, *, calibrate: bool, batch_size: int | None, embed: bool = False) -> Prediction:
        """Predict all rows of a Store, of one chunk; the caller activates a memory for embeddings.

        Args:
            store: the rows.
            calibrate: whether to apply the temperatures.
            batch_size: examples per forward pass; None for four training batches, at most ``LARGEST_BATCH``.
            embed: whether the fused vectors are needed.

        Raises:
            PluginError: the model fails, or returns no probabilities.
        """
        examples = Examples(store, "predict", self.inputs)
        blocks: list[Block] = []
        vectors: list[NDArray[np.float32]] = []
        with self._lock, attributed(self.spec, "while it predicted"):
            if isinstance(self.model, TorchRunner):
                torch_model = self.model.model
                recipe = torch_model.config.recipe
                size = batch_size or min(4 * recipe.batch_size, LARGEST_BATCH)
                placement = Inference.of(self.device, recipe.precision)
                collate = Collate(examples, torch_model, self.device, labels=False)
                for batch in batches(np.arange(len(examples)), size, collate):
                    block, embedding = predict_batch(torch_model, batch, placement)
                    blocks.append(block)
                    if embed and embedding is not None:
                        vectors.append(embedding)
            else:
                with quiet():
                    blocks = list(map(dict, self.model.predict(examples, self._fit_context())))
        start = 0
        with attributed(self.spec, "while it predicted"):
            for block in blocks:
                start += check_block(block, self.tasks, start)
            if start != len(examples):
                raise PluginError(f"predict returned {start} rows for {len(examples)} examples.")
        joined = {task.name: _joined([block[task.name] for block in blocks], len(task.classes)) for task in self.tasks}
        embeddings = np.concatenate(vectors) if vectors else None
        return Prediction(self.calibrated(joined) if calibrate else joined, embeddings)

    def embed(self, store: Store, *, batch_size: int | None = None) -> NDArray[np.float32]:
        """Return the fused vectors ``[n, D]`` of all rows of a Store; zero for a row without image and text.

        Raises:
            UserError: the model has no fused vector.
            PluginError: the model fails, or its vectors have a wrong shape.
        """
        if isinstance(self.model, TorchRunner):
            if not store.examples.num_rows:
                return np.zeros((0, self.embedding_width), np.float32)
            vectors = self.predict(store, calibrate=False, batch_size=batch_size, embed=True).embedding
            if vectors is None:
                raise self._without_embeddings()
            return vectors
        if not isinstance(self.model, EmbeddingModel):
            raise self._without_embeddings()
        examples = Examples(store, "predict", self.inputs)
        with self._lock, attributed(self.spec, "while it embedded"), quiet():
            blocks = list(self.model.embed(examples, self._fit_context()))
            vectors = np.concatenate(blocks) if blocks else np.zeros((0, self.embedding_width), np.float32)
            if vectors.ndim != 2 or len(vectors) != len(examples):
                raise PluginError(f"embed returned vectors of the shape {vectors.shape} for {len(examples)} examples.")
            if not np.isfinite(vectors).all():
                raise PluginError("its vectors hold NaN or infinity.")
        shown = (examples.image_rows >= 0) | np.array([bool(text.strip()) for text in examples.texts], bool)
        return np.where(shown[:, None], vectors, 0).astype(np.float32)

    @cached_property
    def embedding_width(self) -> int:
        """The number of features ``D`` of the fused vector.

        Raises:
            UserError: the model has none.
        """
        empty = single(None, "", UNDETERMINED, dict.fromkeys(self.context.attributes, ""), self.tasks)
        return int(self.embed(empty).shape[1])

    def _without_embeddings(self) -> UserError:
        return UserError(
            f"{self.folder.path}: the model {self.spec.name} has no fused vector, so it can't embed rows; use `mmeval "
            "predict`, or a run of another model."
        )

    def predict_one(
        self, image: StoredImage | None, text: str, language: str, attributes: Mapping[str, str], *, calibrate: bool
    ) -> Block:
        """Predict a single example, without threads and without files."""
        image = image if self.inputs.image else None
        text = text if self.inputs.text else ""
        with self._lock, attributed(self.spec, "while it predicted"):
            if isinstance(self.model, TorchRunner):
                model = self.model.model
                data, digest = (image.data, image.digest) if image else (None, "")
                batch = collate_single(model, data, text, language, digest, attributes, self.device)
                block = predict_batch(
                    model, batch, Inference.of(self.device, model.config.recipe.precision)
                ).probabilities
                return self.calibrated(block) if calibrate else block
        store = single(image, text, language, attributes, self.tasks)
        return self.predict(store, calibrate=calibrate, batch_size=1).probabilities

    def calibrated(self, block: Mapping[str, NDArray[np.float32]]) -> Block:
        """Return probabilities at the temperatures of the run; those of a task without one are unchanged."""
        result = dict(block)
        for task in self.tasks:
            if task.name in self.temperatures:
                temperature = self.temperatures[task.name]
                result[task.name] = scaled(block[task.name], temperature, multilabel=task.multilabel)
        return result

    def _fit_context(self) -> FitContext:
        return FitContext(self.seed, str(self.device), Path())


def load_member(folder: RunFolder, seed: int, device: torch.device, plugin: str | None = None) -> Member:
    """Load the model of a training seed, after its files were compared with their digests.

    Args:
        folder: a finished run.
        seed: the training seed.
        device: where the model computes.
        plugin: the Python file of the model, for a run of a one-file plugin. A file that only the run folder names is
            never run.

    Raises:
        UserError: the model can't be loaded; the message says why.
    """
    record = folder.record
    if record.plan.protocol.track == EXTERNAL:
        raise RunFolderError(
            f"{folder.path} holds predictions that another tool made, so it has no model; name a run of `mmeval run`."
        )
    if seed not in record.plan.protocol.seeds:
        seeds = ", ".join(map(str, record.plan.protocol.seeds))
        raise UserError(f"--seed {seed}: {folder.path} has no training seed {seed}; it has {seeds}.")
    _require_weights(folder, record, seed)
    spec = _plugin(folder, record, seed, plugin)
    then, now = record.plan.plugin.version, spec.version
    versions = f"the run used version {then} of the plugin {spec.name}, and {now} is installed"
    try:
        model = load_model(folder, seed, spec)
        context = saved_context(folder, seed)
    except (MissingExtraError, MissingWeightsError):
        raise
    except UserError as error:
        if then == now:
            raise
        raise PluginError(f"{folder.path} can't be loaded: {versions}; install version {then}. ({error})") from error
    if then != now:
        note(f"{folder.path}: {versions}, so that predictions may differ.")
    if isinstance(model, TorchRunner):
        model.model.to(device).eval().requires_grad_(False)
    return Member(folder, record, seed, spec, model, context, device)


def _require_weights(folder: RunFolder, record: Record, seed: int) -> None:
    """Compare the files of a model with their digests.

    Raises:
        RunFolderError: a file is missing or was changed.
    """
    if record.schema_version == 1:
        note(f"{folder.path}: its files are {UNVERIFIED}.")
        return
    prefix = folder.model_folder(seed).relative_to(folder.path).as_posix() + "/"
    files = {name: file for name, file in record.files.items() if name.startswith(prefix)}
    if not files:
        raise RunFolderError(f"{folder.path} has no model of seed {seed}; {folder.rerun_advice('train it')}.")
    if changed := differences(folder.path, files):
        raise RunFolderError(
            f"{folder.path}: the model of seed {seed} can't be used: {format_differences(changed)}; copy the run "
            f"again, or {folder.rerun_advice('recreate it')}."
        )


def _plugin(folder: RunFolder, record: Record, seed: int, named: str | None) -> ModelSpec:
    """Return the model's plugin.

    Raises:
        PluginError: it is a file that the user has not named, or it is not installed.
    """
    recorded = record.plugin
    if is_file(recorded):
        if named is None:
            raise PluginError(
                f"The run {folder.path} used the file {recorded}, and mmeval runs no file that only a run folder "
                f"names; if you trust it, add --plugin {recorded}."
            )
    else:  # --plugin is for another run of an ensemble
        named = None
    try:
        spec = Manager().model(named or recorded)
    except UnknownNameError:
        distribution = installation_of(folder, seed)
        how = f"run: pip install '{distribution}'" if distribution else "install the package that provides it"
        raise PluginError(
            f"The run {folder.path} needs the plugin {recorded}, which is not installed; {how}."
        ) from None
    if spec.name != record.plan.plugin.name:
        raise PluginError(
            f"--plugin {named}: this file has the model {spec.name}, but the run {folder.path} is of "
            f"{record.plan.plugin.name}; name its file."
        )
    return spec


def _joined(parts: list[NDArray[np.float32]], classes: int) -> NDArray[np.float32]:
    return np.concatenate([np.zeros((0, classes), np.float32), *parts])

"""One training seed of a run: build, fit, save, predict."""

from __future__ import annotations

import contextlib
import json
import re
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from mmeval.api.config import ModelConfig
from mmeval.api.spec import ModelSpec
from mmeval.api.task import ModelContext
from mmeval.data.examples import Examples
from mmeval.data.store import Store
from mmeval.engine.cost import Cost, measure
from mmeval.engine.model import FitContext, Model, TrainableModel
from mmeval.engine.runner import as_model
from mmeval.errors import PluginError, RunFolderError
from mmeval.metrics.predictions import write_predictions
from mmeval.record import Plan, with_current_names
from mmeval.runs.attribution import attributed
from mmeval.runs.efficiency import Measurements
from mmeval.runs.folder import RunFolder

_DISTRIBUTION, _VERSION = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?"), re.compile(r"[A-Za-z0-9.!+_-]+")
"""Names and versions of packages; a run folder may hold anything, and a user may paste the command."""


def run_seed(
    folder: RunFolder, plan: Plan, spec: ModelSpec, config: ModelConfig, store: Store, seed: int, device: str
) -> dict[str, Any]:
    """Train with one seed, save the model, predict test and validation split; return the facts for the record.

    The validation predictions serve metrics that need thresholds or calibration; an empty split has none. Files are
    written atomically, and ``fit.json`` last: a seed with ``fit.json`` is finished.
    """
    protocol, started = plan.protocol, time.perf_counter()
    train, validation, test = (
        Examples(store, split, protocol.inputs, protocol.limit) for split in ("train", "validation", protocol.split)
    )
    context, model_folder = context_of(train), folder.model_folder(seed)
    fit_context = FitContext(seed, device, model_folder)
    facts: dict[str, Any] = {}
    with Measurements(device) as measurements:
        torch.manual_seed(seed)
        with attributed(spec, "when it was built"):
            model = as_model(spec.build(config, context))
        model_folder.mkdir(parents=True, exist_ok=True)
        # The seed counts as unfinished from here on, also if an earlier attempt finished it.
        folder.facts_file(seed).unlink(missing_ok=True)
        if isinstance(model, TrainableModel):
            with attributed(spec, "while it was trained"), measurements.timed("train", len(train)):
                facts |= _facts(model.fit(train, validation, fit_context))
        with attributed(spec, "when it was saved"):
            model.save(model_folder)
        folder.write_json(model_folder / "config.json", _config(plan, spec, context))
        predicted = {folder.predictions_file(seed): test}
        if len(validation):
            predicted[folder.validation_predictions_file(seed)] = validation
        for path, examples in predicted.items():
            with attributed(spec, "while it predicted"):
                blocks = measurements.timed_items(model.predict(examples, fit_context), "predict", len(examples))
                _write_predictions(path, examples, blocks)
    facts["seconds"] = time.perf_counter() - started
    # All seeds train the same model, so that the first one measures it for all.
    cost = measure(model, test, device) if seed == protocol.seeds[0] else Cost()
    facts["efficiency"] = measurements.result(cost, _number(facts.get("examples_per_second"))).model_dump()
    folder.finish_seed(seed, facts)
    return facts


def _write_predictions(path: Path, examples: Examples, blocks: Iterable[Mapping[str, NDArray[np.float32]]]) -> None:
    store = examples.store
    columns = {"id": examples.ids, "language": examples.languages, "cluster": examples.clusters}
    columns |= {f"slice:{name}": examples.slice(name) for name in store.slices}
    labels = {task.name: examples.labels(task.name) for task in store.tasks}
    write_predictions(path, store.tasks, columns, labels, blocks)


def context_of(train: Examples) -> ModelContext:
    """Return the description of the training data that a model gets when it is built."""
    attributes = {name: tuple(sorted(set(train.attribute(name)))) for name in train.store.attributes}
    languages = tuple(sorted(set(train.languages)))
    return ModelContext(
        tasks=train.store.tasks,
        class_counts=train.class_counts(),
        languages=languages,
        attributes=attributes,
        class_names=train.store.class_names,
        labelled=train.labelled_counts(),
    )


def load_model(folder: RunFolder, seed: int, spec: ModelSpec) -> Model:
    """Load a trained model from a run folder.

    Raises:
        RunFolderError: ``config.json`` is missing or can't be used.
    """
    with _reading(folder, seed) as saved:
        config = spec.config.model_validate(with_current_names(saved["config"]))
        context = ModelContext.from_json(saved["context"])
    with attributed(spec, "when it was loaded"):
        model = as_model(spec.build(config, context))
        model.load(folder.model_folder(seed))
    return model


def saved_context(folder: RunFolder, seed: int) -> ModelContext:
    """Return the description of the training data that a trained model was built with.

    Raises:
        RunFolderError: ``config.json`` is missing or can't be used.
    """
    with _reading(folder, seed) as saved:
        return ModelContext.from_json(saved["context"])


def installation_of(folder: RunFolder, seed: int) -> str:
    """Return the distribution of a trained model's plugin as pip takes it, ``acme-fusion==1.2``; empty if not recorded.

    Raises:
        RunFolderError: ``config.json`` is missing or can't be used.
    """
    with _reading(folder, seed) as saved:
        name, _, version = str(saved.get("distribution", "")).partition(" ")
    return f"{name}=={version}" if _DISTRIBUTION.fullmatch(name) and _VERSION.fullmatch(version) else ""


@contextlib.contextmanager
def _reading(folder: RunFolder, seed: int) -> Iterator[dict[str, Any]]:
    """Yield the content of a seed's ``config.json``; errors in reading it become one sentence."""
    path = folder.model_folder(seed) / "config.json"
    try:
        yield json.loads(path.read_bytes())
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise RunFolderError(
            f"{path} can't be used ({type(error).__name__}); repeat the run with --output {folder.path}."
        ) from None


def _facts(returned: object) -> dict[str, Any]:
    """Return the facts that ``fit`` returned as JSON; checked at once, before the model is saved and predicts."""
    if returned is None:
        return {}
    if not isinstance(returned, Mapping):
        raise PluginError(f"fit must return a mapping, but returned a {type(returned).__name__}.")
    try:
        facts: dict[str, Any] = json.loads(json.dumps(dict(returned), default=float))
    except (TypeError, ValueError) as error:
        raise PluginError(f"the facts that fit returned can't be written as JSON: {error}.") from None
    return facts


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and 0 < value < float("inf") else None


def _config(plan: Plan, spec: ModelSpec, context: ModelContext) -> dict[str, Any]:
    plugin = {"plugin": plan.plugin.name, "version": plan.plugin.version, "distribution": spec.distribution}
    return plugin | {"config": plan.config, "context": context.as_json()}

"""Compare options of a plugin by cross-validation on train and validation, without reading the test split.

    python benchmarks/select_preset.py "" width=512 "dropout=0.5 width=512"

Each argument is a candidate: space-separated changes as for ``--set``. All rows of an image are in one fold. The script
prints top-1 of the first task, averaged over languages and folds.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
import torch

from mmeval.api.spec import ModelSpec
from mmeval.data.examples import Examples
from mmeval.data.prepare.prepare import prepare
from mmeval.data.store import Store
from mmeval.engine.device import resolve_device
from mmeval.engine.model import FitContext, TrainableModel
from mmeval.engine.runner import as_model
from mmeval.metrics.per_example import mean_language_top1
from mmeval.plugin.configure import configure
from mmeval.plugin.manager import Manager
from mmeval.runs.train import context_of


def main() -> None:
    """Cross-validate each candidate and print its scores."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("candidates", nargs="+", help='"" for the defaults, or "key=value key=value"')
    parser.add_argument("--plugin", default="embracenet")
    parser.add_argument("--dataset", default="emoji14")
    parser.add_argument("--folds", type=int, default=3)
    parser.add_argument("--device", default="auto")
    arguments = parser.parse_args()
    manager = Manager()
    spec, store = manager.model(arguments.plugin), prepare(manager.dataset(arguments.dataset))
    for candidate in arguments.candidates:
        scores = cross_validate(spec, store, candidate.split(), arguments.folds, arguments.device)
        folds = " ".join(f"{score:.4f}" for score in scores)
        print(f"{np.mean(scores):.4f}  ({folds})  {candidate or 'defaults'}", flush=True)


def cross_validate(spec: ModelSpec, store: Store, changes: list[str], folds: int, device: str) -> list[float]:
    """Return the score on each fold of a model that is trained on the other folds."""
    config = configure(spec.config, spec.name, spec.presets[spec.default_preset], changes)
    split = np.asarray(store.examples["split"].to_pylist())
    rows = np.flatnonzero(np.isin(split, ["train", "validation"]))
    _, image = np.unique(np.asarray(store.examples["cluster"].to_pylist())[rows], return_inverse=True)
    # Of six parts, `folds` are held out in turn: the training sets are then as large as the real one.
    part = np.random.default_rng(0).permutation(int(np.max(image)) + 1)[image] % 6
    scores = []
    for fold in range(folds):
        train = Examples.of_rows(store, rows[part != fold], "train")
        held_out = Examples.of_rows(store, rows[part == fold], "held out")
        torch.manual_seed(fold)
        model = as_model(spec.build(config, context_of(train)))
        task = store.tasks[0].name
        with tempfile.TemporaryDirectory() as folder:
            context = FitContext(fold, str(resolve_device(device)), Path(folder))
            # The held-out part must not select the epoch, and no other data is left. A sample of the training part
            # takes the place of validation; it prefers the last epochs.
            if isinstance(model, TrainableModel):
                model.fit(train, train_sample(store, rows[part != fold]), context)
            blocks = [block[task] for block in model.predict(held_out, context)]
        scores.append(mean_language_top1(held_out.labels(task), np.concatenate(blocks), held_out.languages))
    return scores


def train_sample(store: Store, rows: np.ndarray) -> Examples:
    """Return about 500 training rows, in the role of the validation split."""
    return Examples.of_rows(store, rows[:: max(1, len(rows) // 500)], "validation")


if __name__ == "__main__":
    main()

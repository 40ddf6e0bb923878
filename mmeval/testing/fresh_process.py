"""Prediction with a saved model in a new process.

Usage: ``python -m mmeval.testing.fresh_process PLUGIN INPUTS RUN STORE OUTPUT``.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from mmeval.data.examples import Examples
from mmeval.data.store import Store
from mmeval.engine.model import FitContext
from mmeval.plugin.manager import Manager
from mmeval.protocol import Inputs
from mmeval.runs.folder import RunFolder
from mmeval.runs.train import load_model


def main(plugin: str, inputs: str, run: str, store: str, output: str) -> None:
    """Load the model of a run folder, predict the test split, and write ``OUTPUT-N.npy`` for task number N."""
    model = load_model(RunFolder(Path(run)), 0, Manager().model(plugin))
    examples = Examples(Store(Path(store)), "test", Inputs(inputs))
    blocks = list(model.predict(examples, FitContext(0, "cpu", Path(run))))
    for number, task in enumerate(examples.store.tasks):
        np.save(f"{output}-{number}.npy", np.concatenate([block[task.name] for block in blocks]), allow_pickle=False)


if __name__ == "__main__":
    main(*sys.argv[1:])

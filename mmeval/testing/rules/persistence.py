"""Checks of saved models: equal predictions, no pickles, a new process, no network."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import IO

import numpy as np
import torch

from mmeval.errors import UserError
from mmeval.runs.attribution import attributed
from mmeval.testing.check import CheckFailed, contract_check
from mmeval.testing.network import no_network
from mmeval.testing.plugin_under_test import PluginUnderTest, assert_same

PICKLES = (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")


@contract_check(
    "save-load",
    "a model gives the same probabilities after saving and loading",
    "a published model would differ from the scored one",
)
def save_load(plugin: PluginUnderTest) -> None:
    """Train, predict and save; load into a new model and predict."""
    model = plugin.in_memory
    before = plugin.predict(model, plugin.test_split)
    folder = plugin.folder / "saved"
    folder.mkdir(exist_ok=True)
    with attributed(plugin.spec, "when it was saved"):
        model.save(folder)
    loaded = plugin.build(seed=1)
    with attributed(plugin.spec, "when it was loaded"):
        loaded.load(folder)
    assert_same(plugin.predict(loaded, plugin.test_split), before, "after saving and loading")


@contract_check(
    "no-pickle",
    "the files of a saved model contain no pickle",
    "loading a model of somebody else could execute their code",
)
def no_pickle(plugin: PluginUnderTest) -> None:
    """Check every file of the model's folder."""
    _ = plugin.trained
    for path in sorted(plugin.run_folder.model_folder(0).rglob("*")):
        if path.is_file() and _is_pickle(path):
            raise CheckFailed(f"{path.name} is a pickle; save weights with safetensors, other data as JSON")


@contract_check(
    "fresh-process",
    "a new process loads the model and gives the same probabilities",
    "a model couldn't be used after training, because it needs state of the training process",
)
def fresh_process(plugin: PluginUnderTest) -> None:
    """Load the model of the run folder and predict in a new interpreter."""
    _ = plugin.trained
    output = plugin.folder / "fresh"
    name = str(Path(plugin.name).resolve()) if plugin.name.endswith(".py") else plugin.name
    inputs = plugin.plan.protocol.inputs.value
    files = (plugin.run_folder.path, plugin.store.folder, output)
    call = [sys.executable, "-m", "mmeval.testing.fresh_process", name, inputs, *map(str, files)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    environment |= {"OMP_NUM_THREADS": str(torch.get_num_threads())}
    done = subprocess.run(call, capture_output=True, encoding="utf-8", errors="replace", check=False, env=environment)
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
        raise CheckFailed(f"a new process can't predict with the model: {lines[-1]}")
    tasks = enumerate(plugin.store.tasks)
    probabilities = {task.name: np.load(f"{output}-{number}.npy", allow_pickle=False) for number, task in tasks}
    assert_same(probabilities, plugin.expected, "in a new process")


@contract_check(
    "no-network",
    "prediction does not use the network",
    "the model would fail without a network, and might change with the host it contacts",
)
def no_network_at_predict_time(plugin: PluginUnderTest) -> None:
    """Predict while connections are refused and recorded."""
    model = plugin.trained
    with no_network() as attempts:
        try:
            plugin.predict(model, plugin.test_split)
        except UserError:
            if not attempts:
                raise
    if attempts:
        raise CheckFailed(f"prediction tried to reach {', '.join(dict.fromkeys(attempts))}")


def _is_pickle(path: Path) -> bool:
    """Return whether a file is a pickle or contains one."""
    if path.suffix in (".pkl", ".pickle", ".joblib"):
        return True
    if zipfile.is_zipfile(path):  # written by torch.save or np.savez
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            return any(name.endswith(".pkl") for name in names) or any(_has_objects(archive.open(n)) for n in names)
    with path.open("rb") as file:
        head = file.read(9)
    # A safetensors file begins with the length of its header, which may equal the first bytes of a pickle.
    return (head[:2] in PICKLES and head[8:] != b"{") or _has_objects(path.open("rb"))


def _has_objects(file: IO[bytes]) -> bool:
    """Return whether a file is a NumPy array of Python objects, which NumPy stores as a pickle; closes the file."""
    with file:
        if file.read(6) != np.lib.format.MAGIC_PREFIX:
            return False
        return b"'|O" in file.read(4096).split(b"\n", 1)[0]

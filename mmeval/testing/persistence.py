"""Rules about a model that was saved, and about the machine it is used on."""

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
from mmeval.testing.check import rule
from mmeval.testing.network import no_network
from mmeval.testing.outcome import Broken
from mmeval.testing.subject import Subject, same

PICKLES = (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")


@rule(
    "save-load",
    "a saved model predicts as the model that was saved",
    "a published model wouldn't be the one that was scored",
)
def save_load(subject: Subject) -> None:
    """Train, predict, save; load into a fresh model, predict."""
    model = subject.twin
    before = subject.predict(model, subject.test)
    folder = subject.folder / "saved"
    folder.mkdir(exist_ok=True)
    with attributed(subject.spec, "when it was saved"):
        model.save(folder)
    again = subject.build(seed=1)
    with attributed(subject.spec, "when it was loaded"):
        again.load(folder)
    same(subject.predict(again, subject.test), before, "after saving and loading")


@rule(
    "no-pickle",
    "a saved model holds no pickle",
    "loading somebody's model could run somebody's code",
)
def no_pickle(subject: Subject) -> None:
    """Look into every file of the model's folder."""
    _ = subject.trained
    for path in sorted(subject.run_folder.model_folder(0).rglob("*")):
        if path.is_file() and _is_pickle(path):
            raise Broken(f"{path.name} is a pickle; save weights with safetensors, other facts as JSON")


@rule(
    "fresh-process",
    "another process loads the model and predicts the same",
    "a model trained yesterday couldn't be used today: it hangs on something that only training had set up",
)
def fresh_process(subject: Subject) -> None:
    """Load the model of the run folder with a new interpreter."""
    _ = subject.trained
    output = subject.folder / "fresh"
    plugin = str(Path(subject.plugin).resolve()) if subject.plugin.endswith(".py") else subject.plugin
    inputs = subject.plan.protocol.inputs.value
    files = (subject.run_folder.path, subject.store.folder, output)
    call = [sys.executable, "-m", "mmeval.testing.fresh", plugin, inputs, *map(str, files)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    environment |= {"OMP_NUM_THREADS": str(torch.get_num_threads())}
    done = subprocess.run(call, capture_output=True, encoding="utf-8", errors="replace", check=False, env=environment)
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
        raise Broken(f"a fresh process can't predict with it: {lines[-1]}")
    tasks = enumerate(subject.store.tasks)
    found = {task.name: np.load(f"{output}-{number}.npy", allow_pickle=False) for number, task in tasks}
    same(found, subject.expected, "in a fresh process")


@rule(
    "no-network",
    "predicting reaches for no network",
    "the model would stop where there is none, and might change when a host does",
)
def no_network_at_predict_time(subject: Subject) -> None:
    """Predict while connections are refused and counted."""
    model = subject.trained
    with no_network() as attempts:
        try:
            subject.predict(model, subject.test)
        except UserError:
            if not attempts:
                raise
    if attempts:
        raise Broken(f"it tried to reach {', '.join(dict.fromkeys(attempts))} while it predicted")


def _is_pickle(path: Path) -> bool:
    if path.suffix in (".pkl", ".pickle", ".joblib"):
        return True
    if zipfile.is_zipfile(path):  # what torch.save and np.savez write
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            return any(name.endswith(".pkl") for name in names) or any(_has_objects(archive.open(n)) for n in names)
    with path.open("rb") as file:
        head = file.read(9)
    # A file of safetensors begins with the length of its header, which may look like a pickle's first bytes.
    return (head[:2] in PICKLES and head[8:] != b"{") or _has_objects(path.open("rb"))


def _has_objects(opened: IO[bytes]) -> bool:
    """Whether a file of NumPy's holds Python objects, which it keeps as a pickle."""
    with opened as file:
        if file.read(6) != np.lib.format.MAGIC_PREFIX:
            return False
        return b"'|O" in file.read(4096).split(b"\n", 1)[0]

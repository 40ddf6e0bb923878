"""Loading the classifier of one or several runs."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from mmeval.console import note
from mmeval.engine.device import resolve_device
from mmeval.errors import RunFolderError, UserError
from mmeval.inference.classifier import Classifier
from mmeval.inference.member import load_member
from mmeval.plugin.onefile import is_file
from mmeval.runs.folder import RunFolder

Run = str | Path | RunFolder
"""A run folder, its path, or the name of a published run, ``owner/name``."""
_REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


def load(
    run: Run | Sequence[Run],
    *,
    seed: int | None = None,
    ensemble: bool = False,
    device: str = "auto",
    plugin: str | Path | None = None,
) -> Classifier:
    """Load the trained model of a run, to classify new rows.

    Its files are first compared with their digests. Nothing is executed that only the run folder names.

    Args:
        run: the run folder, or a run on the Hub, ``owner/name``; several of them with ``ensemble``.
        seed: the training seed; by default the first one.
        ensemble: average the probabilities over all training seeds, and over all runs, which must have the same tasks.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
        plugin: the Python file of the model, for a run whose model is a one-file plugin.

    Raises:
        UserError: there is no finished run, its plugin is not installed, its files were changed, or the runs can't be
            averaged.
    """
    runs = [run] if isinstance(run, str | Path | RunFolder) else list(run)
    if not runs:
        raise UserError("Name a run folder; `mmeval run` creates one.")
    folders = list(map(_folder, runs))
    if len(folders) > 1 and not ensemble:
        names = ", ".join(str(folder.path) for folder in folders)
        raise UserError(f"{names}: several runs are averaged with --ensemble; without it, name one.")
    if plugin is not None and not any(is_file(folder.record.plugin) for folder in folders):
        own = folders[0].record.plugin
        raise UserError(f"--plugin {plugin}: the run {folders[0].path} has the plugin {own}; leave --plugin out.")
    place = resolve_device(device)
    chosen = list(_chosen(folders, seed, ensemble=ensemble))
    named = None if plugin is None else str(plugin)
    return Classifier([load_member(folder, own, place, named) for folder, own in chosen])


def _folder(run: Run) -> RunFolder:
    """Return a run folder; a name ``owner/name`` that is no path is fetched from the Hub.

    Raises:
        UserError: the repository can't be reached, or is no run.
    """
    if isinstance(run, RunFolder):
        return run
    if isinstance(run, str) and _REPOSITORY.fullmatch(run) and not Path(run).exists():
        from mmeval.runs.pull import pull

        try:
            return pull(run)
        except UserError as error:
            raise RunFolderError(f"There is no folder {run}. As a repository on the Hub: {error}") from error
    return RunFolder(run)


def _chosen(folders: Sequence[RunFolder], seed: int | None, *, ensemble: bool) -> Iterator[tuple[RunFolder, int]]:
    """Yield each run with a training seed to load, and tell the user which one of several it is."""
    for folder in folders:
        seeds = folder.record.plan.protocol.seeds
        if seed is not None:
            yield folder, seed
        elif ensemble:
            yield from ((folder, own) for own in seeds)
        else:
            if len(seeds) > 1:
                how = "--seed N for another, --ensemble for all"
                note(f"{folder.path} has {len(seeds)} training seeds; {seeds[0]} is used ({how})")
            yield folder, seeds[0]

"""Scored run folders with given predictions, for reports and figures of several runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmeval import RunFolder
from mmeval.runs.gallery import write_empty_gallery
from mmeval.runs.scoring import write_scores_of
from tests.comparison.run_folders import CLASSES, examples, guesses, write_run


def scored_run(
    path: Path,
    accuracy: float,
    seed: int = 0,
    *,
    rows: int = 300,
    languages: Sequence[str] = ("de", "et", "sl"),
    classes: tuple[str, ...] = CLASSES,
    **options: Any,
) -> RunFolder:
    """Return a finished run of a model with about this accuracy, with scores and an empty gallery.

    All runs with the same rows, languages and classes have the same examples.
    """
    table = examples(rows, languages)
    table["true"] = table["true"] % len(classes)
    predicted = guesses(table["true"], accuracy, seed) % len(classes)
    folder = write_run(path, table, {0: predicted}, classes=classes, **options)
    write_scores_of(folder, folder.record)
    write_empty_gallery(folder.gallery_file)
    folder.finish(folder.record, [folder.scores_file, folder.gallery_file])
    return folder

"""Figures of finished runs: their files are read, and the figure is drawn and written."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mmeval.console import note, progress
from mmeval.errors import MissingExtraError, UserError
from mmeval.metrics.outcomes import Outcomes
from mmeval.metrics.predictions import read_predictions
from mmeval.record import SeedFacts
from mmeval.report.analysis import Reliability
from mmeval.report.confusion import confusion_matrix
from mmeval.report.content import Content
from mmeval.report.score_table import run_labels
from mmeval.runs.analysis import analysis_of
from mmeval.runs.compare import compare_folders, run_names
from mmeval.runs.folder import RunFolder
from mmeval.runs.formatted import read_content, require_names

if TYPE_CHECKING:
    from mmeval.report.figures.style import Drawn

MOST_CURVES = 4
"""Runs of a reliability diagram, whose curves lie close together."""
NARROWEST_MM, WIDEST_MM = 50.0, 600.0


def plot(
    folders: Sequence[RunFolder],
    kind: str,
    output: Path,
    *,
    task: str | None = None,
    metric: str | None = None,
    width_mm: float | None = None,
) -> str:
    """Draw a figure of finished runs and write it as SVG, PNG or PDF; return a caption for it.

    Args:
        folders: the finished runs; ``confusion`` takes one, ``comparison`` two or more.
        kind: one of ``KINDS``.
        output: the file; its ending names the format.
        task: the task; by default the first one.
        metric: the metric of ``languages`` and ``comparison``; by default the first one of the report.
        width_mm: width of the figure in millimetres; by default that of a column of a paper.

    Raises:
        UserError: an option is wrong, the runs have no such data, or matplotlib is not installed.
        RunFolderError: a folder is no finished run, or its files were changed.
    """
    if kind not in KINDS:
        raise UserError(f"--kind {kind}: the kinds are {', '.join(KINDS)}.")
    if importlib.util.find_spec("matplotlib") is None:
        raise MissingExtraError("mmeval plot", "matplotlib", "plot")
    from mmeval.report.figures.style import COLUMN_MM, MOST_RUNS, figure_format, save, styled

    figure_format(output)
    width = COLUMN_MM if width_mm is None else width_mm
    if not NARROWEST_MM <= width <= WIDEST_MM:
        raise UserError(f"--width {width:g}: write millimetres from {NARROWEST_MM:g} to {WIDEST_MM:g}.")
    if kind == "confusion" and len(folders) > 1:
        raise UserError(f"--kind confusion shows one run, but there are {len(folders)}; name one.")
    if kind == "comparison" and len(folders) < 2:
        raise UserError("--kind comparison needs at least two runs: mmeval plot RUN RUN --kind comparison.")
    most = MOST_CURVES if kind == "reliability" else MOST_RUNS
    if kind != "comparison" and len(folders) > most:
        raise UserError(f"--kind {kind}: {len(folders)} runs can't be told apart in one figure; name at most {most}.")
    if metric is not None and kind not in ("languages", "comparison"):
        raise UserError(f"--metric {metric}: --kind {kind} has no metric; leave --metric out.")
    if kind == "learning" and task is not None:
        raise UserError(f"--task {task}: learning curves are of the score that selects the epoch; leave --task out.")
    contents = dict(zip(run_names(folders), map(read_content, folders), strict=True))
    for content, folder in zip(contents.values(), folders, strict=True):
        require_names(content, folder, [task] if task else [], [metric] if metric else [])
    request = _Request(folders, contents, task or next(iter(contents.values())).tasks[0], metric, width)
    texts, draw = KINDS[kind](request)
    with styled(texts) as missing:
        drawn = draw()
        save(drawn, output)
    if missing:
        letters = "".join(missing[:10]) + ("…" if len(missing) > 10 else "")
        shown = "" if figure_format(output) == "svg" else ", so the figure shows boxes in their place"
        note(f"No installed font has the letters {letters}{shown}; install a font that has them, such as Noto Sans.")
    return drawn.caption


@dataclass(frozen=True)
class _Request:
    """The runs and the choices of a figure."""

    folders: Sequence[RunFolder]
    contents: Mapping[str, Content]
    """By the names of the runs."""
    task: str
    metric: str | None
    width: float

    @property
    def labels(self) -> dict[str, str]:
        """A short label for each run."""
        return run_labels(self.contents)

    @property
    def title(self) -> str:
        """The models, the task and the data, for a caption."""
        first = next(iter(self.contents.values())).record.plan.protocol
        return f"{', '.join(self.labels.values())} ({self.task} of {first.dataset}, {first.split} split)"


_Drawing = tuple[list[str], Callable[[], "Drawn"]]
"""Texts that may be in any script, and the function that draws."""


def _languages(request: _Request) -> _Drawing:
    from mmeval.report.figures.languages import languages

    first = next(iter(request.contents.values()))
    metric = request.metric or first.first_metric(request.task)
    contents = {request.labels[name]: content for name, content in request.contents.items()}
    if not any(content.ranked(request.task, metric) for content in contents.values()):
        raise UserError(f"{request.folders[0].path}: {metric} of {request.task} has no value in any language.")
    return [*contents, *first.languages], lambda: languages(contents, request.task, metric, request.width)


def _reliability(request: _Request) -> _Drawing:
    from mmeval.report.figures.reliability import reliability

    curves: dict[str, Reliability] = {}
    for folder, (name, content) in zip(request.folders, request.contents.items(), strict=True):
        for seed in content.record.plan.protocol.seeds:
            folder.require_unchanged(folder.predictions_file(seed))
        analysed = analysis_of(folder, content.record).get(request.task)
        if analysed is None or not analysed.reliability:
            raise UserError(f"{folder.path}: {request.task} has no probabilities, so there is no confidence to draw.")
        if len(request.folders) == 1:
            curves |= {curve.title.partition(" on validation")[0]: curve for curve in analysed.reliability}
        else:
            curves[request.labels[name]] = analysed.reliability[0]
    return list(curves), lambda: reliability(curves, request.title, request.width)


def _confusion(request: _Request) -> _Drawing:
    from mmeval.report.figures.confusion import confusion, most_classes

    (folder,) = request.folders
    seeds = folder.record.plan.protocol.seeds
    outcomes = []
    classes: tuple[str, ...] = ()
    with progress("Reading", len(seeds), "predictions files") as advance:
        for seed in seeds:
            file = folder.predictions_file(seed)
            folder.require_unchanged(file)
            predictions = read_predictions(file)
            if request.task in predictions.multilabel:
                raise UserError(
                    f"--kind confusion: {request.task} is a multi-label task, whose rows have several classes."
                )
            own = predictions.outcomes[request.task]
            classes = next(task.classes for task in predictions.tasks if task.name == request.task)
            outcomes.append(Outcomes(own.true, own.predicted, {}, own.classes))
            advance(1)
    if not (outcomes[0].true >= 0).any():
        raise UserError(f"{folder.path}: no row has a label of {request.task}.")
    matrix = confusion_matrix(outcomes, classes, most_classes(request.width))
    return list(matrix.classes), lambda: confusion(matrix, request.title, request.width)


def _learning(request: _Request) -> _Drawing:
    from mmeval.report.figures.learning import learning

    for folder, content in zip(request.folders, request.contents.values(), strict=True):
        if not any(SeedFacts.model_validate(facts).history for facts in content.record.seeds.values()):
            why = "another tool made its predictions"
            if content.record.source is None:
                why = "its model trains without epochs, or an older version of mmeval trained it"
            raise UserError(f"{folder.path} has no history of epochs, so there is no learning curve to draw: {why}.")
    records = {request.labels[name]: content.record for name, content in request.contents.items()}
    return list(records), lambda: learning(records, request.width)


def _comparison(request: _Request) -> _Drawing:
    from mmeval.report.figures.comparison import comparison

    compared = compare_folders(request.folders, task=request.task, metric=request.metric, ignored=("inputs",))
    labels = request.labels
    return list(labels.values()), lambda: comparison(compared, request.contents, labels, request.width)


KINDS: Mapping[str, Callable[[_Request], _Drawing]] = {
    "languages": _languages,
    "reliability": _reliability,
    "confusion": _confusion,
    "learning": _learning,
    "comparison": _comparison,
}
"""The kinds of figures."""

"""Tables of scores for papers: languages by metrics of one run, or models by languages of several runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mmeval.comparison.best import significantly_best
from mmeval.comparison.comparison import Comparison
from mmeval.metrics.row import GAP, MACRO, WORST
from mmeval.report.content import SUMMARY_TITLES, Content, Estimate

MARKS = "* Too few examples, clusters, seeds or rows of a class for the interval to be relied on."
BOLD = (
    "Bold: significantly better than every other model (paired tests of whole clusters, Holm over all languages and "
    "pairs of models, p < .05)."
)
NO_BOLD = (
    "Nothing is bold: nowhere is a model significantly better than every other one (paired tests of whole clusters, "
    "Holm over all languages and pairs of models, p < .05)."
)


@dataclass(frozen=True)
class Row:
    """A row of scores."""

    label: str
    cells: tuple[Estimate, ...]
    n: int | None = None
    """Number of examples, in tables that have a row per language; None for a row of no fixed language."""
    bold: tuple[int, ...] = ()
    """Numbers of the cells that are significantly the best."""
    summary: bool = False
    """Whether it summarises languages and stands below them."""


@dataclass(frozen=True)
class ScoreTable:
    """A table of scores with 95 % intervals."""

    name: str
    """A name for references, such as ``emoji14 group``."""
    caption: str
    corner: str
    """The heading of the first column."""
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    notes: tuple[str, ...] = ()
    """Sentences that explain marks."""

    @property
    def has_counts(self) -> bool:
        """Whether the table has a column of the numbers of examples."""
        return any(row.n is not None for row in self.rows)


def language_table(content: Content, task: str, metrics: Sequence[str]) -> ScoreTable:
    """Return the table of one run: languages by metrics. Nothing is bold, since no test compares it with another.

    Args:
        content: the content of the run's report.
        task: the task.
        metrics: the metrics, one per column.
    """
    keys = [(language, language, False) for language in content.languages]
    keys += [(key, title, True) for key, title in content.summary_rows]
    rows = tuple(
        Row(
            label,
            tuple(content.estimate(task, key, metric) for metric in metrics),
            n=None if key in (WORST, GAP) else content.estimate(task, key, metrics[0]).n,
            summary=summary,
        )
        for key, label, summary in keys
    )
    protocol = content.record.plan.protocol
    caption = f"{content.title}: {task}, {protocol.split} split, {protocol.inputs.value}. {_seeds(content)}"
    columns = tuple(map(content.metric_title, metrics))
    return ScoreTable(f"{protocol.dataset} {task}", caption, "language", columns, rows, _notes(rows))


def model_table(contents: Mapping[str, Content], comparison: Comparison) -> ScoreTable:
    """Return the table of several runs by one metric; the longer of languages and models runs down the page.

    Bold marks only a model that is significantly better than every other one.

    Args:
        contents: the contents of the runs' reports by their names in the comparison, in the order of the table.
        comparison: the comparison of all pairs of these runs.
    """
    task, metric = comparison.task, comparison.metric
    labels = run_labels(contents)
    best = significantly_best(comparison)
    languages = [each.language for each in comparison.languages]
    summaries = (MACRO, WORST) if len(languages) > 1 else ()
    keys = [*languages, *summaries]
    names = list(contents)
    cells = {(key, name): contents[name].estimate(task, key, metric) for key in keys for name in names}
    titles = {key: SUMMARY_TITLES.get(key, key) for key in keys}
    if len(languages) > len(names):
        first = contents[names[0]]
        rows = tuple(
            Row(
                titles[key],
                tuple(cells[key, name] for name in names),
                n=None if key == WORST else first.estimate(task, key, metric).n,
                bold=tuple(number for number, name in enumerate(names) if best.get(key) == name),
                summary=key in summaries,
            )
            for key in keys
        )
        corner, columns = "language", tuple(labels[name] for name in names)
    else:
        rows = tuple(
            Row(
                labels[name],
                tuple(cells[key, name] for key in keys),
                bold=tuple(number for number, key in enumerate(keys) if best.get(key) == name),
            )
            for name in names
        )
        corner, columns = "model", tuple(titles[key] for key in keys)
    protocol = contents[names[0]].record.plan.protocol
    title = contents[names[0]].metric_title(metric)
    inputs = {content.record.plan.protocol.inputs.value for content in contents.values()}
    caption = f"{title} of {task} on {protocol.dataset}, {protocol.split} split"
    caption += f", {next(iter(inputs))}. " if len(inputs) == 1 else ". "
    caption += _seeds(*contents.values())
    notes = (BOLD if best else NO_BOLD, *_notes(rows), *(f"Forced: {problem}" for problem in comparison.forced))
    return ScoreTable(f"{protocol.dataset} {task} {metric}", caption, corner, columns, rows, notes)


def run_labels(contents: Mapping[str, Content]) -> dict[str, str]:
    """Return a short label for each run: its model, with the inputs or the run's own name where models repeat."""
    plans = {name: content.record.plan for name, content in contents.items()}
    for label in (
        {name: plan.plugin.name for name, plan in plans.items()},
        {name: f"{plan.plugin.name} ({plan.protocol.inputs.value})" for name, plan in plans.items()},
    ):
        if len(set(label.values())) == len(label):
            return label
    return {name: name for name in contents}


def _seeds(*contents: Content) -> str:
    counts = sorted({len(content.record.plan.protocol.seeds) for content in contents})
    numbers = " to ".join(map(str, dict.fromkeys((counts[0], counts[-1]))))
    return f"In brackets: 95 % intervals; {numbers} training seed{'s' if counts != [1] else ''}."


def _notes(rows: Sequence[Row]) -> tuple[str, ...]:
    return (MARKS,) if any(cell.interval.endswith("*") for row in rows for cell in row.cells) else ()

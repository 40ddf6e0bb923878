"""The views of a comparison: terminal tables and a table for a notebook."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from typing import TYPE_CHECKING

from mmeval.comparison.comparison import Comparison
from mmeval.comparison.paired import Difference
from mmeval.comparison.sentences import names_of, number, p_text, sentences, signed
from mmeval.comparison.standings import letter_groups, ordered, tie_groups
from mmeval.data.power import ALPHA
from mmeval.escaping import one_line
from mmeval.metrics.catalogue import title as title_of
from mmeval.report.efficiency import HEADINGS as EFFICIENCY
from mmeval.report.efficiency import cells as efficiency_cells

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

MOST_PAIRS = 10
"""More pairs of runs are not listed in the terminal, only their ranks."""
CORRECTIONS = {"holm": "Holm", "bh": "BH"}
HEADINGS = ("", "rows", "clusters", "A-B", "95 %", "p", "Holm", "can see", "verdict")


def terminal(comparison: Comparison) -> RenderableType:
    """Return the table of the first two runs, sentences about it, and for more than two runs their ranks."""
    from rich.console import Group

    from mmeval.console import cell

    parts: list[RenderableType] = [cell(title(comparison), "italic"), _language_table(comparison)]
    parts += [cell(caption(comparison), "dim"), cell(""), *(cell(line) for line in sentences(comparison))]
    if len(comparison.runs) > 2 or any(run.efficiency for run in comparison.runs):
        heading = f"Ranks by the mean over languages of {title_of(comparison.metric)}"
        heading += " (Holm over all pairs)" if len(comparison.runs) > 2 else ""
        parts += [cell(""), cell(heading, "italic"), _rank_table(comparison)]
    if len(comparison.runs) > 2:
        parts += map(cell, ties(comparison))
        if len(comparison.pairs) <= MOST_PAIRS:
            parts += [cell(""), cell("Pairs by the mean over languages", "italic"), _pair_table(comparison)]
        parts.append(cell("The languages above are of the first two runs; --json and --output have all pairs.", "dim"))
    return Group(*parts)


def title(comparison: Comparison) -> str:
    """Return ``late-fusion minus embracenet, top-1 of item``."""
    names = names_of(comparison)
    return f"{names[comparison.a]} minus {names[comparison.b]}, {title_of(comparison.metric)} of {comparison.task}"


def caption(comparison: Comparison) -> str:
    """Return what was corrected, and the number of seeds."""
    seeds = [len(run.seeds) for run in comparison.runs[:2]]
    count = len(comparison.languages)
    corrected = f"{CORRECTIONS[comparison.correction]} over {count} language{'s' if count != 1 else ''}"
    text = (
        f"{seeds[0]} seed{'s' if seeds[0] > 1 else ''} each"
        if seeds[0] == seeds[1]
        else f"{seeds[0]} and {seeds[1]} seeds"
    )
    return f"{corrected} · {text}"


def rows(comparison: Comparison) -> Iterator[tuple[str, ...]]:
    """Yield the cells of each language and of the means, in the order of ``HEADINGS``."""
    names = names_of(comparison)
    better = {"a": f"{names[comparison.a]} better", "b": f"{names[comparison.b]} better"}
    for each in comparison.languages:
        yield (
            each.language,
            f"{each.rows:,}",
            f"{each.clusters:,}",
            signed(each.difference),
            f"{signed(each.low)}..{signed(each.high)}",
            p_text(each.p),
            p_text(each.p_adjusted),
            f">={number(each.detectable_adjusted)}" if each.verdict != "too few" else "-",
            better.get(each.verdict, each.verdict),
        )
    if len(comparison.languages) > 1:
        pair = comparison.pairs[0]
        verdict = better.get(pair.verdict, pair.verdict) if len(comparison.pairs) == 1 else ""
        yield _mean_row("mean", pair.mean, verdict)
        yield _mean_row("weighted", pair.weighted_mean, "")


def _mean_row(label: str, mean: Difference, verdict: str) -> tuple[str, ...]:
    interval = f"{signed(mean.low)}..{signed(mean.high)}"
    return (label, "", "", signed(mean.difference), interval, p_text(mean.p), "", "", verdict)


def _language_table(comparison: Comparison) -> Table:
    from mmeval.console import cell

    table = _table()
    for number_, heading in enumerate(HEADINGS):
        text = CORRECTIONS[comparison.correction] if heading == "Holm" else heading
        left = number_ in (0, len(HEADINGS) - 1)
        table.add_column(cell(text), justify="left" if left else "right", no_wrap=number_ < len(HEADINGS) - 1)
    for cells in rows(comparison):
        table.add_row(*map(cell, cells))
    return table


def _rank_table(comparison: Comparison) -> Table:
    from mmeval.console import cell

    table = _table()
    names = names_of(comparison)
    shown = any(run.efficiency for run in comparison.runs)
    for heading in ("rank", "run", "mean", "seeds", *(EFFICIENCY if shown else ())):
        table.add_column(cell(heading), justify="left" if heading == "run" else "right")
    sign = 1 if comparison.lower_is_better else -1
    order = sorted(
        zip(comparison.ranks, comparison.runs, strict=True),
        key=lambda pair: (pair[0].best, pair[0].worst, sign * pair[1].value),
    )
    for rank, run in order:
        ranks = str(rank.best) if rank.best == rank.worst else f"{rank.best}-{rank.worst}"
        more = efficiency_cells(run.efficiency) if shown else ()
        table.add_row(*map(cell, (ranks, names[run.name], f"{run.value:.3f}", str(len(run.seeds)), *more)))
    return table


def ties(comparison: Comparison) -> list[str]:
    """Return the largest sets of runs of which no two can be told apart, as sentences."""
    names = names_of(comparison)
    return [f"Can't be told apart: {', '.join(names[run] for run in group)}." for group in tie_sets(comparison)]


def tie_sets(comparison: Comparison) -> list[list[str]]:
    """Return the largest groups of at least two runs of which no two differ significantly, best first."""
    order = ordered({run.name: run.value for run in comparison.runs}, lower_is_better=comparison.lower_is_better)
    differ = {frozenset((pair.a, pair.b)) for pair in comparison.pairs if pair.p_adjusted < ALPHA}
    groups = letter_groups(order, differ) or tie_groups(order, differ)
    return [group for group in groups if len(group) > 1]


def _pair_table(comparison: Comparison) -> Table:
    from mmeval.console import cell

    table = _table()
    names = names_of(comparison)
    for heading in ("A", "B", "A-B", "95 %", "p", "Holm"):
        table.add_column(heading, justify="left" if heading in "AB" else "right")
    for pair in comparison.pairs:
        interval = f"{signed(pair.mean.low)}..{signed(pair.mean.high)}"
        cells = (signed(pair.mean.difference), interval, p_text(pair.mean.p), p_text(pair.p_adjusted))
        table.add_row(*map(cell, (names[pair.a], names[pair.b], *cells)))
    return table


def _table() -> Table:
    from rich.table import Table

    return Table(box=None, padding=(0, 1, 0, 0), header_style="bold")


def html(comparison: Comparison) -> str:
    """Return the table and the sentences as HTML, for a notebook."""
    headings = [CORRECTIONS[comparison.correction] if each == "Holm" else each for each in HEADINGS]
    head = "".join(f"<th>{escape(heading)}</th>" for heading in headings)
    body = "".join(f"<tr>{_html_cells(cells)}</tr>" for cells in rows(comparison))
    lines = sentences(comparison) + (ties(comparison) if len(comparison.runs) > 2 else [])
    text = "".join(f"<p>{escape(one_line(line))}</p>" for line in lines)
    heading = f"{title(comparison)} ({caption(comparison)})"
    return f"<p>{escape(one_line(heading))}</p><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{text}"


def _html_cells(cells: Sequence[str]) -> str:
    return "".join(f"<td>{escape(one_line(text))}</td>" for text in cells)

"""Tables of scores as LaTeX, for papers; the only package that they need is booktabs."""

from __future__ import annotations

import re
from collections.abc import Sequence

from mmeval.escaping import latex as plain
from mmeval.escaping import one_line
from mmeval.metrics.intervals import RARE_CLASSES
from mmeval.report.content import UNRELIABLE, Estimate
from mmeval.report.score_table import Row, ScoreTable


def latex(tables: Sequence[ScoreTable], comments: Sequence[str] = ()) -> str:
    r"""Return tables in ``table`` environments, with intervals as subscripts.

    Args:
        tables: the tables.
        comments: lines about where the numbers come from, which become comments of LaTeX.
    """
    lines = [f"% {one_line(comment)}" for comment in ("\\usepackage{booktabs} in the preamble", *comments)]
    for table in tables:
        lines += ["", *_table(table)]
    return "\n".join(lines) + "\n"


def _table(table: ScoreTable) -> list[str]:
    count = 1 if table.has_counts else 0
    headings = [table.corner, *(["$n$"] if count else [])]
    caption = " ".join((table.caption, *table.notes))
    return [
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{plain(caption)}}}",
        rf"\label{{tab:{re.sub('[^A-Za-z0-9]+', '-', table.name).strip('-') or 'scores'}}}",
        rf"\begin{{tabular}}{{l{'r' * (count + len(table.columns))}}}",
        r"\toprule",
        _row([plain(headings[0]), *headings[1:], *map(plain, table.columns)]),
        r"\midrule",
        *(_cells(row, counted=bool(count)) for row in table.rows if not row.summary),
        *([r"\midrule"] if any(row.summary for row in table.rows) else []),
        *(_cells(row, counted=bool(count)) for row in table.rows if row.summary),
        r"\bottomrule",
        r"\end{tabular}",
        r"\end{table}",
    ]


def _cells(row: Row, *, counted: bool) -> str:
    n = [f"{row.n:,}" if row.n is not None else ""] if counted else []
    return _row([plain(row.label), *n, *(_cell(cell, bold=at in row.bold) for at, cell in enumerate(row.cells))])


def _row(cells: Sequence[str]) -> str:
    return " & ".join(cells) + r" \\"


def _cell(estimate: Estimate, *, bold: bool) -> str:
    if not estimate.defined:
        return "--"
    value = rf"\textbf{{{estimate.value:.3f}}}" if bold else f"{estimate.value:.3f}"
    if estimate.low != estimate.low:
        return value + (f"$^{{{UNRELIABLE}}}$" if estimate.method == RARE_CLASSES else "")
    star = "" if estimate.reliable else f"^{{{UNRELIABLE}}}"
    return rf"{value}$_{{[{estimate.low:.3f},\,{estimate.high:.3f}]}}{star}$"

"""Summary of an audit for the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mmeval.audit.content import Audit
from mmeval.audit.findings import BAD, GOOD, findings, leak, verdict

if TYPE_CHECKING:
    from rich.console import RenderableType

STYLES = {BAD: "red", GOOD: "green"}
MOST_FINDINGS = 9


def terminal(audit: Audit) -> RenderableType:
    """Return the verdict, the most serious findings, and a table with a row per language."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    from mmeval.console import cell

    lines = [cell(f"Audit of {audit.name}", "bold"), _verdict(audit)]
    sentences = findings(audit)
    lines += [
        Text.assemble(("● ", STYLES.get(finding.level, "cyan")), cell(finding.text))
        for finding in sentences[:MOST_FINDINGS]
    ]
    if len(sentences) > MOST_FINDINGS:
        lines.append(Text(f"… and {len(sentences) - MOST_FINDINGS} more in the report", style="dim"))
    table = Table(title="By language", title_justify="left")
    table.add_column("language", no_wrap=True)
    table.add_column("examples", justify="right")
    columns = _columns(audit)
    for title, _ in columns:
        table.add_column(cell(title), justify="right")
    counts = {
        name: sum(cells[name].rows for cells in audit.missing.cells.values() if name in cells)
        for name in audit.languages
    }
    for language in audit.languages:
        table.add_row(cell(language), f"{counts[language]:,}", *(values.get(language, "–") for _, values in columns))
    return Group(*lines, table) if columns else Group(*lines)


def _verdict(audit: Audit) -> RenderableType:
    from mmeval.console import cell

    finding = verdict(audit)
    return cell(finding.text, STYLES.get(finding.level, "cyan"))


def _columns(audit: Audit) -> list[tuple[str, dict[str, str]]]:
    """Return title and value by language of each column that the data set has."""
    scored, columns = list(audit.splits)[-1], []
    for kind, duplicates in (("image", audit.images), ("text", audit.texts)):
        if (overlap := leak(duplicates, audit)) is not None:
            shares = {name: part.near.percent for name, part in overlap.languages.items()}
            columns.append((f"{scored} {kind}s in train", shares))
    columns += [
        (f"{rule.task} in text", {name: part.accuracy.percent for name, part in rule.languages.items()})
        for rule in audit.label_leakage
    ]
    if audit.foreign:
        columns.append(("other language", {name: texts.foreign.percent for name, texts in audit.foreign.items()}))
    return columns

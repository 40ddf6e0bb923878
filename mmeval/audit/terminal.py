"""The audit on one screen of a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mmeval.audit.content import Audit, Overlap
from mmeval.audit.findings import BAD, GOOD, findings, leak, verdict

if TYPE_CHECKING:
    from rich.console import RenderableType

STYLES = {BAD: "red", GOOD: "green"}
MOST = 9


def terminal(audit: Audit) -> RenderableType:
    """Verdict, the main findings, and a row per language."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    from mmeval.console import cell

    lines = [cell(f"Audit of {audit.name}", "bold"), _verdict(audit)]
    found = findings(audit)
    lines += [Text.assemble(("● ", STYLES.get(one.level, "cyan")), cell(one.text)) for one in found[:MOST]]
    if len(found) > MOST:
        lines.append(Text(f"… and {len(found) - MOST} more on the page", style="dim"))
    table = Table(title="By language", title_justify="left")
    table.add_column("language", no_wrap=True)
    table.add_column("examples", justify="right")
    columns = _columns(audit)
    for title, _ in columns:
        table.add_column(cell(title), justify="right")
    counts = {
        name: sum(cells[name].rows for cells in audit.gaps.cells.values() if name in cells) for name in audit.languages
    }
    for language in audit.languages:
        table.add_row(cell(language), f"{counts[language]:,}", *(values.get(language, "–") for _, values in columns))
    return Group(*lines, table) if columns else Group(*lines)


def _verdict(audit: Audit) -> RenderableType:
    from mmeval.console import cell

    one = verdict(audit)
    return cell(one.text, STYLES.get(one.level, "cyan"))


def _columns(audit: Audit) -> list[tuple[str, dict[str, str]]]:
    """Title and value by language of what differs between them."""
    scored, columns = list(audit.splits)[-1], []
    for kind, duplicates in (("image", audit.images), ("text", audit.texts)):
        if (one := leak(duplicates, audit)) is not None:
            columns.append((f"{scored} {kind}s in train", {name: _near(both) for name, both in one.languages.items()}))
    columns += [
        (f"{names.task} named", {name: one.right.percent for name, one in names.languages.items()})
        for names in audit.names
    ]
    if audit.foreign:
        columns.append(("other language", {name: one.foreign.percent for name, one in audit.foreign.items()}))
    return columns


def _near(one: Overlap) -> str:
    return one.near.percent

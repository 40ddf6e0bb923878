"""The README.md of a run: tables that GitHub draws as tables."""

from __future__ import annotations

import re
from collections.abc import Callable

from mmeval.report.content import Content
from mmeval.report.markdown import markdown

Make = Callable[..., Content]
NAN = float("nan")


def tables(text: str) -> list[list[list[str]]]:
    """Each table as rows of cells; a bar after a backslash is part of its cell."""
    found: list[list[list[str]]] = []
    inside = False
    for line in text.splitlines():
        if line.startswith("|"):
            if not inside:
                found.append([])
            found[-1].append([cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]])
        inside = line.startswith("|")
    return found


def test_every_row_has_as_many_cells_as_its_table_has_columns(content: Make) -> None:
    found = tables(markdown(content({"de": (0.5, 0.4, 0.6), "ja": (NAN, NAN, NAN)})))
    assert len(found) == 3
    for table in found:
        assert {len(row) for row in table} == {len(table[0])}
    assert found[0][0] == ["language", "n", "top-1", "top-5", "macro-F1", "weighted-F1"]


def test_numbers_have_intervals_and_undefined_ones_a_dash(content: Make) -> None:
    table = tables(markdown(content({"de": (0.5, 0.4, 0.6), "ja": (NAN, NAN, NAN)})))[0]
    assert table[2][:3] == ["de", "1,234", "0.500 [0.400–0.600]"]
    assert table[3] == ["ja", "0", "–", "–", "–", "–"]
    assert [row[0] for row in table[4:]] == [
        "**mean over languages**",
        "**worst language**",
        "**gap, best minus worst**",
        "**all together**",
    ]


def test_a_bar_in_a_value_does_not_break_the_table(content: Make) -> None:
    text = markdown(content(paper="Vision | Language\nModels"))
    assert "| paper | Vision \\| Language Models |" in text
    assert {len(row) for row in tables(text)[-1]} == {2}


def test_the_run_can_be_repeated_from_its_readme(content: Make) -> None:
    made = content()
    text = markdown(made)
    assert f"`{made.record.plan.signature}`" in text
    assert f"```console\n$ {made.record.command}\n```" in text
    assert text.endswith("\n")
    assert "| selected | seed 0: epoch 2 of 3 |" in text

"""The README.md of a run: tables that GitHub renders, with every number and the command."""

from __future__ import annotations

import re
from collections.abc import Callable

from mmeval.report.content import Content
from mmeval.report.markdown import markdown

Make = Callable[..., Content]
NAN = float("nan")


def tables(text: str) -> list[list[list[str]]]:
    """Return each table as rows of cells; an escaped bar is part of its cell."""
    parsed: list[list[list[str]]] = []
    inside = False
    for line in text.splitlines():
        if line.startswith("|"):
            if not inside:
                parsed.append([])
            parsed[-1].append([cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]])
        inside = line.startswith("|")
    return parsed


def test_every_row_has_as_many_cells_as_its_table_has_columns(content: Make) -> None:
    parsed = tables(markdown(content({"de": (0.5, 0.4, 0.6), "ja": (NAN, NAN, NAN)})))
    assert len(parsed) == 3
    for table in parsed:
        assert {len(row) for row in table} == {len(table[0])}
    assert parsed[0][0] == ["language", "n", "top-1", "top-5", "macro-F1", "weighted-F1"]


def test_scores_have_intervals_and_undefined_scores_are_dashes(content: Make) -> None:
    table = tables(markdown(content({"de": (0.5, 0.4, 0.6), "ja": (NAN, NAN, NAN)})))[0]
    assert table[2][:3] == ["de", "1,234", "0.500 [0.400–0.600]"]
    assert table[3] == ["ja", "0", "–", "–", "–", "–"]
    assert [row[0] for row in table[4:]] == [
        "**mean over languages**",
        "**mean weighted by precision**",
        "**worst language**",
        "**gap, best minus worst**",
        "**all rows pooled**",
    ]


def test_a_bar_in_a_value_does_not_break_the_table(content: Make) -> None:
    text = markdown(content(paper="Vision | Language\nModels"))
    assert "| paper | Vision \\| Language Models |" in text
    assert {len(row) for row in tables(text)[-1]} == {2}


def test_signature_command_and_selected_epoch_are_shown(content: Make) -> None:
    sample = content()
    text = markdown(sample)
    assert f"`{sample.record.plan.signature}`" in text
    assert f"```console\n$ {sample.record.command}\n```" in text
    assert text.endswith("\n")
    assert "| selected on validation | seed 0: epoch 2 of 3 |" in text

"""The terminal table: complete at 80 columns, with lines for other tasks."""

from __future__ import annotations

import io
from collections.abc import Callable

from rich.console import Console

from mmeval.report.content import Content
from mmeval.report.terminal import terminal

Make = Callable[..., Content]
NAN = float("nan")
FOURTEEN = ("ar", "bg", "cs", "de", "en", "es", "et", "fi", "fr", "ja", "ko", "ru", "tr", "zh")


def shown(content: Content, width: int = 80) -> list[str]:
    file = io.StringIO()
    Console(width=width, file=file).print(terminal(content))
    return file.getvalue().splitlines()


def test_the_table_fits_eighty_columns(content: Make) -> None:
    top1 = {language: (0.3 + i / 50, 0.2 + i / 50, 0.4 + i / 50) for i, language in enumerate(FOURTEEN)}
    lines = shown(content(top1, n=19_060))
    text = "\n".join(lines)
    assert max(map(len, lines)) <= 80
    assert "…" not in text
    for language in FOURTEEN:
        row = next(line for line in lines if f" {language} " in line)
        assert f"{top1[language][0]:.3f}" in row
        assert f"{top1[language][1]:.3f}–{top1[language][2]:.3f}" in row
        assert "19,060" in row
    for label in ("language", " n ", "top-1", "95 %", "top-5", "macro-F1", "weighted-F1"):
        assert label in text
    for label in (" mean ", " worst ", " gap ", " pooled "):
        assert label in text


def test_other_tasks_and_the_signature_follow_the_table(content: Make) -> None:
    sample = content()
    text = " ".join(shown(sample)).replace("\n", " ")
    assert "shade: top-1, mean 0.650 (0.500–0.800), worst 0.500 (0.000–1.000)" in text
    assert sample.record.plan.signature in "".join(shown(sample, 300)).replace(" ", "")


def test_undefined_scores_are_dashes(content: Make) -> None:
    text = "\n".join(shown(content({"de": (NAN, NAN, NAN)})))
    assert "nan" not in text
    assert "–" in text

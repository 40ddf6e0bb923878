"""The page of a comparison, without a browser."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import mmeval
from mmeval.report import comparison_page
from mmeval.report.comparison_page import page
from tests.comparison.run_folders import examples, guesses, write_run


def text_of(html: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", "", html.partition("<main")[2]))


def written(folder: Path, *runs: Path, **options: object) -> str:
    mmeval.compare(*runs, **options).write(folder)  # type: ignore[arg-type]
    return (folder / "comparison.html").read_text(encoding="utf-8")


def test_a_task_that_only_some_runs_have_is_left_out_with_a_sentence(tmp_path: Path) -> None:
    table = examples()
    write_run(tmp_path / "a", table, {0: guesses(table["true"], 0.8, 1)}, more_tasks=("brand",))
    write_run(tmp_path / "b", table, {0: guesses(table["true"], 0.6, 2)})
    html = written(tmp_path / "out", tmp_path / "a", tmp_path / "b")
    assert "The task brand is left out: b has no predictions of the task" in html
    assert 'data-tab="item"' in html
    assert 'data-tab="brand"' not in html


def test_the_chosen_task_comes_first(tmp_path: Path) -> None:
    table = examples()
    for seed, name in enumerate("ab"):
        write_run(tmp_path / name, table, {0: guesses(table["true"], 0.7, seed)}, more_tasks=("brand", "colour"))
    html = written(tmp_path / "out", tmp_path / "a", tmp_path / "b", task="colour")
    assert re.findall('data-tab="([a-z]+)"', html) == ["colour", "item", "brand"]


def test_runs_of_the_same_name_are_told_apart_without_private_folders(tmp_path: Path) -> None:
    table = examples()
    for seed, name in enumerate(("one/run", "two/run", "two/other/run")):
        write_run(tmp_path / name, table, {0: guesses(table["true"], 0.7, seed)}, model="clip")
    html = written(tmp_path / "out", *(tmp_path / name for name in ("one/run", "two/run", "two/other/run")))
    assert str(tmp_path) not in html
    assert {"one/run", "two/run", "other/run"} <= set(re.findall(r">([a-z]+/run)<", html))


def test_differences_of_protocol_are_shown(tmp_path: Path) -> None:
    table = examples()
    write_run(tmp_path / "a", table, {0: guesses(table["true"], 0.8, 1)})
    write_run(tmp_path / "b", table, {0: guesses(table["true"], 0.6, 2)}, inputs="text")
    text = text_of(written(tmp_path / "out", tmp_path / "a", tmp_path / "b", force=True))
    assert "Forced: the inputs of b are text, but those of a are image+text." in text
    assert "inputsimage+texttext" in text


def test_a_page_of_many_runs_details_some_pairs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = examples(120)
    paths = [write_run(tmp_path / f"m{n}", table, {0: guesses(table["true"], 0.7, n)}).path for n in range(4)]
    monkeypatch.setattr(comparison_page, "MOST_PAIR_DETAILS", 2)
    html = page([mmeval.compare(*paths)], {})
    assert html.count('<details class="pair"') == 2
    assert "Of 6 pairs the first 2 are shown by language" in text_of(html)
    assert html.count('role="img" aria-label="Difference') == 2

"""The pages of comparisons and benchmarks in Chromium."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Page

import mmeval
from mmeval.protocol import Inputs
from mmeval.record import Efficiency
from mmeval.runs.folder import RunFolder
from mmeval.studies.bench.compare import FinishedRun, compare_runs, page_of
from mmeval.studies.bench.entries import Member
from tests.comparison.run_folders import examples, guesses, write_run

OpenPage = Callable[..., Page]
HOSTILE = '<script>document.title="owned"</script>\u202e'
LANGUAGES = ("ar", "de", "en", "es", "fa", "fr", "id", "it", "ja", "ko", "pt", "ru", "tr", "zh")


def cost(number: int) -> Efficiency:
    return Efficiency(parameters=10**number, trained_parameters=10, device_seconds=10 * number)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with runs on five languages and three tasks, and with runs on one language."""
    root = tmp_path_factory.mktemp("runs")
    many, one = examples(400, LANGUAGES[:5]), examples(120, ("de",))
    for number, (name, accuracy) in enumerate(
        (("late-fusion", 0.9), (HOSTILE.replace("/", ""), 0.6), ("clip", 0.6)), 6
    ):
        predicted = {seed: guesses(many["true"], accuracy, number + seed) for seed in (0,)}
        write_run(
            root / "many" / f"m{number}",
            many,
            predicted,
            model=name,
            more_tasks=("brand", "x" * 80),
            efficiency=cost(number),
        )
    for seed, name in enumerate(("a", "b")):
        write_run(root / "one" / name, one, {0: guesses(one["true"], 0.7, seed)})
    return root


@pytest.fixture(scope="module")
def compared(root: Path) -> Path:
    """Write the comparison of three runs."""
    first, second, third = sorted((root / "many").iterdir())
    mmeval.compare(first, second, third).write(root / "compared")
    return root / "compared" / "comparison.html"


def test_it_is_accessible_and_narrow(compared: Path, check_page: Callable[[Path], None]) -> None:
    check_page(compared)


def test_every_task_is_a_tab(compared: Path, open_page: OpenPage) -> None:
    page = open_page(compared)
    assert page.get_by_role("tab").all_inner_texts() == ["item", "brand", "x" * 80]
    page.get_by_role("tab", name="brand").click()
    assert page.get_by_role("heading", name="Top-1 of brand").is_visible()
    assert not page.get_by_role("heading", name="Top-1 of item").is_visible()


def test_ranks_pairs_and_languages_are_shown(compared: Path, open_page: OpenPage) -> None:
    page = open_page(compared)
    assert "is better than each of the 2 other runs" in page.locator("header").inner_text()
    panel = page.get_by_role("tabpanel")
    assert (
        panel.get_by_role("region", name="Runs by the mean over languages of top-1, item").locator("tbody tr").count()
        == 3
    )
    assert panel.get_by_role("region", name="Pairs of runs, item").locator("tbody tr").count() == 3
    assert panel.locator("details.pair").count() == 3
    assert panel.locator("details.pair[open] .rows .name").count() == 6
    first = panel.locator("details.pair[open] table").first
    assert first.locator("tbody").first.locator("tr").count() == 5
    first.get_by_role("button", name="difference").click()
    values = [
        float(cell.get_attribute("data-value") or "")
        for cell in first.locator("tbody:first-of-type td:nth-child(4)").all()
    ]
    assert values == sorted(values, reverse=True)
    assert panel.get_by_role("img", name="top-1, mean over languages against parameters").count() == 1


def test_hostile_names_are_inert(compared: Path, open_page: OpenPage) -> None:
    page = open_page(compared)
    assert page.title() == "3 runs on shop"
    assert page.locator("main script, header script").count() == 0
    assert "\u202e" not in page.content()


def test_reports_are_linked_by_relative_paths(compared: Path, root: Path) -> None:
    text = compared.read_text(encoding="utf-8")
    assert str(root) not in text
    report = root / "many" / "m6" / "report.html"
    assert 'href="../many/m6/report.html"' not in text
    report.write_text("report")
    try:
        mmeval.compare(root / "many" / "m6", root / "many" / "m7").write(root / "linked")
    finally:
        report.unlink()
    assert 'href="../many/m6/report.html"' in (root / "linked" / "comparison.html").read_text(encoding="utf-8")


def test_one_language_and_two_runs_without_cost(
    root: Path, check_page: Callable[[Path], None], open_page: OpenPage
) -> None:
    mmeval.compare(root / "one" / "a", root / "one" / "b").write(root / "small")
    check_page(root / "small" / "comparison.html")
    page = open_page(root / "small" / "comparison.html")
    assert page.title() == "a and b on shop"
    assert page.get_by_role("tab").count() == 0
    assert page.locator(".rows .name").all_inner_texts() == ["German"]
    assert page.locator("svg.plot").count() == 0


def benchmark(root: Path, models: int, languages: tuple[str, ...], tasks: tuple[str, ...]) -> Path:
    """Write the page of a benchmark, each model with a baseline."""
    table = examples(60 * len(languages), languages)
    runs = {}
    for number in range(models):
        for inputs in (Inputs.IMAGE_TEXT, Inputs.IMAGE):
            member = Member(f"model{number}", inputs, is_baseline=inputs is Inputs.IMAGE)
            accuracy = 0.5 + number / 20 if inputs is Inputs.IMAGE_TEXT else 0.4
            folder: RunFolder = write_run(
                root / member.folder,
                table,
                {0: guesses(table["true"], accuracy, number)},
                model=f"model{number}",
                inputs=inputs,
                more_tasks=tasks,
                efficiency=cost(number + 4),
                scored=True,
            )
            runs[member] = FinishedRun(folder, folder.content())
    path = root / "bench.html"
    path.write_text(page_of(runs, compare_runs(runs), {"mmbt-image": HOSTILE}, "mmeval bench shop"), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return benchmark(tmp_path_factory.mktemp("bench"), 3, ("de", "et"), ("brand", "colour"))


def test_a_benchmark_is_accessible_and_narrow(bench: Path, check_page: Callable[[Path], None]) -> None:
    check_page(bench)


def test_a_benchmark_shows_models_by_languages_with_their_groups(bench: Path, open_page: OpenPage) -> None:
    page = open_page(bench)
    assert page.get_by_role("tab").all_inner_texts() == ["item", "brand", "colour"]
    matrix = page.locator("#matrix-1")
    assert [text.strip(" ↕") for text in matrix.locator("thead th").all_inner_texts()] == [
        "model",
        "rank",
        "group",
        "mean",
        "de",
        "et",
    ]
    assert matrix.locator("tbody tr").count() == 6
    assert matrix.locator("tbody tr").first.inner_text().startswith("model2")
    assert matrix.locator(".top").count() > 0
    assert page.get_by_text("top group of the column").first.is_visible()
    page.get_by_role("tabpanel").get_by_label("Show").select_option("model")
    assert matrix.locator("tbody tr:visible").count() == 3
    assert page.get_by_role("heading", name="Missing runs").is_visible()
    assert page.get_by_role("heading", name="How to read this page").is_visible()


def test_a_page_of_eleven_models_and_fourteen_languages_is_below_a_megabyte(tmp_path: Path) -> None:
    """Scores of one run stand in for those of the others: their values do not change the size."""
    from dataclasses import replace

    table = examples(700, LANGUAGES)
    first = write_run(
        tmp_path / "model0-image-text",
        table,
        {0: guesses(table["true"], 0.6, 0)},
        more_tasks=("brand", "colour"),
        efficiency=cost(8),
        scored=True,
    )
    content = first.content()
    runs = {}
    for number in range(11):
        for inputs in Inputs.IMAGE_TEXT, Inputs.IMAGE, Inputs.TEXT:
            member = Member(f"model{number}", inputs, is_baseline=inputs is not Inputs.IMAGE_TEXT)
            folder = (
                write_run(
                    tmp_path / member.folder,
                    table,
                    {0: guesses(table["true"], 0.5 + number / 30, number)},
                    model=f"model{number}",
                    inputs=inputs,
                    more_tasks=("brand", "colour"),
                    efficiency=cost(8),
                )
                if (number, inputs) != (0, Inputs.IMAGE_TEXT)
                else first
            )
            runs[member] = FinishedRun(folder, replace(content, record=folder.record))
    page = page_of(runs, compare_runs(runs), {}, "mmeval bench shop")
    assert page.count("<tr data-kind=") == 3 * 33
    assert len(page.encode()) < 1e6


def test_the_pages_need_no_script(bench: Path, open_page: OpenPage) -> None:
    page = open_page(bench, script=False)
    assert page.locator("table:visible").count() == 6
    assert np.all(
        [page.get_by_role("heading", name=f"of {task}").first.is_visible() for task in ("item", "brand", "colour")]
    )

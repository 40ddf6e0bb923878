"""The report of a run in Chromium: accessible, narrow, sorted, filtered, printed, and safe for any text."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page

from tests.pages.report_pages import LANGUAGES, TASKS, report

OpenPage = Callable[..., Page]
CheckPage = Callable[[Path], None]


@pytest.fixture(scope="module")
def rich(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report with 14 languages, three tasks, one of them multi-label, two seeds, and hostile names."""
    return report(tmp_path_factory.mktemp("rich") / "report.html")


def test_a_report_of_many_languages_and_tasks_is_accessible_and_narrow(rich: Path, check_page: CheckPage) -> None:
    check_page(rich)


@pytest.mark.parametrize("labels_only", [False, True])
def test_a_report_of_one_language_is_accessible_and_narrow(
    labels_only: bool, tmp_path: Path, check_page: CheckPage
) -> None:
    check_page(report(tmp_path / "report.html", ("en",), TASKS[:1], (0,), labels_only=labels_only))


def test_no_part_of_a_report_is_empty(rich: Path, tmp_path: Path, open_page: OpenPage) -> None:
    for path in (rich, report(tmp_path / "report.html", ("en",), TASKS[:1], (0,), labels_only=True)):
        page = open_page(path, script=False)
        empty = page.evaluate(
            """() => [...document.querySelectorAll("h2, h3, table, tbody, ul, dl, dd, figure, section, details")]
                .filter(each => !(each.matches("h2, h3")
                    ? each.nextElementSibling && each.nextElementSibling.textContent.trim()
                    : each.textContent.trim()))
                .map(each => each.outerHTML.slice(0, 100))"""
        )
        assert empty == []
        headings = page.evaluate(
            """() => [...document.querySelectorAll("h2, h3")]
                .filter(each => each.nextElementSibling?.matches(`h2${each.matches("h3") ? ", h3" : ""}`))
                .map(each => each.textContent)"""
        )
        assert headings == []


def test_tasks_are_tabs_and_each_shows_its_own_parts(rich: Path, open_page: OpenPage) -> None:
    page = open_page(rich)
    assert page.get_by_role("tab").all_inner_texts() == ["category", "colour", "tags"]
    assert page.get_by_role("table", name="Scores of category per language").is_visible()
    page.get_by_role("tab", name="colour").click()
    assert page.get_by_role("table", name="Recall of colour by class and language").is_visible()
    assert not page.get_by_role("table", name="Scores of category per language").is_visible()
    page.get_by_role("tab", name="colour").press("End")
    assert page.get_by_role("heading", name="mAP per language: tags").is_visible()
    assert page.get_by_text("A risk-coverage curve needs one prediction per row").is_visible()


def test_the_table_of_languages_is_sorted_and_searched(rich: Path, open_page: OpenPage) -> None:
    page = open_page(rich)
    table = page.locator("#table-0")
    names = table.locator("tbody >> nth=0").locator("tr:visible th bdi")
    assert names.all_inner_texts()[0] == "Arabic"
    table.get_by_role("button", name="top-1").click()
    values = (
        table.locator("tbody >> nth=0").locator("tr td:nth-child(3)").evaluate_all("c => c.map(e => +e.dataset.value)")
    )
    assert values == sorted(values, reverse=True)
    page.get_by_label("Search languages").first.fill("japan")
    assert names.all_inner_texts() == ["Japanese"]
    table.get_by_role("button", name="language").press("Enter")
    page.get_by_label("Search languages").first.fill("")
    assert names.all_inner_texts() == sorted(names.all_inner_texts())
    assert len(names.all_inner_texts()) == len(LANGUAGES)


def test_examples_are_filtered_by_task_language_class_and_kind(rich: Path, open_page: OpenPage) -> None:
    page = open_page(rich)
    cards = page.locator("#examples li:visible")
    assert cards.count() == 2 * len(LANGUAGES)
    page.locator("[data-for=examples] [name=language]").select_option("ja")
    assert cards.count() == 2
    assert all("Japanese" in text for text in cards.all_inner_texts())
    page.locator("[data-for=examples] [name=language]").select_option("")
    page.locator("[data-for=examples] [name=class]").select_option(label="boots")
    assert 0 < cards.count() < 2 * len(LANGUAGES)
    assert all("boots" in text for text in cards.all_inner_texts())
    page.locator("[data-for=examples] [name=kind]").select_option("correct")
    assert all("predicted and true class" in text for text in cards.all_inner_texts())


def test_texts_of_right_to_left_scripts_run_from_right_to_left(rich: Path, open_page: OpenPage) -> None:
    page = open_page(rich)
    cut = page.locator("#examples [lang=he].cut").first
    assert cut.evaluate("e => getComputedStyle(e).direction") == "rtl"
    assert page.locator("bdi", has_text="مقاس كبير").first.evaluate("e => getComputedStyle(e).direction") == "rtl"
    cut.click()
    assert page.locator("#examples details[open] div").inner_text().count("טקסט") == 40


def test_long_texts_open_with_more_and_images_are_decoded(rich: Path, open_page: OpenPage) -> None:
    page = open_page(rich)
    sizes = page.locator("#examples img").evaluate_all("i => i.map(e => e.naturalWidth)")
    assert set(sizes) == {64}
    assert (
        page.locator("#examples details.text").first.evaluate(
            "e => getComputedStyle(e.querySelector('.cut'), '::after').content"
        )
        == '"…more"'
    )


def test_hostile_names_stay_text_and_no_folder_is_named(rich: Path, open_page: OpenPage) -> None:
    page = open_page(rich)
    assert page.title() == "embracenet on shop"
    source = rich.read_text(encoding="utf-8")
    assert not {"\x1b", "\u202e"} & set(source)
    assert source.count("<script>") == 1
    assert "ana" not in page.locator("#provenance ~ *").all_inner_texts()
    assert "/home" not in source
    assert "../ana" not in source


def test_every_drawing_has_a_description_and_a_table(rich: Path, open_page: OpenPage) -> None:
    page = open_page(rich, script=False)
    drawings = page.locator("svg[role=img]")
    assert drawings.count() == 2 * 2 + 1 + 2, "confidence of three tasks, and learning"
    for number in range(drawings.count()):
        drawing = drawings.nth(number)
        assert drawing.locator("title").text_content()
        assert len(drawing.locator("desc").text_content() or "") > 40
        assert drawing.locator("xpath=..").locator("table tbody tr").count() > 1


def test_on_paper_all_tasks_and_examples_are_there(rich: Path, open_page: OpenPage) -> None:
    page = open_page(rich, dark=True)
    page.locator("[data-for=examples] [name=language]").select_option("ja")
    page.emulate_media(media="print")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.locator("[role=tabpanel]:visible").count() == 3
    assert page.locator("#examples li:visible").count() == 2 * len(LANGUAGES)
    assert page.locator(".filters:visible, .tablist:visible").count() == 0
    assert page.evaluate("getComputedStyle(document.querySelector('.pane')).maxHeight") == "none"
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(253, 253, 252)"


def test_without_scripts_everything_is_visible(rich: Path, open_page: OpenPage) -> None:
    page = open_page(rich, script=False)
    assert page.get_by_role("heading", name="Task").count() == 3
    assert page.locator("#examples li:visible").count() == 2 * len(LANGUAGES)
    assert page.locator("section:visible").count() == 3

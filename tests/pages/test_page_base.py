"""The base of all pages in Chromium: theme, tabs, sorting and filters, and no script but its own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from mmeval.report.page import environment

OpenPage = Callable[..., Page]
TEMPLATE = """
{% extends "page.html.jinja" %}
{% import "macros.html.jinja" as part %}
{% block title %}Sample{% endblock %}
{% block header %}<h1>Sample</h1>{% endblock %}
{% block content %}
<div data-tabs="Tasks">
<section data-tab="category"><h2>category</h2>
{% set scripts = [("Latn", "Latin"), ("Cyrl", "Cyrillic")] %}
{{ part.filters("scores", "Search languages", [("script", "Script", scripts)]) }}
{% call part.scroll("Scores of category") %}
<table class="sortable" id="scores">
  <thead><tr><th>language</th><th>top-1</th><th class="fixed">meaning</th></tr></thead>
  <tbody>
  {% for language, script, value in rows %}
    <tr data-script="{{ script }}"><td>{{ language }}</td>
      <td data-value="{{ value }}">{{ "%.2f" | format(value) }} ± .1</td><td>{{ "wide " * 40 }}</td></tr>
  {% endfor %}
  </tbody>
  <tbody class="views"><tr><td>mean</td><td>0.50</td><td></td></tr></tbody>
</table>
{% endcall %}
</section>
<section data-tab="brand" id="brand"><h2>brand</h2>
{{ part.text("A long title " * 30, "en") }}<p>{{ hostile | safe }}</p></section>
</div>
{% endblock %}
"""
ROWS = [("cs", "Latn", 0.5), ("bg", "Cyrl", 0.25), ("de", "Latn", 0.75)]
HOSTILE = "<script>document.title = 'owned'</script><img src=x onerror=\"document.title = 'owned'\">"


@pytest.fixture
def sample(tmp_path: Path) -> Callable[[str], Path]:
    def write(hostile: str = "") -> Path:
        path = tmp_path / "page.html"
        path.write_text(environment().from_string(TEMPLATE).render(rows=ROWS, hostile=hostile), encoding="utf-8")
        return path

    return write


def languages(page: Page) -> list[str]:
    return [row.inner_text() for row in page.locator("#scores tbody:first-of-type tr:visible td:first-child").all()]


def test_the_base_is_accessible_and_narrow(sample: Callable[..., Path], check_page: Callable[[Path], None]) -> None:
    check_page(sample())


def test_a_heading_sorts_its_column_in_both_directions(sample: Callable[..., Path], open_page: OpenPage) -> None:
    page = open_page(sample())
    page.get_by_role("button", name="top-1").click()
    assert languages(page) == ["de", "cs", "bg"]
    assert page.locator("th", has_text="top-1").get_attribute("aria-sort") == "descending"
    page.get_by_role("button", name="top-1").press("Enter")
    assert languages(page) == ["bg", "cs", "de"]
    page.get_by_role("button", name="language").click()
    assert languages(page) == ["bg", "cs", "de"]
    assert page.locator("th[aria-sort]").count() == 1
    assert page.locator("tbody.views td").first.inner_text() == "mean"
    assert page.get_by_role("button", name="meaning").count() == 0


def test_filters_hide_rows_and_count_the_others(sample: Callable[..., Path], open_page: OpenPage) -> None:
    page = open_page(sample())
    page.get_by_label("Script").select_option("Latn")
    assert languages(page) == ["cs", "de"]
    assert page.locator("output").inner_text() == "2 of 3 shown"
    page.get_by_label("Search languages").fill("CS")
    assert languages(page) == ["cs"]


def test_tabs_are_chosen_by_mouse_keyboard_and_anchor(sample: Callable[..., Path], open_page: OpenPage) -> None:
    page = open_page(sample())
    assert not page.get_by_role("heading", name="brand").is_visible()
    page.get_by_role("tab", name="category").press("ArrowRight")
    assert page.get_by_role("heading", name="brand").is_visible()
    assert not page.get_by_role("heading", name="category").is_visible()
    page.get_by_role("tab", name="category").click()
    assert page.get_by_role("heading", name="category").is_visible()
    page.evaluate("location.hash = 'brand'")
    page.get_by_role("heading", name="brand").wait_for()


def test_the_theme_is_the_systems_until_the_reader_changes_it(sample: Callable[..., Path], open_page: OpenPage) -> None:
    def background(page: Page) -> str:
        return str(page.evaluate("getComputedStyle(document.body).backgroundColor"))

    light, dark = "rgb(253, 253, 252)", "rgb(20, 23, 26)"
    page = open_page(sample(), dark=True)
    assert background(page) == dark
    page.get_by_role("button", name="Light theme").click()
    assert background(page) == light
    page.reload()
    assert background(page) == light


def test_long_texts_open(sample: Callable[..., Path], open_page: OpenPage) -> None:
    page = open_page(sample())
    page.get_by_role("tab", name="brand").click()
    page.locator("details.text summary").click()
    assert page.locator("details.text div").inner_text().count("A long title") == 30


def test_without_scripts_everything_is_visible(sample: Callable[..., Path], open_page: OpenPage) -> None:
    page = open_page(sample(), script=False)
    assert page.locator("h2:visible").count() == 2
    assert page.locator(".filters:visible, button:visible").count() == 0
    assert languages(page) == ["cs", "bg", "de"]


def test_a_script_that_is_not_the_pages_own_does_not_run(sample: Callable[..., Path], browser: Browser) -> None:
    """The content security policy is the second line of defence, behind escaping."""
    page = browser.new_page()
    page.goto(sample(HOSTILE).as_uri())
    assert page.title() == "Sample"
    page.close()

"""The site of a leaderboard in Chromium, opened from a disk."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page

from mmeval.publish.leaderboard.site import leaderboard
from tests.publish.leaderboard.conftest import HOSTILE, runs

OpenPage = Callable[..., Page]
__all__ = ["runs"]


@pytest.fixture(scope="module")
def site(runs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write the site, and move it."""
    folder = tmp_path_factory.mktemp("www")
    leaderboard([runs], folder / "site", title="Our shop")
    return Path(shutil.move(folder / "site", folder / "moved"))


@pytest.mark.parametrize("name", ["index.html", "datasets/shop.html", "languages/de.html"])
def test_pages_are_accessible_and_narrow(site: Path, name: str, check_page: Callable[[Path], None]) -> None:
    check_page(site / name)


def test_filters_leave_the_tables_that_match(site: Path, open_page: OpenPage) -> None:
    page = open_page(site / "index.html")
    boards = page.locator("section.board:visible")
    assert boards.count() == 3
    page.get_by_label("Inputs").select_option("text")
    assert boards.count() == 1
    page.get_by_label("Inputs").select_option("")
    page.get_by_label("Model").select_option("clip")
    assert boards.count() == 1
    assert boards.locator("tbody tr:visible td:first-child").all_inner_texts() == ["clip"]
    page.get_by_label("Model").select_option("")
    page.get_by_role("combobox", name="Language").select_option("fr")
    assert boards.locator("h3").all_inner_texts() == [HOSTILE.replace("\u202e", "\\u202e") + ", image+text, standard-1"]
    page.get_by_role("combobox", name="Language").select_option("")
    page.get_by_role("combobox", name="Data set").select_option("shop")
    assert boards.count() == 2
    page.get_by_label("Find a run").fill("embrace")
    assert boards.count() == 1


def test_links_lead_to_data_sets_languages_and_reports_and_back(site: Path, open_page: OpenPage) -> None:
    page = open_page(site / "index.html")
    page.get_by_role("navigation", name="Data sets").get_by_role("link", name="shop", exact=True).click()
    page.get_by_role("heading", name="shop", level=1).wait_for()
    page.get_by_role("link", name="late-fusion").first.click()
    page.get_by_role("heading", name="late-fusion on shop").wait_for()
    page.go_back()
    page.get_by_role("link", name="Our shop").click()
    page.get_by_role("navigation", name="Languages").get_by_role("link", name="German").click()
    page.get_by_role("heading", name="German", level=1).wait_for()
    assert page.get_by_role("heading", level=2).count() >= 3


def test_a_data_set_has_tasks_plots_and_marks(site: Path, open_page: OpenPage) -> None:
    page = open_page(site / "datasets/shop.html")
    section = page.locator("section", has=page.get_by_role("heading", name="image+text, standard-1"))
    assert section.get_by_role("tab").all_inner_texts() == ["item", "brand", "colour"]
    panel = section.get_by_role("tabpanel")
    assert panel.get_by_role("img", name="against parameters").count() == 1
    assert panel.get_by_role("img", name="against device seconds").count() == 1
    assert panel.locator(".tag", has_text="another tool").count() == 1
    rows = panel.locator("table.matrix tbody tr")
    assert rows.first.inner_text().startswith("late-fusion")
    panel.get_by_role("button", name="rank").click()
    assert rows.last.inner_text().startswith("late-fusion")


def test_hostile_names_are_inert(site: Path, open_page: OpenPage) -> None:
    hostile = next(path for path in (site / "datasets").iterdir() if path.name != "shop.html")
    page = open_page(hostile)
    assert page.title().startswith("<script>alert(1)</script>")
    assert page.locator("main script, header script").count() == 0
    assert page.get_by_role("heading", level=1).inner_text() == HOSTILE.replace("\u202e", "\\u202e")

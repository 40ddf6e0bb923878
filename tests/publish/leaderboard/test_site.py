"""The site of a leaderboard: its files, links and downloads."""

from __future__ import annotations

import csv
import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pytest

from mmeval.errors import UserError
from mmeval.publish.leaderboard import site
from mmeval.publish.leaderboard.site import leaderboard
from tests.publish.leaderboard.conftest import HOSTILE


@pytest.fixture(scope="module")
def written(runs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return leaderboard([runs], tmp_path_factory.mktemp("www") / "site").path


def content(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


class Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []
        self.tags: set[str] = set()
        self.ids: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.links += [value or "" for name, value in attrs if name in ("href", "src")]
        self.ids |= {value or "" for name, value in attrs if name == "id"}


def parsed(path: Path) -> Links:
    parser = Links()
    parser.feed(path.read_text(encoding="utf-8"))
    return parser


def test_it_has_a_page_per_data_set_language_and_run(written: Path) -> None:
    files = content(written)
    assert {"index.html", "leaderboard.csv", "leaderboard.json", "datasets/shop.html"} <= files.keys()
    assert {name for name in files if name.startswith("languages/")} == {
        f"languages/{code}.html" for code in ("de", "et", "fr", "sl")
    }
    assert sum(name.startswith("datasets/") for name in files) == 2
    assert sum(name.startswith("reports/") for name in files) == 6


def test_every_link_is_relative_and_leads_to_a_file_of_the_site(written: Path) -> None:
    for page in written.rglob("*.html"):
        for link in parsed(page).links:
            if link.startswith("data:") or (page.parent.name == "reports" and link.startswith("http")):
                continue
            assert not re.match(r"[a-z]+:|/", link), (page, link)
            path, _, anchor = link.partition("#")
            target = (page.parent / unquote(path)).resolve() if path else page
            assert target.is_file()
            assert target.is_relative_to(written.resolve())
            assert not anchor or anchor in parsed(target).ids


def test_the_same_runs_give_the_same_bytes(written: Path, runs: Path, tmp_path: Path) -> None:
    before = content(written)
    moved = shutil.copytree(runs, tmp_path / "elsewhere")
    again = leaderboard([moved / "words", moved], tmp_path / "again")
    assert content(again.path) == before
    assert leaderboard([runs], written).changed == 0


def test_no_path_of_this_machine_is_published(written: Path, runs: Path) -> None:
    for name, data in content(written).items():
        assert str(runs.parent).encode() not in data, name
        assert b"/tmp/" not in data, name


def test_hostile_names_are_inert(written: Path) -> None:
    for page in written.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        assert "<script>alert" not in text
        assert "\u202e" not in text
    assert {path.name for path in written.rglob("*") if re.search(r"[^a-z0-9.-]", path.name)} == set()
    with (written / "leaderboard.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert all(not re.match(r"[=+@]", value) for row in rows for value in row.values())
    assert "\u202e" not in (written / "leaderboard.json").read_text(encoding="utf-8")
    assert HOSTILE in {table["dataset"] for table in json.loads((written / "leaderboard.json").read_bytes())["tables"]}


def test_downloads_have_scores_ranks_and_cost(written: Path) -> None:
    data = json.loads((written / "leaderboard.json").read_bytes())
    table = next(table for table in data["tables"] if (table["dataset"], table["inputs"]) == ("shop", "image+text"))
    assert [task["task"] for task in table["tasks"]] == ["item", "brand", "colour"]
    best = table["tasks"][0]["runs"][0]
    assert (best["model"], best["seeds"], best["parameters"], best["external"]) == (
        "late-fusion",
        2,
        122_000_000,
        False,
    )
    assert best["mean"]["rank_best"] == best["mean"]["rank_worst"] == 1
    assert set(best["languages"]) == {"de", "et", "sl"}
    assert (written / best["report"]).is_file()
    assert len(table["tasks"][0]["pairs"]) == 6
    with (written / "leaderboard.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    mean = [row for row in rows if (row["id"], row["task"], row["language"]) == (best["id"], "item", "macro")]
    assert [float(row["value"]) for row in mean] == [best["mean"]["value"]]


def test_a_run_that_is_gone_leaves_no_page(runs: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(runs / "bench", tmp_path / "runs")
    path = leaderboard([copy], tmp_path / "site").path
    (path / "CNAME").write_text("example.org\n")
    shutil.rmtree(copy / "clip")
    leaderboard([copy], path)
    assert {name.split("-")[0] for name in content(path) if name.startswith("reports/")} == {
        "reports/late",
        "reports/embracenet",
    }
    assert (path / "CNAME").is_file()


def test_an_interrupted_call_can_be_repeated(
    runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, written: Path
) -> None:
    def stop(*_: object) -> str:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(site, "as_csv", stop)
        with pytest.raises(KeyboardInterrupt):
            leaderboard([runs], tmp_path / "site")
    leaderboard([runs], tmp_path / "site")
    assert content(tmp_path / "site") == content(written)


def test_a_report_is_rendered_again(runs: Path, tmp_path: Path) -> None:
    """A run folder from someone else could bring a report with a script."""
    copy = shutil.copytree(runs / "words", tmp_path / "words")
    (copy / "report.html").write_text("<script>alert(1)</script>")
    path = leaderboard([copy], tmp_path / "site").path
    report = next((path / "reports").iterdir()).read_text(encoding="utf-8")
    assert "<script>alert" not in report
    assert "0.5" in report


def test_a_folder_with_something_else_is_refused(runs: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="this is the folder of a run"):
        leaderboard([runs], runs / "words")
    (tmp_path / "index.html").write_text("my own page")
    with pytest.raises(UserError, match="is not of a leaderboard"):
        leaderboard([runs], tmp_path)
    (tmp_path / "leaderboard.json").write_text("[]")
    with pytest.raises(UserError, match="can't be used"):
        leaderboard([runs], tmp_path)
    (tmp_path / "file").write_text("x")
    with pytest.raises(UserError, match="this is a file"):
        leaderboard([runs], tmp_path / "file")


def test_only_pages_of_leaderboards_are_removed(runs: Path, tmp_path: Path) -> None:
    kept = [tmp_path / "precious.html", tmp_path / "site" / "notes.html"]
    (tmp_path / "site").mkdir()
    for path in kept:
        path.write_text("x")
    names = ["../precious.html", "notes.html", "datasets/../notes.html", "/etc/x.html", 3]
    files = {str(name): "" for name in names}
    listed = {"generator": "mmeval", "files": files}
    (tmp_path / "site" / "leaderboard.json").write_text(json.dumps(listed))
    leaderboard([runs / "words"], tmp_path / "site")
    assert all(path.is_file() for path in kept)

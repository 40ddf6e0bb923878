"""The documentation site builds without warnings, needs no other host, and has every command and public name."""

from __future__ import annotations

import html
import importlib
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from mmeval.cli.main import app

ROOT = Path(__file__).parents[2]
MODULES = ("mmeval", "mmeval.data.reading", "mmeval.nn", "mmeval.testing")
REQUEST = re.compile(r"<(?:script|img|iframe|source|link)\b[^>]*?\b(?:src|href)=[\"']?((?:https?:)?//[^\"' >]+)")

# Builds the site once: half a minute beside another process.
pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("site")]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the site in another process, strictly, without the address of a repository, and return its folder."""
    folder = tmp_path_factory.mktemp("site")
    # Not --quiet: then mkdocs doesn't count its warnings, and --strict passes.
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MMEVAL_RE")}
    environment["NO_MKDOCS_2_WARNING"] = "1"
    result = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    return folder


def test_pages_outside_docs_are_part_of_the_site(site: Path) -> None:
    assert (site / "models" / "embracenet.html").is_file()
    assert (site / "data" / "emoji14.html").is_file()
    assert (site / "project" / "changes.html").is_file()
    assert 'href="models/embracenet.html"' in (site / "models.html").read_text(encoding="utf-8")


def test_pages_request_nothing_from_other_hosts(site: Path) -> None:
    pages = sorted(site.rglob("*.html"))
    requests = {url for page in pages for url in REQUEST.findall(page.read_text(encoding="utf-8"))}
    assert len(pages) > 30
    assert requests == set()


def test_links_to_source_files_without_a_repository_are_plain_text(site: Path) -> None:
    page = (site / "architecture.html").read_text(encoding="utf-8")
    assert re.search(r"<code>mmeval/engine/fit.py:\d+</code> <code>fit</code>", page)


@pytest.mark.parametrize("module", MODULES)
def test_the_python_api_has_every_public_name(site: Path, module: str) -> None:
    page = (site / "api.html").read_text(encoding="utf-8")
    names = [name for name in importlib.import_module(module).__all__ if name != "__version__"]
    assert [name for name in names if f'id="{module}.{name}"' not in page] == []


def test_docstrings_are_shown_as_markdown(site: Path) -> None:
    text = html.unescape(re.sub(r"<[^>]+>", "", (site / "api.html").read_text(encoding="utf-8")))
    assert re.findall(r".*(?::(?:class|func|meth|data|mod):|``|::\n).*", text) == []


def test_the_reference_of_commands_has_every_command(site: Path) -> None:
    import typer

    page = (site / "commands.html").read_text(encoding="utf-8")
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    assert len(commands) >= 7
    assert [name for name in commands if f'id="mmeval-{name}"' not in page] == []
    assert "<code>RUN|FILE</code>" in page, "GitHub's backslash before the bar is not shown"


def test_the_search_works_without_a_server(site: Path) -> None:
    assert (site / "search" / "search_index.js").read_text(encoding="utf-8").startswith("var __index = ")
    assert "javascripts/iframe-worker.js" in (site / "index.html").read_text(encoding="utf-8")

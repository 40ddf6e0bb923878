"""The documentation agrees with the code, and its links work."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

from mmeval.api import hooks

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = [*sorted(DOCS.glob("*.md")), ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "benchmarks" / "README.md"]
HOOKS = [name for name, value in vars(hooks).items() if hasattr(value, f"{hooks.PROJECT}_spec")]
README_LINES = 150
LARGEST_PICTURE = 150_000


def anchors(path: Path) -> set[str]:
    """Return the anchors of a Markdown page's headings, or of a source file's lines (``L12``), as GitHub names them."""
    text = path.read_text(encoding="utf-8")
    if path.suffix != ".md":
        return {f"L{number}" for number, _ in enumerate(text.splitlines(), 1)}
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


def test_generated_blocks_are_up_to_date() -> None:
    """`python docs/generate.py` updates them."""
    check = [sys.executable, str(DOCS / "generate.py"), "--check"]
    result = subprocess.run(check, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize("hook", HOOKS)
def test_the_reference_has_every_hook_with_its_exact_arguments(hook: str) -> None:
    """Plugin authors copy the signatures."""
    parameters = inspect.signature(getattr(hooks, hook)).parameters.values()
    arguments = ", ".join(f"{parameter.name}: {parameter.annotation}" for parameter in parameters)
    assert f"### `{hook}({arguments})`\n" in (DOCS / "reference.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_existing_files_and_headings(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        path, _, anchor = target.partition("#")
        if path.startswith("http"):
            continue
        linked = (page.parent / path) if path else page
        assert linked.exists(), target
        if anchor:
            assert anchor in anchors(linked), target


def test_the_index_lists_every_page() -> None:
    index = (DOCS / "README.md").read_text(encoding="utf-8")
    assert [page.name for page in DOCS.glob("*.md") if page.name != "README.md" and f"({page.name})" not in index] == []


def test_the_readme_stays_short() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= README_LINES


@pytest.mark.parametrize("image", sorted((DOCS / "images").iterdir()), ids=lambda image: image.name)
def test_pictures_are_small_and_shown_by_a_page(image: Path) -> None:
    """`python docs/images.py` takes them; every clone of the repository gets them."""
    assert image.stat().st_size <= LARGEST_PICTURE
    assert any(f"images/{image.name})" in page.read_text(encoding="utf-8") for page in PAGES)

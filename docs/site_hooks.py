"""Hooks of the documentation site: pages that lie outside ``docs/``, and links as GitHub resolves them.

The pages are written for both: on GitHub they link to files anywhere in the repository. Here the Markdown files outside
``docs/`` (model cards, data cards, changes, ...) become pages of the site. Links to other files, such as source code,
lead to the repository if its address is known (``MMEVAL_REPOSITORY``), and are plain text otherwise.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files, InclusionLevel
from mkdocs.structure.pages import Page
from pymdownx.slugs import slugify

ROOT = Path(__file__).parents[1]
PROJECT = {
    "CONTRIBUTING.md": "project/contributing.md",
    "CHANGELOG.md": "project/changes.md",
    "benchmarks/README.md": "project/benchmarks.md",
}
FENCED = re.compile(r"(^( *)(`{3,}|~{3,}).*?^\2\3`*~*[ ]*$)", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[((?:[^\[\]]|\[[^\[\]]*\])*)\]\(([^)\s]+)\)")
COMMENT = re.compile(r"^<!--.*?-->\n?", re.MULTILINE | re.DOTALL)
LIST_AFTER_TEXT = re.compile(
    r"^(?![ \t]*(?:[-*+]|\d+\.)[ \t]|[ \t]|[|#>]|\n)(.*\S.*)\n(?=(?:[-*+]|1\.)[ \t])", re.MULTILINE
)
NESTED_ITEM = re.compile(r"^ {2,3}(?=(?:[-*+]|\d+\.)[ \t])", re.MULTILINE)

TABLE_ROW = re.compile(r"^\|.*$", re.MULTILINE)
CODE = re.compile(r"`[^`]+`")


def pages() -> dict[str, str]:
    """Return the Markdown files outside ``docs/`` that the site shows: path in the repository, and path in the site."""
    cards = {
        path.relative_to(ROOT).as_posix(): f"models/{path.parent.name.removeprefix('mmeval_')}.md"
        for path in sorted(ROOT.glob("plugins/*/README.md"))
    }
    data = {path.relative_to(ROOT).as_posix(): f"data/{path.name}" for path in sorted(ROOT.glob("data_cards/*.md"))}
    return cards | data | PROJECT


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Give headings the anchors that GitHub gives them, and serve the search's helper from the site itself."""
    config.mdx_configs.setdefault("toc", {})["slugify"] = slugify(case="lower")
    # The plugin `offline` adds this script from another host otherwise.
    config.extra["polyfills"] = ["javascripts/iframe-worker.js"]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages outside ``docs/``."""
    for path, uri in pages().items():
        file = File.generated(config, uri, abs_src_path=str(ROOT / path), inclusion=InclusionLevel.NOT_IN_NAV)
        files.append(file)
    return files


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, **_: Any) -> str:  # noqa: ANN401
    """Remove the generator's comments and translate links and lists from GitHub's Markdown."""
    uri = page.file.src_uri
    origin = {site: path for path, site in pages().items()}.get(uri, f"docs/{uri}")

    def translate(text: str) -> str:
        # Python-Markdown wants a blank line before a list, and four spaces before the items of a nested one.
        text = NESTED_ITEM.sub("    ", LIST_AFTER_TEXT.sub(r"\1\n\n", text))
        # In the cell of a table, GitHub wants a backslash before a bar even within code; Python-Markdown shows it.
        text = TABLE_ROW.sub(lambda row: CODE.sub(lambda code: code[0].replace(r"\|", "|"), row[0]), text)
        return LINK.sub(_link(origin, uri, config.extra), text)

    parts = FENCED.split(COMMENT.sub("", markdown))
    # `split` returns text, fenced block, indentation, fence, text, ...
    return "".join(translate(part) if index % 4 == 0 else part for index, part in enumerate(parts) if index % 4 < 2)


def _link(origin: str, uri: str, extra: Any) -> Callable[[re.Match[str]], str]:  # noqa: ANN401
    """Return a function that translates a link on the page ``origin`` of the repository, ``uri`` of the site."""

    def translate(match: re.Match[str]) -> str:
        text, target = match.groups()
        path, hash_, anchor = target.partition("#")
        if not path or re.match(r"[a-z]+:", path):
            return match[0]
        path = posixpath.normpath(posixpath.join(posixpath.dirname(origin), path))
        if path == "README.md":
            path = "docs/README.md"
        if not (ROOT / path).exists():
            return match[0]  # mkdocs reports it
        inside = pages().get(path) or (path.removeprefix("docs/") if _in_site(path) else None)
        if inside:
            return f"[{text}]({posixpath.relpath(inside, posixpath.dirname(uri) or '.')}{hash_}{anchor})"
        if not extra["repository"]:
            return text
        kind = "tree" if (ROOT / path).is_dir() else "blob"
        return f"[{text}]({extra['repository']}/{kind}/{extra['revision']}/{path}{hash_}{anchor})"

    return translate


def _in_site(path: str) -> bool:
    """Return whether mkdocs shows or copies the file; `exclude_docs` in mkdocs.yml leaves out the others."""
    folder, _, name = path.rpartition("/")
    return (folder, name[-3:]) in {("docs", ".md"), ("docs/examples", ".py")} or folder == "docs/images"

"""Escaping of untrusted text for terminal, Markdown and JSON."""

from __future__ import annotations

import html
import io
import json
import re
import unicodedata

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from rich.console import Console

from mmeval.console import cell, console, note
from mmeval.escaping import ACTIVE, code_block, code_span, json_text, markdown, one_line, visible

BIDI = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
HEBREW = "שלום"
# Control characters, bidi controls, lone surrogates, and markup of Markdown, HTML, rich and shells.
NASTY = st.sampled_from(
    [
        *map(chr, (*range(32), *range(127, 160))),
        *f"{BIDI}\u2028\u2029\ud800\udcff\\`*_[]()<>&|~$#+-=!.:;{{}}\"'",
        *("\x1b[2J", "\x1b]0;t\x07", "<script>", "</script>", "<b", "-->", "```", "~~~", "](http://x)", "!["),
        *("&#x202e;", "&lt;", "---", "1. ", "# ", "- ", "> ", "    ", "[red]", "[/]", ":smile:", "| --- |", "\n\n"),
        *(HEBREW, "é", "👍🏽"),
    ]
)
TEXTS = st.lists(st.one_of(NASTY, st.text(max_size=3)), max_size=8).map("".join)


def shown_of(text: str) -> str:
    """Return the text that a reader should see on one line of Markdown."""
    return one_line(text).strip()


def rendered(source: str) -> str:
    return MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"]).render(source)


def controls(text: str) -> list[str]:
    return [character for character in text if ACTIVE.search(character)]


@settings(deadline=None)
@given(st.characters())
@example("\u202e")
@example("\x9b")
def test_all_control_characters_of_unicode_are_recognized(character: str) -> None:
    """The expectation comes from the Unicode database that Python ships."""
    is_control = unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp") and character not in "\n\t"
    is_control = (
        is_control
        or character in BIDI
        or unicodedata.bidirectional(character) in ("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI")
    )
    assert not is_control or ACTIVE.search(character)
    if not is_control and unicodedata.category(character) != "Cf":
        assert visible(character) == character


@settings(deadline=None)
@given(TEXTS)
def test_letters_are_kept_and_controls_are_escaped(text: str) -> None:
    assert not controls(visible(text))
    assert visible(visible(text)) == visible(text)
    assert not re.search(r"[\n\t\r]", one_line(text))
    kept = "".join(character for character in text if not ACTIVE.search(character))
    letters = iter(visible(text))
    assert all(character in letters for character in kept), "all other characters are kept in order"


def test_right_to_left_text_is_not_escaped() -> None:
    """Hebrew, Arabic and the joiner that Persian words and emoji need are kept."""
    for text in (HEBREW, "مربع أحمر", "می\u200cخواهم", "👩\u200d💻"):
        assert one_line(text) == markdown(text) == text
    assert one_line(f"{HEBREW}\u202e gpj") == f"{HEBREW}\\u202e gpj"


@settings(max_examples=400, deadline=None)
@given(TEXTS)
@example("1. x")
@example("- x")
@example("# x")
@example("\\")
@example("a\\|b")
@example("_x_ __y__ *z*")
@example("<a@b.example>")
def test_markdown_escapes_all_markup(text: str) -> None:
    """Rendered in a heading, a list, a table and a paragraph, the text is unchanged and adds no tag."""
    escaped, expected = markdown(text), html.escape(shown_of(text), quote=False).replace('"', "&quot;")
    assert not controls(escaped)
    assert "<" not in escaped
    if not expected:
        return
    assert rendered(f"# x{escaped}") == f"<h1>x{expected}</h1>\n"
    assert rendered(escaped) == f"<p>{expected}</p>\n"
    assert rendered(f"- {escaped}") == f"<ul>\n<li>{expected}</li>\n</ul>\n"
    table = rendered(f"| a | b |\n|---|---|\n| {escaped} | x |")
    assert f"<td>{expected}</td>\n<td>x</td>" in table


@settings(deadline=None)
@given(TEXTS, TEXTS)
def test_text_cannot_end_a_code_block_or_span(text: str, other: str) -> None:
    """A command with backticks would otherwise end its block and continue as Markdown."""
    lines = code_block(f"{text}\n{other}", "console")
    page = rendered("\n".join([*lines, "", f"x {code_span(text)} x"]))
    assert not controls("\n".join(lines))
    assert not controls(code_span(text))
    tags = re.findall(r"<[^>]*>", page)
    assert tags[:2] == ["<pre>", '<code class="language-console">']
    assert set(tags[2:]) <= {"</code>", "</pre>", "<p>", "<code>", "</p>"}
    assert page.count("<code") <= 2


@settings(deadline=None)
@given(TEXTS)
def test_json_has_the_same_content_without_control_characters(text: str) -> None:
    for ascii_only in (False, True):
        written = json_text({"a": [text], text: 1}, ascii_only=ascii_only)
        assert json.loads(written) == {"a": [text], text: 1}
        assert not controls(written)
        assert not ascii_only or written.isascii()


@settings(deadline=None)
@given(TEXTS)
def test_the_console_escapes_all_text(text: str) -> None:
    """The console also escapes text that a caller forgot to escape, and the title of a table."""
    from rich.table import Table
    from rich.text import Text

    table = Table(title=Text(text))
    table.add_column(Text(text))
    table.add_column()
    table.add_row(Text(text), cell(text))
    screen = console()
    with screen.capture() as captured:
        screen.print(table)
        screen.print(cell(text))
        screen.print(text, markup=False)
    assert not controls(captured.get())


@settings(deadline=None)
@given(TEXTS)
def test_a_cell_prints_exactly_its_text(text: str) -> None:
    """A cell has the width of the printed text, so columns are aligned; it has no markup and no emoji codes."""
    assert cell(text).plain == one_line(text)
    file = io.StringIO()
    Console(file=file, width=1000).print(cell(text), soft_wrap=True)
    assert file.getvalue() == f"{one_line(text)}\n"


@pytest.mark.parametrize("text", ["\x1b[2Jgone", "\u202egnp.exe", "a\nerror: b", "[red]x[/]", ":smile:"])
def test_a_note_is_printed_on_one_line(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    note(text)
    assert capsys.readouterr().err == f"{one_line(text)}\n"

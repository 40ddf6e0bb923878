"""No text of a file or a user acts on what it is shown in: terminal, Markdown, JSON (D7)."""

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
# What acts somewhere: controls, bidi controls, lone surrogates, markup of Markdown, HTML, rich and shells.
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
    """What a reader is to see of ``text`` on one line of Markdown."""
    return one_line(text).strip()


def rendered(source: str) -> str:
    return MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"]).render(source)


def acting(text: str) -> list[str]:
    return [one for one in text if ACTIVE.search(one)]


@settings(deadline=None)
@given(st.characters())
@example("\u202e")
@example("\x9b")
def test_d7_what_acts_is_known_by_unicodes_own_properties(one: str) -> None:
    """By the database that Python ships, so that no control is forgotten."""
    acts = unicodedata.category(one) in ("Cc", "Cs", "Zl", "Zp") and one not in "\n\t"
    acts = acts or one in BIDI or unicodedata.bidirectional(one) in ("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI")
    assert not acts or ACTIVE.search(one)
    if not acts and unicodedata.category(one) != "Cf":
        assert visible(one) == one


@settings(deadline=None)
@given(TEXTS)
def test_d7_letters_stay_and_what_acts_is_seen(text: str) -> None:
    assert not acting(visible(text))
    assert visible(visible(text)) == visible(text)
    assert not re.search(r"[\n\t\r]", one_line(text))
    kept = "".join(one for one in text if not ACTIVE.search(one))
    letters = iter(visible(text))
    assert all(one in letters for one in kept), "nothing that is text is lost, and it stays in its order"


def test_d7_right_to_left_text_is_text() -> None:
    """Hebrew and Arabic are shown as they are, and so is the joiner that Persian words and emoji need."""
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
def test_d7_nothing_is_markup_in_markdown(text: str) -> None:
    """Rendered, a text is itself in a heading, a list, a table and a paragraph, and there is no tag but theirs."""
    escaped, expected = markdown(text), html.escape(shown_of(text), quote=False).replace('"', "&quot;")
    assert not acting(escaped)
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
def test_d7_code_of_markdown_cannot_be_left(text: str, other: str) -> None:
    """A command that holds backticks would end its block, and go on as Markdown."""
    lines = code_block(f"{text}\n{other}", "console")
    page = rendered("\n".join([*lines, "", f"x {code_span(text)} x"]))
    assert not acting("\n".join(lines))
    assert not acting(code_span(text))
    tags = re.findall(r"<[^>]*>", page)
    assert tags[:2] == ["<pre>", '<code class="language-console">']
    assert set(tags[2:]) <= {"</code>", "</pre>", "<p>", "<code>", "</p>"}
    assert page.count("<code") <= 2


@settings(deadline=None)
@given(TEXTS)
def test_d7_json_says_the_same_and_nothing_acts_in_it(text: str) -> None:
    for ascii_only in (False, True):
        written = json_text({"a": [text], text: 1}, ascii_only=ascii_only)
        assert json.loads(written) == {"a": [text], text: 1}
        assert not acting(written)
        assert not ascii_only or written.isascii()


@settings(deadline=None)
@given(TEXTS)
def test_d7_nothing_acts_in_the_terminal_whoever_prints_it(text: str) -> None:
    """The console itself is the last gate: also for a text that a caller forgot to escape, and in a table's title."""
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
    assert not acting(captured.get())


@settings(deadline=None)
@given(TEXTS)
def test_d7_a_cell_is_what_a_terminal_shows(text: str) -> None:
    """Its width is that of what is printed, so that a column stays a column; brackets are no markup, codes no emoji."""
    assert cell(text).plain == one_line(text)
    file = io.StringIO()
    Console(file=file, width=1000).print(cell(text), soft_wrap=True)
    assert file.getvalue() == f"{one_line(text)}\n"


@pytest.mark.parametrize("text", ["\x1b[2Jgone", "\u202egnp.exe", "a\nerror: b", "[red]x[/]", ":smile:"])
def test_d7_a_note_is_one_line_of_what_it_says(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    note(text)
    assert capsys.readouterr().err == f"{one_line(text)}\n"

"""An untrusted run folder: no string of its record, scores or gallery becomes markup or a control sequence."""

from __future__ import annotations

from collections.abc import Callable
from html.parser import HTMLParser
from typing import Any

import pyarrow as pa
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from mmeval.console import console
from mmeval.escaping import ACTIVE
from mmeval.report.content import Content, Estimate
from mmeval.report.html import html
from mmeval.report.markdown import markdown
from mmeval.report.page import environment
from mmeval.report.terminal import terminal
from mmeval.studies.bench.table import BenchmarkRow
from mmeval.studies.bench.table import markdown as bench_page
from mmeval.studies.bench.table import terminal as bench_table

Make = Callable[..., Content]
PIECES = st.sampled_from(
    [
        *("\x1b[2J", "\x9b", "\u202e", "\u2066", "\u200f", "\u2028", "\r", "\n\n", "<script>alert(1)</script>", "```"),
        *("`", "|", "</code></pre>", "[x](http://x)", "![x](http://x)", "**", "&#x202e;", "\n# ", "[red]"),
        *('" onload="x', "שלום", "a"),
    ]
)
TEXTS = st.lists(PIECES, min_size=1, max_size=4).map("".join)


def hostile(content: Content, text: str) -> Content:
    """Return the content with ``text`` appended to every string that a file of the run folder holds."""

    def poisoned(value: Any) -> Any:
        if isinstance(value, str):
            return value + text
        if isinstance(value, dict):
            return {key: poisoned(inner) for key, inner in value.items()}
        return [*map(poisoned, value)] if isinstance(value, list) else value

    data = poisoned(content.record.model_dump(mode="json")["data"])
    record = content.record.model_copy(update={"data": data, "versions": {"x": text, "y": text}})
    fields = {name: value + text for name, value in record if isinstance(value, str)}
    protocol = record.plan.protocol.model_copy(update={"dataset": text, "split": text, "track": text})
    plugin = record.plan.plugin.model_copy(update=poisoned(record.plan.plugin.model_dump()))
    config = {"width": text, "nested": {"x": [text]}}
    plan = {"signature": text, "preset": text, "config": config, "protocol": protocol, "plugin": plugin}
    record = record.model_copy(update=fields | {"plan": record.plan.model_copy(update=plan)})
    # A report shows metrics that it knows, and those that plugins brought.
    metrics = [name if name == "top1" else name + text for name in content.scores["metric"].unique().to_pylist()]
    record = record.model_copy(update={"metrics": metrics})
    keys = {"all", "macro", "weighted", "worst", "gap", "mean", "0", ""}
    scores = content.scores
    for name in ("task", "language", "slice", "metric"):
        values = [old if old in keys or old == "top1" else old + text for old in scores[name].to_pylist()]
        scores = scores.set_column(scores.schema.get_field_index(name), name, pa.array(values))
    return Content(record, scores, poisoned(content.gallery))


class Tags(HTMLParser):
    """Names of the tags and attributes of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.names: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names |= {tag, *(f"{tag} {name}" for name, _ in attrs)}


def rendered(source: str) -> str:
    return MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"]).render(source)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@example(text="<script>alert(1)</script>\x1b[2J\u202e|`")
@given(text=TEXTS)
def test_strings_of_a_run_folder_are_escaped_in_every_view(
    text: str, content: Make, mistake: Callable[..., dict[str, Any]]
) -> None:
    gallery = [mistake(image=None), mistake(text=""), mistake(text="a long text " * 20)]
    plain = content(
        gallery=gallery, data={"name": "n", "summary": "s", "licence": "l", "credit": "c", "warnings": ["w"]}
    )
    bad = hostile(plain, text)

    readme, page = markdown(bad), html(bad)
    screen = console()
    with screen.capture() as captured:
        screen.print(terminal(bad))
    for output in (readme, page, captured.get()):
        assert not ACTIVE.search(output)
    assert Tags(page).names == Tags(html(plain)).names
    bad_page, plain_page = rendered(readme), rendered(markdown(plain))
    assert Tags(bad_page).names == Tags(plain_page).names
    assert bad_page.count("<tr>") == plain_page.count("<tr>")
    assert bad_page.count("<td") == plain_page.count("<td")


@settings(max_examples=60, deadline=None)
@given(text=TEXTS)
def test_strings_of_a_run_are_escaped_in_a_benchmark(text: str) -> None:
    def page(text: str) -> str:
        mean = Estimate(0.5, 0.4, 0.6, 9)
        rows = [BenchmarkRow(f"x{text}", f"x{text}", f"x{text}", mean, mean, f"x{text}", 1.0, f"x{text}")]
        screen = console()
        with screen.capture() as captured:
            screen.print(bench_table(rows))
        assert not ACTIVE.search(captured.get())
        return bench_page(rows, {f"x{text}": f"x{text}"}, f"x{text}")

    assert not ACTIVE.search(page(text))
    assert Tags(rendered(page(text))).names == Tags(rendered(page(""))).names
    assert rendered(page(text)).count("<td") == rendered(page("")).count("<td")


@settings(deadline=None)
@given(text=TEXTS)
def test_every_template_escapes_its_values(text: str) -> None:
    """All pages are rendered by the same Jinja environment, also those of the audit and the page of examples."""
    source = (
        "{% macro m(x) %}<b>{{ x }}</b>{% endmacro %}{{ m(x) }}{{ [x] | join(', ') }}{{ {'a': x} | tojson }}{{ 1.5 }}"
    )
    page = environment("mmeval.audit").from_string(source).render(x=text)
    assert not ACTIVE.search(page)
    assert Tags(page).names == {"b"}
    assert page.endswith("1.5")


def test_long_names_are_not_wrapped_outside_a_terminal(content: Make) -> None:
    """In a file or in `less`, a search doesn't find a name that is broken in two."""
    name = "sentence-transformers/paraphrase-multilingual-MiniLM-L12-v2 " * 6
    renamed = hostile(content(), name.strip())
    screen = console()
    with screen.capture() as captured:
        screen.print(terminal(renamed))
    assert name.strip() in captured.get().splitlines()[-1]
    assert sum(name.strip() in line for line in captured.get().splitlines()) >= 5

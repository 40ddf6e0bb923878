"""The HTML report: one file without requests, with one script, safe for any text and any writing system."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Callable
from html.parser import HTMLParser
from typing import Any

import pyarrow as pa
import pytest
from PIL import Image

from mmeval.report.content import Content
from mmeval.report.html import html
from mmeval.report.page import data_uri, script

Make = Callable[..., Content]
Mistake = Callable[..., dict[str, Any]]
NAN = float("nan")
VOID = {"meta", "img", "br", "input"}


class Page(HTMLParser):
    """The parsed page: tags with attributes, text by tag, and the tags that are still open."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[tuple[str, str]] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if data.strip():
            self.texts.append((self.open[-1] if self.open else "", data.strip()))

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]

    @property
    def text(self) -> str:
        return "\n".join(text for tag, text in self.texts if tag not in ("style", "script"))


def image(kind: str) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (2, 2)).save(file, kind)
    return file.getvalue()


def test_the_page_has_only_its_own_script_and_no_requests(content: Make, mistake: Mistake) -> None:
    text = html(content(gallery=[mistake(image=image("PNG")), mistake()]))
    page = Page(text)
    assert page.open == []
    assert not {tag for tag, _ in page.tags} & {"link", "iframe", "object", "embed", "base", "form"}
    assert page.all("script") == [{}]
    assert f"<script>{script()}</script>" in text
    for tag, attributes in page.tags:
        for name, value in attributes.items():
            assert not name.startswith("on"), (tag, name)
            if (tag, name) == ("a", "href") and (value or "").startswith("#"):
                continue
            if name in ("src", "href", "srcset", "data", "action", "poster", "xlink:href"):
                assert (value or "").startswith("data:"), (tag, name, value)
    assert "url(" not in text
    assert "@import" not in text


@pytest.mark.parametrize("where", ["text", "true", "predicted", "language"])
def test_texts_are_escaped(where: str, content: Make, mistake: Mistake) -> None:
    evil = "\"'><script>alert(1)</script>"
    page = Page(html(content(gallery=[mistake(**{where: evil})])))
    assert page.all("script") == [{}]
    assert evil in page.text


def test_the_record_is_escaped(content: Make) -> None:
    evil = "<img src=x onerror=alert(1)>"
    page = Page(html(content(paper=evil, command=evil, data={"name": evil, "summary": evil, "licence": evil})))
    assert page.all("img") == []
    assert page.text.count(evil) == 8, "protocol, command, data, and how to cite, with BibTeX"


def test_texts_have_language_and_direction(content: Make, mistake: Mistake) -> None:
    """Arabic beside Latin punctuation is unreadable otherwise; `lang` picks the right glyphs of Han characters."""
    page = Page(html(content(gallery=[mistake(language="ar", text="مربع أحمر!"), mistake(language="ja", text="赤い")])))
    texts = [attributes for attributes in page.all("div") if attributes.get("class") == "text"]
    assert [(a["lang"], a["dir"]) for a in texts] == [("ar", "auto"), ("ja", "auto")]
    assert "مربع أحمر!" in page.text


def test_a_language_without_examples_has_a_dash(content: Make) -> None:
    text = html(content({"de": (0.5, 0.4, 0.6), "ja": (NAN, NAN, NAN)}))
    assert not re.search(r"\bnan\b", text)
    row = next(part for part in text.split("<tr>") if "<bdi>Japanese</bdi>" in part)
    assert '<td data-value="0">0</td>' in row
    assert "<td>–<small></small></td>" in row


def test_a_run_without_labels_has_a_report(content: Make) -> None:
    page = Page(html(content({"de": (NAN, NAN, NAN), "ja": (NAN, NAN, NAN)})))
    assert page.all("svg") == []
    assert not re.search(r"\bnan\b", page.text)


def test_a_mistake_without_image_and_text_is_marked(content: Make, mistake: Mistake) -> None:
    page = Page(html(content(gallery=[mistake(text="")])))
    assert page.all("img") == []
    assert "no image" in page.text
    assert "no text" in page.text
    assert "confidence 88 %" in page.text


def test_narrow_pages_have_a_scroll_hint_and_short_cards(content: Make, mistake: Mistake) -> None:
    page = html(content(gallery=[mistake(text="word " * 2000)]))
    assert page.count('<p class="hint quiet">The table scrolls sideways.</p>') == 3, "two tasks and the slices"
    assert "@media (max-width: 640px) { .hint { display: block; } }" in page
    assert "-webkit-line-clamp: 4" in page
    assert "width: 72px" not in page


def test_a_report_without_mistakes_says_so(content: Make) -> None:
    assert "None: every prediction is correct." in Page(html(content())).text


def test_a_limited_run_is_marked_as_a_trial(content: Make) -> None:
    assert "Limited to 50 examples of each split: a trial, not a result." in Page(html(content(limit=50))).text
    assert "a trial, not a result" not in Page(html(content())).text


def test_signature_command_and_scores_are_shown(content: Make) -> None:
    sample = content()
    page = Page(html(sample))
    for expected in (
        sample.record.plan.signature,
        sample.record.command,
        "number=even",
        "1,234",
        "0.800",
        "0.750–0.850",
    ):
        assert expected in page.text
    assert page.text.count("macro-F1") == 3


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_images_are_embedded_with_their_media_type(kind: str) -> None:
    head, _, data = data_uri(image(kind)).partition(",")
    assert head == f"data:image/{kind.lower()};base64"
    assert Image.open(io.BytesIO(base64.b64decode(data))).format == kind


def test_every_part_is_there_or_a_sentence_says_why_not(content: Make) -> None:
    """The content has no analysis, gallery, history, data check and card."""
    text = Page(html(content(), {})).text
    for sentence in (
        "Not shown: the predictions of this run were not read for this page.",
        "Not shown: an older version of mmeval, which did not record them, trained the model. Selected on validation:",
        "None: every prediction is correct.",
        "The record has no data check: an older version of mmeval wrote it.",
        "This run has no data card",
    ):
        assert sentence in " ".join(text.split())


def test_learning_curves_have_a_line_per_seed_and_their_numbers(content: Make) -> None:
    history = [{"epoch": 1, "loss": 2.5, "validation": 0.25}, {"epoch": 2, "loss": 1.25, "validation": 0.75}]
    facts = {"epochs": 2, "best_epoch": 2, "seconds": 1.0, "history": history}
    original = content()
    record = original.record.model_copy(update={"seeds": {"0": facts, "1": facts}})
    page = Page(html(Content(record, original.scores, [])))
    assert [svg["role"] for svg in page.all("svg") if "role" in svg] == ["img", "img"]
    assert sum(line.get("class") == "ring" for line in page.all("circle")) == 4
    for number in ("1.2500 (selected)", "0.7500 (selected)", "2.5000", "seed 1"):
        assert number in page.text
    alien = content(seeds={"0": {"seconds": 1.0, "history": [3, "x"]}})
    assert "Not shown: the run has no record of epochs" in Page(html(alien)).text


def test_the_gallery_is_filtered_by_language_class_and_kind(content: Make, mistake: Mistake) -> None:
    """A class may hold the sign that separates the values of a filter."""
    rows = [
        mistake(language="ja", true="a|b", predicted="c", kind="mistake", task="shade"),
        mistake(language="de", true="c", predicted="c", kind="correct", task="colour"),
    ]
    page = Page(html(content(gallery=rows)))
    names = [select["name"] for select in page.all("select")]
    assert names == ["task", "language", "class", "kind"]
    first, second = (item for item in page.all("li") if "data-item" in item)
    assert (first["data-language"], first["data-class"], first["data-kind"], first["data-task"]) == (
        "ja",
        "0|1",
        "mistake",
        "1",
    )
    assert (second["data-language"], second["data-class"], second["data-kind"]) == ("de", "1", "correct")


def test_credit_is_shown_below_the_images(content: Make, mistake: Mistake) -> None:
    data = {"name": "colours", "summary": "squares", "licence": "cc-by-4.0", "credit": "Drawn by <Someone>"}
    assert "Drawn by &lt;Someone&gt;" in html(content(gallery=[mistake()], data=data))


def test_slices_have_a_column_for_each_metric_that_they_have(content: Make) -> None:
    """A multi-label task may have metrics of its own, and no slice."""
    made = content(slices=("all", "number=even"), metrics=("top1", "macro_f1"))
    rows = [row for row in made.scores.to_pylist() if row["slice"] == "all" or row["metric"] == "top1"]
    page = html(Content(made.record, pa.Table.from_pylist(rows, schema=made.scores.schema), []))
    slices = page[page.index('id="slices"') :].split("</thead>")[0]
    assert "top-1" in slices
    assert "macro-F1" not in slices

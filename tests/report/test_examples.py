"""The page of examples: what is in the data, and nothing that the data could do to who looks at it."""

from __future__ import annotations

import base64
import io
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from mmeval.data.sample import Preview, sample
from mmeval.data.store import Store
from mmeval.report.examples import examples_page


class Page(HTMLParser):
    """The elements of a page and its visible words; void of what CSS says."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words += [data.strip()] if data.strip() else []

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def shown(store: Store, **changes: object) -> Preview:
    (one,) = sample(store, 1, word="red dark 0", split="train")
    return Preview(**vars(one) | changes)  # type: ignore[arg-type]


def test_each_example_stands_there_with_its_image(store: Store) -> None:
    found = sample(store, 30, split="test")
    page = Page(examples_page(store, found, "Squares by nobody, CC0"))
    images = [one for one in found if one.image >= 0]
    assert len(page.all("li")) == 30
    assert len(page.all("img")) == len(images) < 30
    for one, attributes in zip(images, page.all("img"), strict=True):
        kind, _, data = str(attributes["src"]).partition(";base64,")
        assert kind == "data:image/png"
        assert base64.b64decode(data) == store.image(one.image)
        assert np.asarray(Image.open(io.BytesIO(base64.b64decode(data)))).shape == (32, 32, 3)
    words = " ".join(page.words)
    assert "30 of 132 examples" in words
    assert f"fingerprint {store.fingerprint[:8]}" in words
    assert words.endswith("Squares by nobody, CC0")
    for one in found:
        assert one.id in words
        assert (one.text or "no text") in words
    assert words.count("no image") == 30 - len(images)


def test_it_asks_nobody_for_anything_and_runs_nothing(store: Store) -> None:
    """It is mailed, and opened where there is no network."""
    text = examples_page(store, sample(store, 12))
    page = Page(text)
    assert not [tag for tag, _ in page.elements if tag in ("script", "link", "iframe", "object", "base", "form")]
    addresses = [
        value for _, attributes in page.elements for key, value in attributes.items() if key in ("src", "href")
    ]
    assert all(str(value).startswith("data:image/") for value in addresses)
    assert not re.search(r"url\(|@import|https?:", text)
    assert not [key for _, attributes in page.elements for key in attributes if key.startswith("on")]


EVIL = "<script>alert(1)</script><img src=x onerror=alert(1)>\"'&amp;"


@pytest.mark.parametrize("field", ["id", "language", "split", "text"])
def test_a_text_is_a_text_and_no_page(field: str, store: Store) -> None:
    """A shop's titles are whatever its sellers type."""
    one = shown(store, **{field: EVIL})
    page = Page(examples_page(store, [one]))
    assert (len(page.all("script")), len(page.all("img"))) == (0, 1)
    assert EVIL in " ".join(page.words)


def test_names_and_values_are_texts_too(store: Store) -> None:
    one = shown(store, labels={"t": EVIL}, others={EVIL: EVIL})
    page = Page(examples_page(store, [one], EVIL))
    assert (len(page.all("script")), len(page.all("img"))) == (0, 1)
    assert " ".join(page.words).count(EVIL) == 4


def test_what_is_missing_is_said(store: Store) -> None:
    words = Page(examples_page(store, [shown(store, text="", labels={}, image=-1, others={})])).words
    assert {"no text", "no label", "no image"} <= set(words)


def test_languages_are_marked_so_that_a_browser_chooses_their_letters(store: Store) -> None:
    """The same code points are drawn otherwise in Japanese and in Chinese; Arabic runs from the right."""
    page = Page(examples_page(store, sample(store, 3)))
    marked = [attributes for attributes in page.all("div") if "lang" in attributes]
    assert {attributes["lang"] for attributes in marked} == {"de", "en", "ja"}
    assert {attributes["dir"] for attributes in marked} == {"auto"}

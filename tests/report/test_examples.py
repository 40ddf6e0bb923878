"""The page of examples: complete, self-contained, and safe for any text of the data."""

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
    """The parsed page: elements with attributes, and visible words."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if self.elements and self.elements[-1][0] not in ("style", "script"):
            self.words += [data.strip()] if data.strip() else []

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def shown(store: Store, **changes: object) -> Preview:
    (example,) = sample(store, 1, word="red dark 0", split="train")
    return Preview(**vars(example) | changes)  # type: ignore[arg-type]


def test_every_example_is_shown_with_its_image(store: Store) -> None:
    examples = sample(store, 30, split="test")
    page = Page(examples_page(store, examples, "Squares by nobody, CC0"))
    images = [example for example in examples if example.image >= 0]
    assert len(page.all("li")) == 30
    assert len(page.all("img")) == len(images) < 30
    for example, attributes in zip(images, page.all("img"), strict=True):
        kind, _, data = str(attributes["src"]).partition(";base64,")
        assert kind == "data:image/png"
        assert base64.b64decode(data) == store.image(example.image)
        assert np.asarray(Image.open(io.BytesIO(base64.b64decode(data)))).shape == (32, 32, 3)
    words = " ".join(page.words)
    assert "30 of 132 examples" in words
    assert f"fingerprint {store.fingerprint[:8]}" in words
    assert words.endswith("Squares by nobody, CC0")
    for example in examples:
        assert example.id in words
        assert (example.text or "no text") in words
    assert words.count("no image") == 30 - len(images)


def test_the_page_has_only_its_own_script_and_no_requests(store: Store) -> None:
    """The page is mailed, and opened without a network."""
    text = examples_page(store, sample(store, 12))
    page = Page(text)
    assert not [tag for tag, _ in page.elements if tag in ("link", "iframe", "object", "base", "form")]
    addresses = [
        value for _, attributes in page.elements for key, value in attributes.items() if key in ("src", "href")
    ]
    assert {value for value in addresses if not str(value).startswith("data:image/")} == {"#content"}
    assert page.all("script") == [{}]
    assert not re.search(r"url\(|@import|https?:", text)
    assert not [key for _, attributes in page.elements for key in attributes if key.startswith("on")]


EVIL = "<script>alert(1)</script><img src=x onerror=alert(1)>\"'&amp;"


@pytest.mark.parametrize("field", ["id", "language", "split", "text"])
def test_texts_are_escaped(field: str, store: Store) -> None:
    """Sellers may type anything as the title of a product."""
    example = shown(store, **{field: EVIL})
    page = Page(examples_page(store, [example]))
    assert (len(page.all("script")), len(page.all("img"))) == (1, 1)
    assert EVIL in " ".join(page.words)


def test_labels_other_columns_and_credit_are_escaped(store: Store) -> None:
    example = shown(store, labels={"t": EVIL}, others={EVIL: EVIL})
    page = Page(examples_page(store, [example], EVIL))
    assert (len(page.all("script")), len(page.all("img"))) == (1, 1)
    assert " ".join(page.words).count(EVIL) == 4


def test_missing_text_label_and_image_are_marked(store: Store) -> None:
    words = Page(examples_page(store, [shown(store, text="", labels={}, image=-1, others={})])).words
    assert {"no text", "no label", "no image"} <= set(words)


def test_texts_have_language_and_direction(store: Store) -> None:
    """Japanese and Chinese draw the same code points differently; Arabic runs from right to left."""
    page = Page(examples_page(store, sample(store, 3)))
    marked = [attributes for attributes in page.all("div") if "lang" in attributes]
    assert {attributes["lang"] for attributes in marked} == {"de", "en", "ja"}
    assert {attributes["dir"] for attributes in marked} == {"auto"}

"""The page of an audit is self-contained and safe to send: no requests, no foreign scripts, no markup from the data."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from mmeval import Example, Task
from mmeval.audit import audit
from mmeval.data.store import Store
from tests.audit.conftest import jpeg, scene
from tests.report.test_html import Page

EVIL = "\"'><script>alert(1)</script> & a text that is long enough"
TASK = Task(EVIL, (EVIL, "plain"))


@pytest.fixture
def text(planted: Callable[..., Store], tmp_path: Path) -> str:
    given = [
        Example(f"{EVIL}{i}", f"{EVIL} {i // 2}", ("en", "ar")[i // 2 % 2], split, {EVIL: TASK.classes[i % 2]}, f"p{i}")
        for i, split in enumerate(("train", "test") * 4)
    ]
    images = {f"p{i}": jpeg(scene(i // 2), 90 - i) for i in range(8)}
    audit(planted(given, images, (TASK,)), tmp_path, credit=EVIL)
    return (tmp_path / "audit.html").read_text(encoding="utf-8")


def test_page_has_no_external_resources_and_only_its_own_script(text: str) -> None:
    page = Page(text.replace("<rect", "<line"))
    assert page.open == []
    assert not {tag for tag, _ in page.tags} & {"link", "iframe", "object", "embed", "base", "form"}
    assert page.all("script") == [{}]
    for tag, attributes in page.tags:
        for name, value in attributes.items():
            assert not name.startswith("on"), (tag, name)
            if (tag, name, value) == ("a", "href", "#content"):
                continue
            if name in ("src", "href", "srcset", "data", "action", "poster", "xlink:href"):
                assert (value or "").startswith("data:"), (tag, name, value)
    assert not {"url(", "@import", "http:", "https:"} & {
        word for word in ("url(", "@import", "http:", "https:") if word in text
    }


def test_texts_are_escaped(text: str) -> None:
    page = Page(text)
    assert page.all("script") == [{}]
    assert EVIL[:30] in page.text


def test_pairs_have_the_language_and_direction_of_their_texts(text: str) -> None:
    page = Page(text)
    assert len(page.all("img")) == 8
    texts = [attributes for attributes in page.all("div") if attributes.get("class") == "text"]
    assert {text["lang"] for text in texts} == {"ar", "en"}
    assert {text["dir"] for text in texts} == {"auto"}

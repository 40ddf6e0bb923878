"""A generated data card agrees with the data when it is read back."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from mmeval import DatasetSpec, Example, Task
from mmeval.data.card import read_card
from mmeval.data.differences import differences
from mmeval.data.open.write_card import card_of
from mmeval.data.prepare.prepare import prepare
from mmeval.data.request import Dataset
from mmeval.data.store import Store
from mmeval.escaping import ACTIVE

names = st.one_of(
    st.sampled_from(
        [
            *("no", "null", "1e3", "2026-11-24", "a: b", "x\n---\ny", "- ", "#1", "a|b", "'", '"', "=", "ß\u2028", "{"),
            *("\u202eabc", "\x1b[2J", "<script>", "](x)", "`", "\u200f", "a\x9b", "*a* _b_", "&#x202e;"),
        ]
    ),
    st.text(st.characters(codec="utf-8"), min_size=1, max_size=12),
)


class Given:
    """Examples of random languages, splits and labels."""

    size = 0

    def __init__(self, tasks: dict[str, list[str]], rows: list[tuple[str, str, int]], identity: str = "1") -> None:
        self.tasks = tuple(Task(name, tuple(classes)) for name, classes in tasks.items())
        self.rows, self.identity = rows, {"given": identity}

    def images(self) -> Iterator[Any]:
        return iter(())

    def examples(self) -> Iterator[Example]:
        for number, (language, split, label) in enumerate(self.rows):
            labels = {task.name: task.classes[label % len(task.classes)] for task in self.tasks if label >= 0}
            yield Example(str(number), "text", language, split, labels)


def prepared(source: Given, summary: str = "a summary", **spec: Any) -> Dataset:
    dataset_spec = DatasetSpec(name="given", summary=summary, card=None, source=lambda: source, **spec)
    return Dataset(dataset_spec, prepare(dataset_spec), "unknown")


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@example({"no": ["\x85", "a\u2028b"]}, [("no", "train", 0)])
@given(
    st.dictionaries(names, st.lists(names, min_size=1, max_size=5, unique=True), min_size=1, max_size=3),
    st.lists(
        st.tuples(
            st.sampled_from(["no", "de", "en", "on", "null"]),
            st.sampled_from(["train", "test", "yes"]),
            st.integers(-1, 9),
        ),
        min_size=1,
        max_size=20,
    ),
)
def test_the_card_of_any_data_agrees_with_it(
    tmp_path_factory: pytest.TempPathFactory,
    tasks: dict[str, list[str]],
    rows: list[tuple[str, str, int]],
) -> None:
    """Also with names that YAML could misread: `no` (Norwegian) and `1e3`."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("card")
        patch.setenv("MMEVAL_HOME", str(folder))
        data = prepared(Given(tasks, rows))
        path = folder / "card.md"
        text = card_of(data)
        assert not ACTIVE.search(text), "no active characters"
        assert not re.search("<(?!!--)", text.split("---\n")[-1])
        path.write_text(text, encoding="utf-8")
        card = read_card(path)
        assert differences(card, data.store) == []
        assert card.tasks == {task.name: task.classes for task in data.store.tasks}
        assert (card.images, card.rejected, card.fingerprint) == (0, 0, data.store.fingerprint)


def test_the_header_has_the_fields_of_the_hub(store: Store, colours: Callable[..., DatasetSpec]) -> None:
    """The Hub's search uses them."""
    text = card_of(Dataset(colours(), store, "cc0-1.0"))
    header = yaml.safe_load(text.split("---\n")[1])
    assert {key: value for key, value in header.items() if key != "mmeval"} == {
        "pretty_name": "colours",
        "language": ["de", "en", "ja"],
        "license": "cc0-1.0",
        "multilinguality": "multilingual",
        "size_categories": "n<1K",
        "task_categories": ["image-classification", "text-classification"],
        "tags": ["multimodal", "image-text"],
    }
    assert header["mmeval"]["per_language"]["test"] == {"de": 14, "en": 14, "ja": 14}


def test_the_prose_has_tables(store: Store, colours: Callable[..., DatasetSpec]) -> None:
    body = card_of(Dataset(colours(), store, "mit")).split("---\n", 2)[2].splitlines()
    assert body[:4] == ["", "# colours", "", "squares"]
    assert "| language | train | validation | test | without image | without text |" in body
    assert "| de | 24 | 6 | 14 | 0 | 2 |" in body
    assert "| en | 24 | 6 | 14 | 2 | 0 |" in body
    assert "| colour | 3 | red (45) | blue (42) | 0 |" in body
    assert "| shade | 2 | dark (68) | light (62) | 2 |" in body


def test_special_characters_in_a_class_do_not_break_a_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MMEVAL_HOME", str(tmp_path))
    text = card_of(prepared(Given({"t": ["a|b\nc"]}, [("de", "train", 0)])))
    assert "| t | 1 | a\\|b c (1) | a\\|b c (1) | 0 |\n" in text


def test_classes_are_escaped_in_the_prose(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MMEVAL_HOME", str(tmp_path))
    summary = "<img src=x>\u202e [x](http://x)"
    text = card_of(prepared(Given({"<b>": ["<script>", "\u202egnp"]}, [("de", "train", 0)]), summary))
    body = text.split("---\n")[-1]
    assert "| &lt;b&gt; | 2 | &lt;script&gt; (1) | \\\\u202egnp (0) | 0 |\n" in body
    assert "\n&lt;img src=x&gt;\\\\u202e \\[x\\](http://x)\n" in body


def test_accepted_mismatches_are_listed(
    colours: Callable[..., DatasetSpec], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Readers must not take the data for the published data."""
    monkeypatch.setenv("MMEVAL_HOME", str(tmp_path / "home"))
    spec = colours(images=45)
    text = card_of(Dataset(spec, prepare(spec, released=False), "mit"))
    assert "pretty_name: colours-mismatched\n" in text
    listed = "Differences from the published data:\n\n- images: the card says 45, the data has 44\n"
    assert text.endswith(listed)
    path = tmp_path / "card.md"
    path.write_text(text, encoding="utf-8")
    assert read_card(path).images == 44, "its own counts"

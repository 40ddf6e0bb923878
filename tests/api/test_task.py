"""The context of a model: class names of the data card reach it, and it is saved with the model."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from mmeval import DatasetSpec, Examples, ModelContext, Task
from mmeval.data.prepare.prepare import prepare
from mmeval.runs.train import context_of

CONTEXT = ModelContext(
    (Task("t", ("a", "b")),),
    {"t": (1, 2)},
    ("de",),
    {"source": ("x",)},
    {"t": {"de": ("Aal", "b"), "en": ("eel", "b")}},
)


def test_a_context_is_equal_after_writing_and_reading_json() -> None:
    """Otherwise a loaded model would use other prompts than the scored one."""
    assert ModelContext.from_json(json.loads(json.dumps(CONTEXT.as_json()))) == CONTEXT


def test_a_context_saved_without_class_names_loads() -> None:
    saved = CONTEXT.as_json()
    del saved["class_names"], saved["attributes"]
    loaded = ModelContext.from_json(saved)
    assert (loaded.class_names, loaded.attributes, loaded.tasks) == ({}, {}, CONTEXT.tasks)


def test_names_on_the_data_card_reach_the_model(colours: Callable[..., DatasetSpec], tmp_path: Path) -> None:
    """In the order of indices, with the class itself where the card has no name, and without preparing again."""
    spec = colours()
    before = prepare(spec)
    assert context_of(Examples(before, "train")).class_names == {}
    card = tmp_path / "colours.md"
    names = "    colour:\n      de: {blue: blau, red: rot}\n      ja: {red: 赤, green: 緑, blue: 青}\n"
    card.write_text(card.read_text(encoding="utf-8").replace("  splits:", f"  class_names:\n{names}  splits:"), "utf-8")
    after = prepare(spec)
    assert (after.folder, after.fingerprint) == (before.folder, before.fingerprint)
    expected = {"colour": {"de": ("rot", "green", "blau"), "ja": ("赤", "緑", "青")}}
    assert context_of(Examples(after, "train")).class_names == expected

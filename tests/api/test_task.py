"""What a model is told of the data: with the names that the data card gives classes, and kept with a saved model."""

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


def test_a_context_comes_back_from_json_as_it_was() -> None:
    """Else a loaded model asks with other prompts than the one that was scored."""
    assert ModelContext.from_json(json.loads(json.dumps(CONTEXT.as_json()))) == CONTEXT


def test_a_config_that_was_saved_without_names_still_loads() -> None:
    saved = CONTEXT.as_json()
    del saved["class_names"], saved["attributes"]
    loaded = ModelContext.from_json(saved)
    assert (loaded.class_names, loaded.attributes, loaded.tasks) == ({}, {}, CONTEXT.tasks)


def test_names_on_the_data_card_reach_the_model(colours: Callable[..., DatasetSpec], tmp_path: Path) -> None:
    """In index order, a class without a name as it is; today's card counts, also for what was prepared before."""
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

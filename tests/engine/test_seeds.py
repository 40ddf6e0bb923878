"""An example's seed depends on its inputs alone, so nothing else can change a prediction that uses random numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch

from mmeval import Examples, ModelContext
from mmeval.data.store import Store
from mmeval.engine.collate import Collate
from mmeval.plugin.configure import configure
from mmeval.protocol import Inputs
from mmeval_embracenet import build
from mmeval_embracenet.config import EmbraceNetConfig

CPU = torch.device("cpu")
SMALL = ["image_encoder=small-cnn:32", "image_tuning.frozen=false", "text_encoder=char-ngrams:512x16", "width=16"]


@pytest.fixture
def seeds(context: ModelContext) -> Any:
    """A function that returns the seeds of all examples, or of some rows."""
    model = build(configure(EmbraceNetConfig, "embracenet", {}, SMALL), context)

    def seeds_of(examples: Examples, rows: list[int] | None = None) -> list[int]:
        order = np.arange(len(examples)) if rows is None else np.array(rows)
        return Collate(examples, model, CPU, labels=False)(order).seeds.tolist()

    return seeds_of


def changed(examples: Examples, column: str, values: list[Any]) -> Examples:
    table = examples.table
    index = table.column_names.index(column)
    new = table.set_column(index, column, pa.array(values, table.schema.field(index).type))
    return Examples.of_table(examples.store, new, "changed", examples.inputs)


@pytest.mark.parametrize("column", ["id", "cluster", "split", "slice:number", "label:colour"])
def test_seed_ignores_columns_that_models_do_not_see(store: Store, seeds: Any, column: str) -> None:
    """Two shops with different ids for the same products get the same predictions."""
    examples = Examples(store, "test")
    values = examples.table[column].to_pylist()
    other = [f"other {value}" for value in values] if isinstance(values[0], str) else values[::-1]
    assert seeds(changed(examples, column, other)) == seeds(examples)


@pytest.mark.parametrize(
    ("column", "other"), [("text", "something else"), ("language", "mt"), ("image", 1), ("image", -1)]
)
def test_seed_depends_on_text_language_and_image(store: Store, seeds: Any, column: str, other: object) -> None:
    """Otherwise all languages of one image would share their random numbers, and so their errors."""
    examples = Examples(store, "train")
    values = examples.table[column].to_pylist()
    before, after = seeds(examples), seeds(changed(examples, column, [other, *values[1:]]))
    assert before[0] != after[0]
    assert before[1:] == after[1:]
    assert len(set(before)) == len(before)


def test_seed_is_the_same_in_every_batch(store: Store, seeds: Any) -> None:
    examples = Examples(store, "test")
    whole = seeds(examples)
    assert seeds(examples, [7, 3, 3]) == [whole[7], whole[3], whole[3]]


def test_seed_ignores_inputs_hidden_by_the_protocol(store: Store, seeds: Any) -> None:
    """With `--inputs text`, exchanging the images changes no seed."""
    examples = Examples(store, "train", Inputs.TEXT)
    images = examples.table["image"].to_pylist()
    assert seeds(changed(examples, "image", images[::-1])) == seeds(examples)
    hidden = Examples(store, "train", Inputs.IMAGE)
    assert seeds(changed(hidden, "text", ["other"] * len(hidden))) == seeds(hidden)

"""Checks of predictions: missing inputs, reproducibility, and columns that must not influence them."""

from __future__ import annotations

import contextlib

import numpy as np
from numpy.typing import NDArray

from mmeval.data.examples import Examples
from mmeval.data.store import LABEL, SLICE
from mmeval.testing.check import CheckFailed, NotApplicable, contract_check
from mmeval.testing.data import ELSEWHERE
from mmeval.testing.plugin_under_test import TOLERANCE, PluginUnderTest, assert_same, with_columns

PERMUTATION_SEED = 20


@contract_check(
    "trains",
    "after training on a small data set the model predicts valid probabilities of every task",
    "the model can't be run at all",
)
def trains(plugin: PluginUnderTest) -> None:
    """Train, save, load and predict."""
    _ = plugin.expected


@contract_check(
    "missing-image",
    "examples without an image are accepted in training and prediction",
    "a run would fail, perhaps after hours, at the first product without a photo",
)
def missing_image(plugin: PluginUnderTest) -> None:
    """Predict without images, and train with some images missing."""
    _without(plugin, image=True)


@contract_check(
    "missing-text",
    "examples without a text are accepted in training and prediction",
    "a run would fail at the first product without a description",
)
def missing_text(plugin: PluginUnderTest) -> None:
    """Predict without texts, and train with some texts missing."""
    _without(plugin, text=True)


@contract_check(
    "missing-both",
    "an example with neither image nor text gets a distribution over the classes",
    "an empty row of a catalogue would stop a run, or be left out of the score",
)
def missing_both(plugin: PluginUnderTest) -> None:
    """Predict without both, and train with both missing in some examples."""
    _without(plugin, image=True, text=True)


@contract_check(
    "same-seed",
    "training twice with one seed, or predicting twice, gives the same probabilities",
    "a score couldn't be reproduced, and a better score might be chance",
)
def same_seed(plugin: PluginUnderTest) -> None:
    """Predict twice; train a second model with the same seed."""
    assert_same(
        plugin.predict(plugin.trained, plugin.test_split), plugin.expected, "between two predictions of one model"
    )
    # Compared before saving; the check save-load compares after it.
    second = plugin.build()
    with contextlib.suppress(NotApplicable):
        plugin.fit(second, plugin.examples("train"), plugin.examples("validation"))
    first = plugin.predict(plugin.in_memory, plugin.test_split)
    assert_same(plugin.predict(second, plugin.test_split), first, "between two trainings with one seed")


@contract_check(
    "batch-invariance",
    "a prediction does not depend on batch size, order or the other examples in a batch",
    "the score would depend on the batch size, and one product alone would get another prediction than in a batch",
)
def batch_invariance(plugin: PluginUnderTest) -> None:
    """Predict in reverse order, in parts, and some examples alone."""
    rows = np.arange(len(plugin.test_split))
    for order, when in (
        (rows[::-1], "when the examples come in another order"),
        (rows[::3], "with other examples in the batch"),
        *((rows[row : row + 1], "when one example is predicted alone") for row in (0, len(rows) // 2)),
    ):
        part = Examples.of_table(plugin.store, plugin.test_split.table.take(order), "test", plugin.test_split.inputs)
        expected = {task: values[order] for task, values in plugin.expected.items()}
        assert_same(plugin.predict(plugin.trained, part), expected, when)


@contract_check(
    "embedding",
    "the fused vector of an example, where a model gives one, has one size and does not depend on the batch",
    "embeddings could not be compared with each other, so no neighbour of a product could be found",
)
def embedding(plugin: PluginUnderTest) -> None:
    """Embed the test split, then every third example in reverse order, and one alone."""
    whole = plugin.embed(plugin.trained, plugin.test_split)
    rows = np.arange(len(plugin.test_split))
    for order in (rows[::-3], rows[:1]):
        part = Examples.of_table(plugin.store, plugin.test_split.table.take(order), "test", plugin.test_split.inputs)
        vectors = plugin.embed(plugin.trained, part)
        if vectors.shape[1] != whole.shape[1]:
            raise CheckFailed(f"its embedding has {whole.shape[1]} features, and {vectors.shape[1]} in another batch")
        difference = float(np.abs(vectors - whole[order]).max())
        if not difference <= TOLERANCE * max(float(np.abs(whole).max()), 1.0):
            raise CheckFailed(f"its embedding differs by up to {difference:.2g} with other examples in the batch")


@contract_check(
    "unseen-language",
    "the model predicts examples in a language that was not in training",
    "the model couldn't be used in a new market, nor its transfer between languages measured",
)
def unseen_language(plugin: PluginUnderTest) -> None:
    """Predict a split in a language that training lacks, and examples with a code that the data set lacks."""
    plugin.predict(plugin.trained, plugin.examples(ELSEWHERE))
    plugin.predict(plugin.trained, with_columns(plugin.test_split, {"language": ["mt"] * len(plugin.test_split)}))


@contract_check(
    "forbidden-columns",
    "id, split, cluster, slices and labels do not influence a prediction",
    "the score would measure leaked information, not classification",
)
def forbidden_columns(plugin: PluginUnderTest) -> None:
    """Permute each of these columns, and rename the split."""
    order = np.random.default_rng(PERMUTATION_SEED).permutation(len(plugin.test_split))
    table = plugin.test_split.table
    hidden = [name for name in table.column_names if name in ("id", "cluster") or name.startswith((SLICE, LABEL))]
    for column in hidden:
        values = np.asarray(table[column].to_pylist(), dtype=object)[order]
        described = column.removeprefix(SLICE).replace(LABEL, "the label of ")
        permuted = plugin.predict(plugin.trained, with_columns(plugin.test_split, {column: list(values)}))
        assert_same(permuted, plugin.expected, f"when {described} is permuted")
    renamed = with_columns(plugin.test_split, {"split": ["elsewhere"] * len(order)}, "elsewhere")
    assert_same(plugin.predict(plugin.trained, renamed), plugin.expected, "when the split has another name")


@contract_check(
    "declared-inputs",
    "the model uses only the modalities that its spec declares",
    "a score for `--inputs text` would also depend on images",
)
def declared_inputs(plugin: PluginUnderTest) -> None:
    """Remove the modality that the spec does not declare."""
    hidden = {"image", "text"} - set(plugin.spec.inputs)
    if not hidden:
        raise NotApplicable("it declares both modalities")
    both = Examples.of_table(plugin.store, plugin.test_split.table, "test")
    seen = plugin.predict(plugin.trained, both)
    (modality,) = hidden
    blank = {"image": [-1] * len(both)} if modality == "image" else {"text": [""] * len(both)}
    without = plugin.predict(plugin.trained, with_columns(both, blank))
    assert_same(without, seen, f"without the {modality}, which isn't declared")


def _without(plugin: PluginUnderTest, *, image: bool = False, text: bool = False) -> None:
    used = set(plugin.spec.inputs)
    if (image and not text and "image" not in used) or (text and not image and "text" not in used):
        raise NotApplicable(f"it doesn't use the {'image' if image else 'text'}")
    every, every_other = np.ones(len(plugin.test_split), bool), np.arange(len(plugin.test_split)) % 2 == 0
    for rows in (every, every_other):
        probabilities = plugin.predict(plugin.trained, _blanked(plugin.test_split, rows, image, text))
        if image and text and rows is every:
            _assert_equal_per_language(probabilities, plugin.test_split)
    train, validation = plugin.examples("train"), plugin.examples("validation")
    some_missing = _blanked(train, np.arange(len(train)) % 3 == 0, image, text)
    model = plugin.build()
    try:
        plugin.fit(model, some_missing, _blanked(validation, np.arange(len(validation)) % 3 == 0, image, text))
    except NotApplicable:
        return
    plugin.predict(model, _blanked(plugin.test_split, every_other, image, text))


def _blanked(examples: Examples, rows: NDArray[np.bool_], image: bool, text: bool) -> Examples:
    """Return the examples without image, text or both in the marked rows ``[n]``."""
    columns: dict[str, list[object]] = {}
    if image:
        columns["image"] = [-1 if blank else int(row) for blank, row in zip(rows, examples.all_image_rows, strict=True)]
    if text:
        texts = examples.table["text"].to_pylist()
        columns["text"] = ["" if blank else value for blank, value in zip(rows, texts, strict=True)]
    return with_columns(examples, columns)


def _assert_equal_per_language(probabilities: dict[str, NDArray[np.float32]], examples: Examples) -> None:
    """Examples of one language without image and text have equal inputs, so they must get equal probabilities."""
    languages = np.asarray(examples.languages)
    for task, values in probabilities.items():
        for language in np.unique(languages):
            of_language = values[languages == language]
            if np.ptp(of_language, axis=0).max() > 1e-3:
                raise CheckFailed(
                    f"two examples of {language} without image and text get different probabilities of {task}"
                )

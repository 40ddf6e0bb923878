"""Rules about predictions: what may move them, and what must not."""

from __future__ import annotations

import contextlib

import numpy as np
from numpy.typing import NDArray

from mmeval.data.examples import Examples
from mmeval.data.store import LABEL, SLICE
from mmeval.testing.check import rule
from mmeval.testing.data import ELSEWHERE
from mmeval.testing.outcome import Broken, NotApplicable
from mmeval.testing.subject import Subject, altered, same

SHUFFLE = 20


@rule(
    "trains",
    "a training on a small data set ends with sound probabilities of every task",
    "the model couldn't be run at all",
)
def trains(subject: Subject) -> None:
    """Train, save, load, predict."""
    _ = subject.expected


@rule(
    "missing-image",
    "an example without an image gets a prediction, in training and after it",
    "a run would fail hours later, at the first product without a photo",
)
def missing_image(subject: Subject) -> None:
    """Predict without images, and train with some missing."""
    _without(subject, image=True)


@rule(
    "missing-text",
    "an example without a text gets a prediction, in training and after it",
    "a run would fail at the first product without a description",
)
def missing_text(subject: Subject) -> None:
    """Predict without texts, and train with some missing."""
    _without(subject, text=True)


@rule(
    "missing-both",
    "an example that shows nothing still gets a distribution over the classes",
    "one empty row of a catalogue would corrupt a run, or the row would be left out of the score",
)
def missing_both(subject: Subject) -> None:
    """Predict without either, and train with some missing."""
    _without(subject, image=True, text=True)


@rule(
    "same-seed",
    "the same seed trains the same model, and the same model predicts the same twice",
    "a score couldn't be made again; a better one might only have drawn better numbers",
)
def same_seed(subject: Subject) -> None:
    """Predict twice; train a second model with the same seed."""
    same(subject.predict(subject.trained, subject.test), subject.expected, "when the same model is asked again")
    # Both as they were trained: what saving loses is another rule's business.
    again = subject.build()
    with contextlib.suppress(NotApplicable):
        subject.fit(again, subject.examples("train"), subject.examples("validation"))
    first = subject.predict(subject.twin, subject.test)
    same(subject.predict(again, subject.test), first, "between two trainings with one seed")


@rule(
    "batch-invariance",
    "a prediction doesn't depend on batch size, order or neighbours",
    "the score would change with the batch size, and a shop that asks for one product would get another answer",
)
def batch_invariance(subject: Subject) -> None:
    """Predict backwards, in parts, and some examples alone."""
    rows = np.arange(len(subject.test))
    for order, when in (
        (rows[::-1], "when the examples come in another order"),
        (rows[::3], "among other neighbours"),
        *((rows[row : row + 1], "when one example is asked alone") for row in (0, len(rows) // 2)),
    ):
        part = Examples.of_table(subject.store, subject.test.table.take(order), "test", subject.test.inputs)
        expected = {task: values[order] for task, values in subject.expected.items()}
        same(subject.predict(subject.trained, part), expected, when)


@rule(
    "unseen-language",
    "a language that was not in training is no error",
    "a model couldn't be tried on a new market, which is what transfer between languages is about",
)
def unseen_language(subject: Subject) -> None:
    """A split of its own has such a language; another code is one that the data set lacks altogether."""
    subject.predict(subject.trained, subject.examples(ELSEWHERE))
    subject.predict(subject.trained, altered(subject.test, {"language": ["mt"] * len(subject.test)}))


@rule(
    "forbidden-columns",
    "id, split, cluster, label source, other slices and the labels don't move a prediction",
    "the model would be scored for what it was told and not for what it sees",
)
def forbidden_columns(subject: Subject) -> None:
    """Permute each of them, and call the split by another name."""
    order = np.random.default_rng(SHUFFLE).permutation(len(subject.test))
    table = subject.test.table
    hidden = [name for name in table.column_names if name in ("id", "cluster") or name.startswith((SLICE, LABEL))]
    for column in hidden:
        values = np.asarray(table[column].to_pylist(), dtype=object)[order]
        shown = column.removeprefix(SLICE).replace(LABEL, "the label of ")
        moved = subject.predict(subject.trained, altered(subject.test, {column: list(values)}))
        same(moved, subject.expected, f"when {shown} is permuted")
    renamed = altered(subject.test, {"split": ["elsewhere"] * len(order)}, "elsewhere")
    same(subject.predict(subject.trained, renamed), subject.expected, "when the split has another name")


@rule(
    "declared-inputs",
    "a model uses no modality but those that its spec declares",
    "a score of `--inputs text` would be one of texts and images",
)
def declared_inputs(subject: Subject) -> None:
    """Take away what isn't declared."""
    hidden = {"image", "text"} - set(subject.spec.inputs)
    if not hidden:
        raise NotApplicable("it declares both modalities")
    both = Examples.of_table(subject.store, subject.test.table, "test")
    seen = subject.predict(subject.trained, both)
    (what,) = hidden
    nothing = {"image": [-1] * len(both)} if what == "image" else {"text": [""] * len(both)}
    same(subject.predict(subject.trained, altered(both, nothing)), seen, f"without the {what}, which isn't declared")


def _without(subject: Subject, *, image: bool = False, text: bool = False) -> None:
    used = set(subject.spec.inputs)
    if (image and not text and "image" not in used) or (text and not image and "text" not in used):
        raise NotApplicable(f"it doesn't use the {'image' if image else 'text'}")
    everywhere, somewhere = np.ones(len(subject.test), bool), np.arange(len(subject.test)) % 2 == 0
    for rows in (everywhere, somewhere):
        found = subject.predict(subject.trained, _blanked(subject.test, rows, image, text))
        if image and text and rows is everywhere:
            _alike(found, subject.test)
    train, validation = subject.examples("train"), subject.examples("validation")
    some = _blanked(train, np.arange(len(train)) % 3 == 0, image, text)
    model = subject.build()
    try:
        subject.fit(model, some, _blanked(validation, np.arange(len(validation)) % 3 == 0, image, text))
    except NotApplicable:
        return
    subject.predict(model, _blanked(subject.test, somewhere, image, text))


def _blanked(examples: Examples, rows: NDArray[np.bool_], image: bool, text: bool) -> Examples:
    columns: dict[str, list[object]] = {}
    if image:
        columns["image"] = [-1 if gone else int(row) for gone, row in zip(rows, examples.all_image_rows, strict=True)]
    if text:
        own = examples.table["text"].to_pylist()
        columns["text"] = ["" if gone else value for gone, value in zip(rows, own, strict=True)]
    return altered(examples, columns)


def _alike(found: dict[str, NDArray[np.float32]], examples: Examples) -> None:
    """Examples of one language that show nothing are the same example."""
    languages = np.asarray(examples.languages)
    for task, values in found.items():
        for language in np.unique(languages):
            own = values[languages == language]
            if np.ptp(own, axis=0).max() > 1e-3:
                raise Broken(f"two examples of {language} that show nothing get different probabilities of {task}")

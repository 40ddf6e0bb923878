"""The data check before training: languages and classes that a score can't speak of, rejected rows, chance level."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from mmeval.api.task import Task
from mmeval.data.examples import Examples, rows_of
from mmeval.data.reading.text import without_folders
from mmeval.data.store import LABEL, Store
from mmeval.data.store_files import REJECTED
from mmeval.record import DataCheck, Majority, RejectedRows

FEW_ROWS = 30
"""Test rows below which a language's score says little."""
RARE = 2
"""Rows of a class in a split below which it is named."""
REASONS = 5
"""Reasons for rejecting rows that are kept, the most frequent first."""
SHOWN = 5
"""Languages or classes that a line names before it counts the rest."""
VALUES = 3
"""Values that such a reason names."""
_QUOTED = re.compile(r'"[^"]*"')
_VARIES = re.compile(r"\S*[/\\]\S*|\S+\.[A-Za-z]{3,4}\b|\S*\d\S*")
"""In a reason, what differs from row to row: paths, names of files, numbers."""


def data_check(store: Store, split: str = "test", limit: int | None = None) -> DataCheck:
    """Count what a run is about to train and score on.

    Args:
        store: the data set.
        split: the one that is scored.
        limit: examples of each split that the run takes; None: all.
    """
    splits = {name: _light(store, name, limit) for name in dict.fromkeys(("train", "validation", split))}
    rows = {name: _counts(examples) for name, examples in splits.items()}
    languages = {
        language: {name: counts[language] for name, counts in rows.items()}
        for language in sorted({language for counts in rows.values() for language in counts})
    }
    scored = {language: counts[split] for language, counts in languages.items()}
    rare, single = _classes(splits)
    majority = {task.name: _majority(task, splits["train"], splits[split]) for task in store.tasks}
    return DataCheck(
        split=split,
        languages=languages,
        classes={task.name: len(task.classes) for task in store.tasks},
        unscored_languages={one: sum(languages[one].values()) for one, count in scored.items() if not count},
        few_rows_languages={one: count for one, count in scored.items() if 0 < count < FEW_ROWS},
        rare_classes=rare,
        single_classes=single,
        rejected=RejectedRows(
            rows=store.rejected_count,
            total=store.rejected_count + sum(store.split_sizes.values()),
            reasons=_reasons(store) if store.rejected_count else [],
        ),
        majority={task: found for task, found in majority.items() if found},
    )


def lines(check: DataCheck | None) -> list[str]:
    """The check in sentences, the most important first; without the majority baseline, which has lines of its own."""
    if check is None:
        return []
    split, found = check.split, []
    if check.unscored_languages:
        named = _some([f"{one} ({_rows(count)} in other splits)" for one, count in check.unscored_languages.items()])
        found.append(f"No {split} rows, so no score: {named}.")
    if check.few_rows_languages:
        named = _some([f"{one} ({count})" for one, count in check.few_rows_languages.items()])
        found.append(f"Fewer than {FEW_ROWS} {split} rows, so a score that says little: {named}.")
    if check.rejected.rows:
        rejected = check.rejected
        reasons = (
            "; ".join(f"{reason} ({_rows(count)})" for reason, count in rejected.reasons) or "see rejected.parquet"
        )
        share = _percent(100 * rejected.rows / max(rejected.total, 1))
        found.append(f"{rejected.rows:,} of {rejected.total:,} rows were rejected ({share}): {reasons}.")
    for task, names in check.single_classes.items():
        found.append(f"Classes of {task} with 1 row in all splits together: {_some(list(map(_name, names)))}.")
    for task, by_split in check.rare_classes.items():
        parts = [
            f"in {name} {_some([f'{_name(one)} ({count})' for one, count in rare.items()])}"
            for name, rare in by_split.items()
        ]
        found.append(f"Classes of {task} with fewer than {RARE} rows: {'; '.join(parts)}.")
    return found


def majority_lines(check: DataCheck | None) -> list[str]:
    """The majority-class baseline of each task in a sentence."""
    return [
        f'Majority baseline of {task}, always "{one.label}": top-1 {one.top1:.3f}, mean over languages '
        f"{one.mean_over_languages:.3f}."
        for task, one in (check.majority if check else {}).items()
    ]


def _light(store: Store, split: str, limit: int | None) -> Examples:
    """A split without its texts."""
    columns = ["language", *(LABEL + task.name for task in store.tasks)]
    table = store.examples.select(columns).take(pa.array(rows_of(store, split, limit)))
    return Examples.of_table(store, table, split)


def _counts(examples: Examples) -> Counter[str]:
    counted = examples.table["language"].value_counts().to_pylist()
    return Counter({one["values"]: one["counts"] for one in counted})


def _classes(
    splits: Mapping[str, Examples],
) -> tuple[dict[str, dict[str, dict[str, int]]], dict[str, list[str]]]:
    """Rare classes by task and split, and those of a single row; a split without any labelled row has no rare ones."""
    per_split = {name: examples.class_counts() for name, examples in splits.items()}
    rare: dict[str, dict[str, dict[str, int]]] = {}
    single: dict[str, list[str]] = {}
    for task in next(iter(splits.values())).store.tasks:
        for name, counts in per_split.items():
            few = {one: count for one, count in zip(task.classes, counts[task.name], strict=True) if count < RARE}
            if few and sum(counts[task.name]):
                rare.setdefault(task.name, {})[name] = few
        total = np.sum([counts[task.name] for counts in per_split.values()], axis=0).tolist()
        if alone := [one for one, count in zip(task.classes, total, strict=True) if count == 1]:
            single[task.name] = alone
    return rare, single


def _reasons(store: Store) -> list[tuple[str, int]]:
    """The most frequent reasons with their rows; those that differ in names and numbers alone are one."""
    try:
        reasons = pq.read_table(store.folder / REJECTED, columns=["reason"])["reason"].to_pylist()
    except (OSError, pa.ArrowException):
        return []
    groups: dict[str, Counter[str]] = {}
    for reason, rows in Counter(reasons).items():
        groups.setdefault(_VARIES.sub("…", _QUOTED.sub('"…"', reason)), Counter())[reason] += rows
    largest = sorted(groups.items(), key=lambda one: -one[1].total())[:REASONS]
    return [(_together(pattern, group), group.total()) for pattern, group in largest]


def _together(pattern: str, group: Counter[str]) -> str:
    """Reasons that are alike as one: those that differ in one quoted value name the most frequent of its values."""
    first = next(iter(group))
    if len(group) == 1:
        return without_folders(first)
    quoted = [_QUOTED.findall(reason) for reason in group]
    if len({_QUOTED.sub("", reason) for reason in group}) > 1 or any(len(values) != 1 for values in quoted):
        return pattern
    values = [_QUOTED.findall(reason)[0] for reason, _ in group.most_common(VALUES)]
    shown = ", ".join(values) + (", …" if len(group) > VALUES else "")
    return without_folders(_QUOTED.sub(lambda _: shown, first))


def _majority(task: Task, train: Examples, test: Examples) -> Majority | None:
    """The most frequent class of ``train`` (of several, the first) and its scores on ``test``; None without rows."""
    counts = np.asarray(train.class_counts()[task.name])
    labels = test.labels(task.name)
    known = labels >= 0
    if not counts.sum() or not known.any():
        return None
    hits = labels[known] == counts.argmax()
    _, language = np.unique(np.asarray(test.table["language"])[known].astype(str), return_inverse=True)
    per_language = np.bincount(language, hits) / np.bincount(language)
    return Majority(
        label=task.classes[int(counts.argmax())],
        top1=float(hits.mean()),
        mean_over_languages=float(per_language.mean()),
    )


def _some(names: Sequence[str]) -> str:
    rest = len(names) - SHOWN
    return ", ".join(names[:SHOWN]) + (f" and {rest} more" if rest > 0 else "")


def _name(label: str) -> str:
    return label or '""'


def _rows(count: int) -> str:
    return f"{count:,} row{'' if count == 1 else 's'}"


def _percent(share: float) -> str:
    return "less than 0.1 %" if share < 0.05 else f"{share:.1f} %"

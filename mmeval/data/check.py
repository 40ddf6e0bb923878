"""The data check before training: languages and classes with few examples, rejected rows, power, majority baseline."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from mmeval.api.task import Task
from mmeval.data.examples import Examples, rows_of
from mmeval.data.power import split_power
from mmeval.data.reading.text import without_folders
from mmeval.data.store import LABEL, Store
from mmeval.data.store_files import REJECTED
from mmeval.record import DataCheck, DataPower, LanguageDetectable, Majority, RejectedRows

FEW_ROWS = 30
"""A language with fewer test rows than this has an unreliable score."""
RARE = 2
"""A class with fewer rows than this in a split is reported."""
REASONS = 5
"""Number of rejection reasons that are reported, the most frequent first."""
SHOWN = 5
"""Number of languages or classes that a line names before it counts the rest."""
VALUES = 3
"""Number of values that a rejection reason names."""
_QUOTED = re.compile(r'"[^"]*"')
_VARIES = re.compile(r"\S*[/\\]\S*|\S+\.[A-Za-z]{3,4}\b|\S*\d\S*")
"""Parts of a reason that vary from row to row: paths, file names, numbers."""


def data_check(store: Store, split: str = "test", limit: int | None = None) -> DataCheck:
    """Count the languages, classes and rejected rows of the splits that a run trains and scores on.

    Args:
        store: the data set.
        split: the split that is scored.
        limit: the number of examples of each split that the run uses; None for all.
    """
    splits = {name: _without_texts(store, name, limit) for name in dict.fromkeys(("train", "validation", split))}
    rows = {name: _counts(examples) for name, examples in splits.items()}
    languages = {
        language: {name: counts[language] for name, counts in rows.items()}
        for language in sorted({language for counts in rows.values() for language in counts})
    }
    scored = {language: counts[split] for language, counts in languages.items()}
    rare, single = _classes(splits)
    majority = {task.name: _majority(task, splits["train"], splits[split]) for task in store.tasks}
    power = {task.name: split_power(splits[split], task.name) for task in store.tasks}
    return DataCheck(
        split=split,
        languages=languages,
        classes={task.name: len(task.classes) for task in store.tasks},
        unscored_languages={code: sum(languages[code].values()) for code, count in scored.items() if not count},
        few_rows_languages={code: count for code, count in scored.items() if 0 < count < FEW_ROWS},
        rare_classes=rare,
        single_classes=single,
        rejected=RejectedRows(
            rows=store.rejected_count,
            total=store.rejected_count + sum(store.split_sizes.values()),
            reasons=_reasons(store) if store.rejected_count else [],
        ),
        majority={task: baseline for task, baseline in majority.items() if baseline},
        power={task: shown for task, shown in power.items() if shown},
    )


def lines(check: DataCheck | None) -> list[str]:
    """Return the data check as sentences, the most important first; :func:`majority_lines` has the baseline's."""
    if check is None:
        return []
    split, sentences = check.split, []
    if check.unscored_languages:
        named = _some([f"{code} ({_rows(count)} in other splits)" for code, count in check.unscored_languages.items()])
        sentences.append(f"No {split} rows, so no score: {named}.")
    if check.few_rows_languages:
        named = _some([f"{code} ({count})" for code, count in check.few_rows_languages.items()])
        sentences.append(f"Fewer than {FEW_ROWS} {split} rows, so an unreliable score: {named}.")
    if check.rejected.rows:
        rejected = check.rejected
        reasons = (
            "; ".join(f"{reason} ({_rows(count)})" for reason, count in rejected.reasons) or "see rejected.parquet"
        )
        share = _percent(100 * rejected.rows / max(rejected.total, 1))
        sentences.append(f"{rejected.rows:,} of {rejected.total:,} rows were rejected ({share}): {reasons}.")
    for task, names in check.single_classes.items():
        sentences.append(f"Classes of {task} with 1 row in all splits together: {_some(list(map(_name, names)))}.")
    for task, by_split in check.rare_classes.items():
        parts = [
            f"in {name} {_some([f'{_name(label)} ({count})' for label, count in rare.items()])}"
            for name, rare in by_split.items()
        ]
        sentences.append(f"Classes of {task} with fewer than {RARE} rows: {'; '.join(parts)}.")
    # Tasks whose labelled rows are the same share their sentences.
    powers = {task: power_lines(power, split) for task, power in check.power.items()}
    for shown in dict.fromkeys(map(tuple, powers.values())):
        tasks = [task for task, other in powers.items() if tuple(other) == shown]
        name = "" if len(tasks) == len(check.classes) else f"{', '.join(tasks)}: "
        sentences += [name + sentence for sentence in shown]
    return sentences


def power_lines(power: DataPower, split: str) -> list[str]:
    """Return sentences about the smallest differences between two models that a split can show."""
    models = f"two models that disagree in {100 * power.disagreement:g} % of the rows"
    # The difference can't be larger than the disagreement.
    blind = [language for language in power.languages if language.detectable > power.disagreement]
    seeing = [language for language in power.languages if language.detectable <= power.disagreement]
    sentences = []
    if seeing:
        sentences.append(
            f"The smallest difference between {models} that the {split} split can show "
            f"({100 * power.power:g} % power) is {_smallest(power, seeing)}."
        )
    if blind:
        named = _some([f"{language.language} ({language.rows:,})" for language in blind])
        sentences.append(f"Too few {split} rows to show any difference between {models}: {named}.")
    return sentences


def _smallest(power: DataPower, languages: Sequence[LanguageDetectable]) -> str:
    """Return the detectable differences of the languages with most and least power, and of the mean over languages.

    Args:
        power: all differences.
        languages: the languages in which a difference can be detected.
    """
    best = min(languages, key=lambda language: language.detectable)
    worst = max(languages, key=lambda language: language.detectable)
    if len(power.languages) == 1:
        return f"{_points(best.detectable)} ({_rows(best.rows)})"
    ends = {language.language: language for language in (best, worst)}
    rows = {name: f" ({_rows(language.rows)})" for name, language in ends.items()}
    if len(languages) == len(power.languages) and _points(best.detectable) == _points(worst.detectable):
        ends, rows = {"each language": best}, {}
    plain = [f"{_points(language.detectable)} in {name}{rows.get(name, '')}" for name, language in ends.items()]
    plain.append(f"{_points(power.mean.detectable)} in the mean over languages")
    adjusted = [f"{_points(language.detectable_adjusted)} in {name}" for name, language in ends.items()]
    return f"{_listed(plain)}; corrected for {len(power.languages)} languages, {_listed(adjusted)}"


def _listed(parts: Sequence[str]) -> str:
    """Return ``a, b and c``."""
    return " and ".join(filter(None, (", ".join(parts[:-1]), parts[-1])))


def _points(difference: float) -> str:
    return f"{100 * difference:.1f} points"


def majority_lines(check: DataCheck | None) -> list[str]:
    """Return a sentence about the majority-class baseline of each task."""
    return [
        f'Majority baseline of {task}, always "{baseline.label}": top-1 {baseline.top1:.3f}, mean over languages '
        f"{baseline.mean_over_languages:.3f}."
        for task, baseline in (check.majority if check else {}).items()
    ]


def _without_texts(store: Store, split: str, limit: int | None) -> Examples:
    """Return a split with the columns of languages, clusters and labels only, which need little memory."""
    columns = ["language", "cluster", *(LABEL + task.name for task in store.tasks)]
    table = store.examples.select(columns).take(pa.array(rows_of(store, split, limit)))
    return Examples.of_table(store, table, split)


def _counts(examples: Examples) -> Counter[str]:
    """Return the number of examples of each language."""
    counts = examples.table["language"].value_counts().to_pylist()
    return Counter({row["values"]: row["counts"] for row in counts})


def _classes(
    splits: Mapping[str, Examples],
) -> tuple[dict[str, dict[str, dict[str, int]]], dict[str, list[str]]]:
    """Return the rare classes by task and split, and by task the classes with one row in all splits together.

    A split without any label of a task has no rare classes.
    """
    per_split = {name: examples.class_counts() for name, examples in splits.items()}
    rare: dict[str, dict[str, dict[str, int]]] = {}
    single: dict[str, list[str]] = {}
    for task in next(iter(splits.values())).store.tasks:
        for name, counts in per_split.items():
            few = {label: count for label, count in zip(task.classes, counts[task.name], strict=True) if count < RARE}
            if few and sum(counts[task.name]):
                rare.setdefault(task.name, {})[name] = few
        total = np.sum([counts[task.name] for counts in per_split.values()], axis=0).tolist()
        if once := [label for label, count in zip(task.classes, total, strict=True) if count == 1]:
            single[task.name] = once
    return rare, single


def _reasons(store: Store) -> list[tuple[str, int]]:
    """Return the most frequent rejection reasons with their rows; those that differ only in names or numbers merge."""
    try:
        reasons = pq.read_table(store.folder / REJECTED, columns=["reason"])["reason"].to_pylist()
    except (OSError, pa.ArrowException):
        return []
    groups: dict[str, Counter[str]] = {}
    for reason, rows in Counter(reasons).items():
        groups.setdefault(_VARIES.sub("…", _QUOTED.sub('"…"', reason)), Counter())[reason] += rows
    largest = sorted(groups.items(), key=lambda item: -item[1].total())[:REASONS]
    return [(_merged(pattern, group), group.total()) for pattern, group in largest]


def _merged(pattern: str, group: Counter[str]) -> str:
    """Return one reason for a group of similar ones.

    If they differ only in one quoted value, the most frequent values are named; else the result is ``pattern``.
    """
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
    """Return the most frequent class of ``train`` and its scores on ``test``.

    None if either split has no labels, and for a multi-label task, which has no top-1 accuracy.
    """
    if task.multilabel:
        return None
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

"""Findings of an audit in sentences, the most serious first, and its verdict."""

from __future__ import annotations

from typing import NamedTuple

from mmeval.audit.content import Audit, Between, Duplicates, Kind

BAD, NOTE, GOOD = "bad", "note", "good"
"""Levels: a finding changes scores, should be checked, or is as it should be."""
MUCH_LEAKED = 0.01
"""Share of the scored split with a duplicate in train from which a leak is bad: differences between good models are no
larger."""
LEAKED_LABELS, MUCH_LEAKED_LABELS = 0.05, 0.2
"""Accuracy of the class name rule from which it is to be checked, and from which it is bad."""
MUCH_FOREIGN = 0.05
"""Share of a language's texts in another language from which it is to be checked."""
SHIFTED = 0.1
"""Distance between the class distributions of train and the scored split from which it is to be checked."""


class Finding(NamedTuple):
    """A sentence with its level: ``BAD``, ``NOTE`` or ``GOOD``."""

    level: str
    text: str


def findings(audit: Audit) -> list[Finding]:
    """Return all findings, the most serious first."""
    unsorted = [*_duplicates(audit, "image", audit.images), *_duplicates(audit, "text", audit.texts)]
    unsorted += [*_label_leakage(audit), *_languages(audit), *_class_balance(audit), *_missing(audit)]
    order = {BAD: 0, NOTE: 1, GOOD: 2}
    return sorted(unsorted, key=lambda finding: order[finding.level])


def verdict(audit: Audit) -> Finding:
    """Return the audit's result in one sentence."""
    levels = [finding.level for finding in findings(audit)]
    bad, notes = levels.count(BAD), levels.count(NOTE)
    if bad:
        return Finding(BAD, f"{_count(bad, 'finding', 'findings')} can change scores; {notes} more to check.")
    if notes:
        return Finding(NOTE, f"No finding changes scores by much; {_count(notes, 'finding', 'findings')} to check.")
    return Finding(GOOD, "No finding changes scores.")


def leak(duplicates: Duplicates | None, audit: Audit) -> Between | None:
    """Return the duplicates of the scored split in train; None where these two splits are not compared."""
    scored = list(audit.splits)[-1]
    compared = duplicates.between if duplicates else []
    return next((pair for pair in compared if (pair.split, pair.other) == (scored, "train")), None)


def _duplicates(audit: Audit, kind: Kind, duplicates: Duplicates | None) -> list[Finding]:
    if duplicates is None:
        return []
    sentences = []
    unit = "an image" if kind == "image" else "a text"
    for pair in duplicates.between:
        if not pair.near.count:
            sentences.append(Finding(GOOD, f"No {pair.split} example has {unit} with a duplicate in {pair.other}."))
            continue
        level = BAD if pair.near.value >= MUCH_LEAKED and pair.other == "train" else NOTE
        share = f"{pair.near.percent} of {pair.split} examples ({pair.near.count:,} of {pair.near.n:,})"
        exact = f"{pair.same.percent} with an exact duplicate"
        sentences.append(Finding(level, f"{share} have {unit} with a duplicate in {pair.other}; {exact}."))
    for task, lookup in duplicates.lookups.items():
        if lookup.coverage.n and lookup.coverage.value >= MUCH_LEAKED:
            share = f"{lookup.coverage.percent} of {list(audit.splits)[-1]}"
            text = f"Copying the {task} of the same {kind} in train answers {share}"
            sentences.append(Finding(NOTE, f"{text}, and is correct for {lookup.precision}."))
    for task, conflict in duplicates.conflicts.items():
        if conflict.sets:
            several = _count(conflict.sets, f"{kind} has", f"{kind}s have")
            labels = f"{'its' if conflict.sets == 1 else 'their'} {conflict.rows:,} labels"
            noise = f"at least {conflict.wrong:,} of {labels} can't be predicted from the {kind}"
            sentences.append(Finding(NOTE, f"{several} more than one {task}; {noise}."))
    return sentences


def _count(count: int, singular: str, plural: str) -> str:
    return f"{count:,} {singular if count == 1 else plural}"


def _label_leakage(audit: Audit) -> list[Finding]:
    sentences = []
    for rule in audit.label_leakage:
        much = rule.accuracy.value >= MUCH_LEAKED_LABELS and rule.accuracy.value > rule.majority.value
        level = BAD if much else NOTE if rule.accuracy.value >= LEAKED_LABELS else GOOD
        text = (
            f"The longest class name in the text is the correct {rule.task} for {rule.accuracy.percent} of {rule.split}"
        )
        coverage = (
            f"; {rule.coverage.percent} have a class name, which is correct for {rule.precision.percent} of those"
        )
        sentences.append(Finding(level, f"{text}{coverage if rule.coverage.count else ''}."))
    return sentences


def _languages(audit: Audit) -> list[Finding]:
    if not audit.foreign:
        return []
    least = f"{100 * MUCH_FOREIGN:.0f} %"
    shares = {name: texts.foreign for name, texts in audit.foreign.items()}
    much = [name for name, share in shares.items() if share.count and share.value >= MUCH_FOREIGN]
    if not much:
        return [
            Finding(GOOD, f"In every language, less than {least} of the texts long enough to judge are in another one.")
        ]
    worst = sorted(much, key=lambda name: -shares[name].value)[:3]
    shown = "; ".join(f"{name} {shares[name]} ({', '.join(list(audit.foreign[name].others)[:3])})" for name in worst)
    where = f"in {len(much)} languages, most in {shown}" if len(much) > len(worst) else shown
    text = f"At least {least} of the texts long enough to judge are in another language: {where}."
    return [Finding(NOTE, text)]


def _class_balance(audit: Audit) -> list[Finding]:
    sentences = []
    scored = list(audit.splits)[-1]
    for balance in audit.class_balance:
        shift, task = balance.shift, balance.task
        if shift and shift.value >= SHIFTED and shift.value > 2 * shift.chance:
            text = f"The class distribution of {task} in {scored} differs from train's by {shift.value:.2f}"
            sentences.append(Finding(NOTE, f"{text} (total variation; {shift.chance:.2f} expected by chance)."))
        without_example = balance.missing.get(scored, [])
        untrained = [name for name in balance.missing.get("train", []) if name not in without_example]
        if untrained and scored != "train":
            few = ", ".join(untrained[:3]) + ", …" * (len(untrained) > 3)
            classes = _count(len(untrained), f"class of {task} is", f"classes of {task} are")
            sentences.append(Finding(NOTE, f"{classes} in {scored} but not in train: {few}."))
        if without_example:
            have = "has" if len(without_example) == 1 else "have"
            classes = f"{len(without_example):,} of {balance.classes:,} classes of {task}"
            sentences.append(Finding(NOTE, f"{classes} {have} no example in {scored}."))
    return sentences


def _missing(audit: Audit) -> list[Finding]:
    sentences = []
    if audit.missing.rejected:
        reason, count, _ = audit.missing.reasons[0] if audit.missing.reasons else ("", 0, "")
        most = f"; the most frequent reason ({count:,}): {reason}" if reason else ""
        rows = _count(audit.missing.rejected, "row was", "rows were")
        sentences.append(Finding(NOTE, f"{rows} rejected when the data set was prepared{most}."))
    for task, names in audit.missing.unknown.items():
        examples = _count(sum(names.values()), "example has", "examples have")
        sentences.append(Finding(NOTE, f"{examples} a label of {task} that is none of its classes."))
    for splits, clusters in audit.missing.spanning.items():
        where = " and ".join(splits.split("+"))
        which = _count(clusters, "cluster (rows that belong together) has", "clusters (rows that belong together) have")
        sentences.append(Finding(BAD, f"{which} examples in {where}."))
    return sentences

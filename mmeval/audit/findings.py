"""What an audit comes to, in sentences: the worst first."""

from __future__ import annotations

from typing import NamedTuple

from mmeval.audit.content import Audit, Between, Duplicates, Kind

BAD, LOOK, GOOD = "bad", "look", "good"
MUCH = 0.01
"""Share of the scored split from which a leak is bad: with it, differences between good models can be made up of it."""
NAMED, MUCH_NAMED = 0.05, 0.2
"""Share that class names in the text give away: worth a look, and much."""
MUCH_FOREIGN = 0.05
SHIFTED = 0.1


class Finding(NamedTuple):
    """One sentence, and how bad it is."""

    level: str
    text: str


def findings(audit: Audit) -> list[Finding]:
    """All that there is to say, the worst first."""
    found = [*_duplicates(audit, "image", audit.images), *_duplicates(audit, "text", audit.texts)]
    found += [*_named(audit), *_spoken(audit), *_mixed(audit), *_missing(audit)]
    order = {BAD: 0, LOOK: 1, GOOD: 2}
    return sorted(found, key=lambda one: order[one.level])


def verdict(audit: Audit) -> Finding:
    """The audit in one sentence."""
    levels = [one.level for one in findings(audit)]
    bad, look = levels.count(BAD), levels.count(LOOK)
    if bad:
        return Finding(BAD, f"{bad} finding{'s' * (bad > 1)} can move scores; {look} more to look at.")
    if look:
        return Finding(LOOK, f"Nothing that moves scores by much; {look} finding{'s' * (look > 1)} to look at.")
    return Finding(GOOD, "Nothing was found that would move scores.")


def leak(duplicates: Duplicates | None, audit: Audit) -> Between | None:
    """Of the scored split in train, None where there is no such pair."""
    scored = list(audit.splits)[-1]
    return (
        next((one for one in duplicates.between if (one.split, one.other) == (scored, "train")), None)
        if duplicates
        else None
    )


def _duplicates(audit: Audit, kind: Kind, duplicates: Duplicates | None) -> list[Finding]:
    if duplicates is None:
        return []
    found = []
    for one in duplicates.between:
        level = GOOD if not one.near.count else BAD if one.near.value >= MUCH and one.other == "train" else LOOK
        exact = f"; {one.same.percent} the very same" if one.near.count else ""
        text = f"{kind.capitalize()} duplicates in {one.other}: {one.near.percent} of {one.split}"
        found.append(Finding(level, f"{text} ({one.near.count:,} of {one.near.n:,} examples){exact}."))
    for task, lookup in duplicates.lookups.items():
        if lookup.found.n and lookup.found.value >= MUCH:
            text = (
                f"Looking the {kind} up in train finds a {task} for {lookup.found.percent} of {list(audit.splits)[-1]}"
            )
            found.append(Finding(LOOK, f"{text}; it is right for {lookup.right} of those."))
    for task, conflict in duplicates.conflicts.items():
        if conflict.sets:
            several = _count(conflict.sets, f"{kind} has", f"{kind}s have")
            noise = f"{conflict.wrong:,} of their {conflict.rows:,} labels, at least, can't be told from the {kind}"
            found.append(Finding(LOOK, f"{several} more than one {task}; {noise}."))
    return found


def _count(count: int, one: str, many: str) -> str:
    return f"{count:,} {one if count == 1 else many}"


def _named(audit: Audit) -> list[Finding]:
    found = []
    for one in audit.names:
        much = one.right.value >= MUCH_NAMED and one.right.value > one.majority.value
        level = BAD if much else LOOK if one.right.value >= NAMED else GOOD
        text = f"The longest class name in the text is the right {one.task} for {one.right.percent} of {one.split}"
        rule = f"; it is there for {one.fires.percent}, and right for {one.precise.percent} of those"
        found.append(Finding(level, f"{text}{rule if one.fires.count else ''}."))
    return found


def _spoken(audit: Audit) -> list[Finding]:
    if not audit.foreign:
        return []
    much = {name: one for name, one in audit.foreign.items() if one.foreign.count and one.foreign.value >= MUCH_FOREIGN}
    if not much:
        return [Finding(GOOD, f"In no language are {100 * MUCH_FOREIGN:.0f} % of the texts in another one.")]
    worst = sorted(much, key=lambda name: -much[name].foreign.value)
    shown = [f"{name} {much[name].foreign} ({', '.join(list(much[name].others)[:3])})" for name in worst[:3]]
    which = f"in {len(much)} languages, most in " if len(much) > len(shown) else ""
    text = f"{100 * MUCH_FOREIGN:.0f} % and more of the texts that can be judged are in another language"
    return [Finding(LOOK, f"{text}: {which}{'; '.join(shown)}.")]


def _mixed(audit: Audit) -> list[Finding]:
    found = []
    scored = list(audit.splits)[-1]
    for one in audit.mixes:
        if one.shift and one.shift.value >= SHIFTED and one.shift.value > 2 * one.shift.chance:
            text = f"The mix of {one.task} in {scored} is {one.shift.value:.2f} away from train's (total variation)"
            found.append(Finding(LOOK, f"{text}; chance would make it {one.shift.chance:.2f}."))
        lacking = one.missing.get(scored, [])
        untaught = [name for name in one.missing.get("train", []) if name not in lacking]
        if untaught and scored != "train":
            few = ", ".join(untaught[:3]) + ", …" * (len(untaught) > 3)
            which = _count(len(untaught), f"class of {one.task} is", f"classes of {one.task} are")
            found.append(Finding(LOOK, f"{which} in {scored} but not in train: {few}."))
        if lacking:
            which = _count(len(lacking), f"class of {one.task} has", f"classes of {one.task} have")
            found.append(Finding(LOOK, f"{which} no example in {scored}, of {one.classes}."))
    return found


def _missing(audit: Audit) -> list[Finding]:
    found = []
    if audit.gaps.rejected:
        reason, count, _ = audit.gaps.reasons[0] if audit.gaps.reasons else ("", 0, "")
        most = f"; {count:,} of them: {reason}" if reason else ""
        rows = _count(audit.gaps.rejected, "row was", "rows were")
        found.append(Finding(LOOK, f"{rows} rejected when it was prepared{most}."))
    for task, names in audit.gaps.unknown.items():
        rows = _count(sum(names.values()), "example has", "examples have")
        found.append(Finding(LOOK, f"{rows} a {task} that is no class of it."))
    for splits, clusters in audit.gaps.spanning.items():
        where = " and ".join(splits.split("+"))
        which = _count(clusters, "cluster (rows that belong together) has", "clusters (rows that belong together) have")
        found.append(Finding(BAD, f"{which} examples in {where}."))
    return found

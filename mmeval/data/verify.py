"""Whether a prepared data set is whole, and as its card says."""

from __future__ import annotations

import json
from collections.abc import Iterator
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

from mmeval.console import progress
from mmeval.data.card import read_card
from mmeval.data.differences import checked, differences
from mmeval.data.store import EXAMPLES, IMAGES, PICTURES
from mmeval.files import file_digest

if TYPE_CHECKING:
    from mmeval.data.asked import Opened
    from mmeval.data.store import Store


MEGABYTE = 1_000_000


class Verdict(StrEnum):
    """How a check went."""

    GOOD = "good"
    WARNING = "warning"
    BAD = "bad"


class Finding(NamedTuple):
    """One thing that was checked."""

    verdict: Verdict
    text: str


def verify(data: Opened) -> list[Finding]:
    """Hold every file against its digest, and the data against its card, which damaged data is not held against.

    A difference from what the card counts as unverified, or of data that was taken as not the release, is a warning.
    """
    whole = _whole(data.store)
    if whole.verdict is Verdict.BAD:
        return [whole]
    return [whole, *_as_the_card_says(data), *_account(data.store)]


def _whole(store: Store) -> Finding:
    again = f"remove {store.folder} and {store.pictures} and prepare it again"
    try:
        of_pictures = json.loads((store.pictures / PICTURES).read_text(encoding="utf-8"))["shards"]
    except (OSError, ValueError, KeyError):
        return Finding(Verdict.BAD, f"damaged: {store.pictures / PICTURES}; {again}")
    expected = {store.folder / name: known for name, known in store.info["shards"].items()}
    expected |= {store.pictures / name: known for name, known in of_pictures.items()}
    there = {*store.shards(EXAMPLES), *store.shards(IMAGES)}
    damaged = sorted(str(path) for path in set(expected) ^ there)
    size = sum(path.stat().st_size for path in there)
    with progress("Reading the Store", size / MEGABYTE, "MB") as advance:
        for path in sorted(there & set(expected)):
            if file_digest(path, advance=lambda count: advance(count / MEGABYTE)) != expected[path]:
                damaged.append(str(path))
    if damaged:
        return Finding(Verdict.BAD, f"damaged: {', '.join(damaged)}; {again}")
    return Finding(Verdict.GOOD, f"whole: {len(there)} files are as they were written")


def _as_the_card_says(data: Opened) -> Iterator[Finding]:
    spec, store = data.spec, data.store
    if spec.card is None:
        yield Finding(Verdict.WARNING, "it has no data card to be held against; `mmeval data card` writes one")
        return
    card = read_card(spec.card, spec.variant)
    found = differences(card, store)
    for one in found:
        bad = one.verified and store.released
        why = "" if bad else " (unverified there)" if not one.verified else " (taken as not the release)"
        yield Finding(Verdict.BAD if bad else Verdict.WARNING, f"{one.text}{why}")
    held, unheld = checked(card)
    if held and not any(one.verified for one in found):
        yield Finding(Verdict.GOOD, f"as its card says ({spec.card.name}): {', '.join(held)}")
    if unheld:
        text = f"unverified in its card ({spec.card.name}), so not vouched for: {', '.join(unheld)}"
        yield Finding(Verdict.WARNING, text)


def _account(store: Store) -> Iterator[Finding]:
    yield Finding(Verdict.GOOD, f"fingerprint {store.fingerprint}")
    if store.rejected_count:
        yield Finding(
            Verdict.WARNING, f"{store.rejected_count:,} rows were set aside: {store.folder / 'rejected.parquet'}"
        )
    for splits, clusters in store.info["spanning"].items():
        where = " and ".join(splits.split("+"))
        yield Finding(Verdict.WARNING, f"{clusters:,} clusters (rows that belong together) have examples in {where}")

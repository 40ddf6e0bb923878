"""Whether a prepared data set is whole, and as its card says."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

from mmeval.console import progress
from mmeval.data.card import read_card
from mmeval.data.differences import checked, differences
from mmeval.data.fingerprint import Recomputed, recompute
from mmeval.data.prepare.examples import LONGEST_TEXT
from mmeval.data.store_digests import MEGABYTE
from mmeval.data.store_files import EXAMPLES, IMAGES, IMAGES_INFO, INFO, REJECTED, ImageFacts, read_facts
from mmeval.errors import DataError
from mmeval.files import file_digest

if TYPE_CHECKING:
    from mmeval.data.request import Dataset
    from mmeval.data.store import Store


class Verdict(StrEnum):
    """How a check went."""

    GOOD = "good"
    WARNING = "warning"
    BAD = "bad"


class Finding(NamedTuple):
    """One thing that was checked."""

    verdict: Verdict
    text: str


def verify(data: Dataset) -> list[Finding]:
    """Hold every file against its digest, ``store.json`` against the rows and images, and the data against its card.

    Damaged data is not held against the card. A difference from what the card counts as unverified, or of data that
    was taken as not the release, is a warning.
    """
    found = [_whole(data.store)]
    if found[-1].verdict is Verdict.GOOD:
        found.append(_true(data.store))
    if found[-1].verdict is Verdict.BAD:
        return found[-1:]
    return [*found, *_as_the_card_says(data), *_account(data.store)]


def _whole(store: Store) -> Finding:
    mend = f"remove {store.folder} and {store.images_folder} and prepare it again"
    try:
        of_images = read_facts(store.images_folder / IMAGES_INFO, ImageFacts, mend)["shards"]
    except (DataError, FileNotFoundError):
        return Finding(Verdict.BAD, f"damaged: {store.images_folder / IMAGES_INFO}; {mend}")
    expected = {store.folder / name: known for name, known in store.info["files"].items()}
    expected |= {store.images_folder / name: known for name, known in of_images.items()}
    there = {*store.shards(EXAMPLES), *store.shards(IMAGES), *store.folder.glob(REJECTED)}
    damaged = sorted(str(path) for path in set(expected) ^ there)
    size = sum(path.stat().st_size for path in there)
    with progress("Reading the Store", size / MEGABYTE, "MB") as advance:
        for path in sorted(there & set(expected)):
            if file_digest(path, advance=lambda count: advance(count / MEGABYTE)) != expected[path]:
                damaged.append(str(path))
    if damaged:
        return Finding(Verdict.BAD, f"damaged: {', '.join(damaged)}; {mend}")
    return Finding(Verdict.GOOD, f"whole: {len(there)} files are as they were written")


def _true(store: Store) -> Finding:
    """Whether ``store.json`` says of the data what the data says."""
    with progress("Computing the fingerprint", sum(store.split_sizes.values()), "examples") as advance:
        found = recompute(store, advance)
    said = Recomputed(store.fingerprint, store.split_sizes, list(store.languages), store.image_count)
    wrong = [
        f"{field} {getattr(said, field)}, which is {getattr(found, field)}"
        for field in Recomputed._fields
        if getattr(said, field) != getattr(found, field)
    ]
    if wrong:
        says = f"{store.folder / INFO} says {'; '.join(wrong)}"
        return Finding(Verdict.BAD, f"false: {says}; remove {store.folder} and prepare it again")
    return Finding(Verdict.GOOD, f"fingerprint {found.fingerprint}, computed again from rows and images")


def _as_the_card_says(data: Dataset) -> Iterator[Finding]:
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
    if store.rejected_count:
        yield Finding(
            Verdict.WARNING, f"{store.rejected_count:,} rows were rejected: {store.folder / 'rejected.parquet'}"
        )
    if store.cut_count:
        yield Finding(Verdict.WARNING, f"{store.cut_count:,} texts were cut after {LONGEST_TEXT:,} characters")
    for splits, clusters in store.info["spanning"].items():
        where = " and ".join(splits.split("+"))
        yield Finding(Verdict.WARNING, f"{clusters:,} clusters (rows that belong together) have examples in {where}")

"""Verification of a prepared data set: intact files, a correct ``store.json``, and agreement with the data card."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

from mmeval.console import progress
from mmeval.data.card import read_card
from mmeval.data.checksums import MEGABYTE
from mmeval.data.differences import differences, stated_facts
from mmeval.data.fingerprint import Recomputed, recompute
from mmeval.data.prepare.examples import LONGEST_TEXT
from mmeval.data.store_files import EXAMPLES, IMAGES, IMAGES_INFO, INFO, REJECTED, ImageFacts, read_facts
from mmeval.errors import DataError
from mmeval.files import file_digest

if TYPE_CHECKING:
    from mmeval.data.request import Dataset
    from mmeval.data.store import Store


class Status(StrEnum):
    """The outcome of a verification step."""

    GOOD = "good"
    WARNING = "warning"
    BAD = "bad"


class Verification(NamedTuple):
    """The result of one verification step."""

    status: Status
    text: str


def verify(data: Dataset) -> list[Verification]:
    """Compare every file with its digest, ``store.json`` with the rows and images, and the data with its card.

    Damaged data is not compared with the card. A difference is only a warning if the card's fact is unverified or the
    data was accepted with ``--allow-mismatch``.
    """
    results = [_check_files(data.store)]
    if results[-1].status is Status.GOOD:
        results.append(_check_facts(data.store))
    if results[-1].status is Status.BAD:
        return results[-1:]
    return [*results, *_compare_with_card(data), *_warnings(data.store)]


def _check_files(store: Store) -> Verification:
    """Compare every file of the Store with its digest."""
    remedy = f"remove {store.folder} and {store.images_folder} and prepare the data again"
    try:
        image_digests = read_facts(store.images_folder / IMAGES_INFO, ImageFacts, remedy)["shards"]
    except (DataError, FileNotFoundError):
        return Verification(Status.BAD, f"damaged: {store.images_folder / IMAGES_INFO}; {remedy}")
    expected = {store.folder / name: digest for name, digest in store.info["files"].items()}
    expected |= {store.images_folder / name: digest for name, digest in image_digests.items()}
    existing = {*store.shards(EXAMPLES), *store.shards(IMAGES), *store.folder.glob(REJECTED)}
    damaged = sorted(str(path) for path in set(expected) ^ existing)
    size = sum(path.stat().st_size for path in existing)
    with progress("Reading the Store", size / MEGABYTE, "MB") as advance:
        for path in sorted(existing & set(expected)):
            if file_digest(path, advance=lambda count: advance(count / MEGABYTE)) != expected[path]:
                damaged.append(str(path))
    if damaged:
        return Verification(Status.BAD, f"damaged: {', '.join(damaged)}; {remedy}")
    return Verification(Status.GOOD, f"intact: the content of {len(existing)} files is unchanged")


def _check_facts(store: Store) -> Verification:
    """Compare the facts in ``store.json`` with the data."""
    with progress("Computing the fingerprint", sum(store.split_sizes.values()), "examples") as advance:
        actual = recompute(store, advance)
    stated = Recomputed(store.fingerprint, store.split_sizes, list(store.languages), store.image_count)
    wrong = [
        f"{field} {getattr(stated, field)} instead of {getattr(actual, field)}"
        for field in Recomputed._fields
        if getattr(stated, field) != getattr(actual, field)
    ]
    if wrong:
        statement = f"{store.folder / INFO} states {'; '.join(wrong)}"
        return Verification(Status.BAD, f"wrong: {statement}; remove {store.folder} and prepare the data again")
    return Verification(Status.GOOD, f"fingerprint {actual.fingerprint}, recomputed from rows and images")


def _compare_with_card(data: Dataset) -> Iterator[Verification]:
    spec, store = data.spec, data.store
    if spec.card is None:
        yield Verification(Status.WARNING, "there is no data card to compare with; `mmeval data card` writes one")
        return
    card = read_card(spec.card, spec.variant)
    mismatches = differences(card, store)
    for difference in mismatches:
        bad = difference.verified and store.released
        reason = (
            "" if bad else " (accepted with --allow-mismatch)" if difference.verified else " (unverified in the card)"
        )
        yield Verification(Status.BAD if bad else Status.WARNING, f"{difference.text}{reason}")
    verified, unverified = stated_facts(card)
    if verified and not any(difference.verified for difference in mismatches):
        yield Verification(Status.GOOD, f"agrees with its card ({spec.card.name}): {', '.join(verified)}")
    if unverified:
        text = f"unverified in its card ({spec.card.name}), so not confirmed: {', '.join(unverified)}"
        yield Verification(Status.WARNING, text)


def _warnings(store: Store) -> Iterator[Verification]:
    """Yield warnings about rejected rows, cut texts and clusters in several splits."""
    if store.rejected_count:
        yield Verification(
            Status.WARNING, f"{store.rejected_count:,} rows were rejected: {store.folder / 'rejected.parquet'}"
        )
    if store.cut_count:
        yield Verification(Status.WARNING, f"{store.cut_count:,} texts were cut to {LONGEST_TEXT:,} characters")
    for splits, clusters in store.info["spanning"].items():
        where = " and ".join(splits.split("+"))
        yield Verification(
            Status.WARNING, f"{clusters:,} clusters (rows that belong together) have examples in {where}"
        )

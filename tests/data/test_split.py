"""Splits: complete clusters, the right shares, and the same result on every machine."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmeval.data.split import Member, hash_split

SHARES = {"train": 0.6, "validation": 0.1, "test": 0.3}


@st.composite
def members(draw: st.DrawFn, singletons: bool = False) -> list[Member]:
    ids = draw(st.lists(st.text(max_size=4), unique=True, max_size=60))
    clusters = ids if singletons else [draw(st.sampled_from("abcdefghijkl")) for _ in ids]
    return [Member(id_, cluster, draw(st.sampled_from(["x", "y"]))) for id_, cluster in zip(ids, clusters, strict=True)]


@given(members(), st.text(max_size=3))
def test_a_cluster_is_in_one_split(some: list[Member], salt: str) -> None:
    splits = hash_split(some, SHARES, salt)
    assert set(splits) == {member.id for member in some}
    assert set(splits.values()) <= set(SHARES)
    for cluster in {member.cluster for member in some}:
        assert len({splits[member.id] for member in some if member.cluster == cluster}) == 1


@given(members(), st.randoms(use_true_random=False))
def test_order_and_cluster_names_do_not_matter(some: list[Member], random: Random) -> None:
    """They may depend on the version of a package or on the file system."""
    shuffled = [member._replace(cluster=f"renamed {member.cluster}") for member in some]
    random.shuffle(shuffled)
    assert hash_split(shuffled, SHARES, "salt") == hash_split(some, SHARES, "salt")


@given(members(singletons=True), st.text(max_size=3))
def test_each_stratum_has_its_shares(some: list[Member], salt: str) -> None:
    """Without clusters, the size of every split differs by at most one from its share."""
    splits = hash_split(some, SHARES, salt)
    for stratum in ("x", "y"):
        inside = [member for member in some if member.stratum == stratum]
        counts = Counter(splits[member.id] for member in inside)
        for split, share in SHARES.items():
            assert abs(counts[split] - share * len(inside)) <= 1 + 1e-9


def test_splits_never_change() -> None:
    """A change would change every published number."""
    some = [Member(id_, {"b": "a", "h": "g"}.get(id_, id_), "x" if id_ < "f" else "y") for id_ in "abcdefghij"]
    halves = {"train": 0.5, "test": 0.5}
    splits = hash_split(some, halves, "salt")
    assert sorted(id_ for id_, split in splits.items() if split == "test") == ["a", "b", "c", "f", "i", "j"]
    assert hash_split(some, halves, "another salt") != splits


def test_a_cluster_across_strata_belongs_to_the_most_frequent_one() -> None:
    some = [Member("1", "c", "x"), Member("2", "c", "x"), Member("3", "c", "y"), Member("4", "d", "y")]
    # "d" is then alone in its stratum, so that its middle decides: half of the way, which is the second share.
    assert hash_split(some, {"first": 0.4, "second": 0.6}, "") == dict.fromkeys("1234", "second")
    assert set(hash_split(some, {"first": 0.6, "second": 0.4}, "").values()) == {"first"}


def test_a_split_without_share_stays_empty() -> None:
    some = [Member(str(number), str(number), "") for number in range(20)]
    assert set(hash_split(some, {"train": 0.0, "test": 1.0}, "").values()) == {"test"}


@pytest.mark.parametrize("shares", [{"train": 0.6, "test": 0.3}, {"train": 0.8, "test": 0.3}, {}])
def test_shares_that_do_not_sum_to_one_are_refused(shares: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="shares must sum to 1, got "):
        hash_split([Member("a", "a", "")], shares, "")

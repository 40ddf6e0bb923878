"""Reproducible splits: by hash, by cluster, stratified."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from mmeval.files import digest

DEFAULT_SHARES = {"train": 0.8, "validation": 0.1, "test": 0.1}
"""Share of each split, for data that comes without splits."""
_HEX = 13
"""Digits of a digest that are read as a number: as many as a float holds."""


class Member(NamedTuple):
    """An example, or a group of examples such as those of one product, with the facts that its split depends on."""

    id: str
    cluster: str
    """All members of a cluster are in the same split."""
    stratum: str
    """The shares hold within each stratum as closely as whole clusters allow."""


def hash_split(members: Sequence[Member], shares: Mapping[str, float], salt: str) -> dict[str, str]:
    """Assign each member to a split.

    The clusters of a stratum are sorted by a salted SHA-256 and cut at the shares, so that the split depends only on
    the ids: not on the order of the members, the machine or a random generator. A cluster that spans strata belongs to
    the stratum of most of its members (ties: the first by name).

    Args:
        members: ids must be unique.
        shares: split name -> share, in the order of the cuts; must sum to 1.
        salt: changes the split; part of the data set's definition.

    Returns:
        Split name by member id.

    Raises:
        ValueError: the shares don't sum to 1.
    """
    if abs(sum(shares.values()) - 1) > 1e-9:
        raise ValueError(f"shares must sum to 1, got {dict(shares)}")
    clusters: dict[str, list[Member]] = defaultdict(list)
    for member in members:
        clusters[member.cluster].append(member)
    strata: dict[str, list[list[Member]]] = defaultdict(list)
    for cluster in clusters.values():
        counts = Counter(member.stratum for member in cluster)
        strata[min(counts, key=lambda name: (-counts[name], name))].append(cluster)
    assigned: dict[str, str] = {}
    for groups in strata.values():
        # The smallest id represents a cluster, so that the order does not depend on the names of clusters.
        groups.sort(key=lambda group: digest(salt, min(member.id for member in group)))
        total, done = sum(map(len, groups)), 0
        for group in groups:
            split = _at((done + len(group) / 2) / total, shares)
            done += len(group)
            assigned.update((member.id, split) for member in group)
    return assigned


def assign_split(group: str, shares: Mapping[str, float], salt: str) -> str:
    """Return the split of one group of examples, by a salted SHA-256 of the group's name alone.

    A group keeps its split when other groups are added or removed, and examples can be assigned one at a time. The
    shares hold only approximately; :func:`hash_split` keeps them exactly, but must know all members.

    Args:
        group: name of the group whose examples must be in the same split: a product, an image.
        shares: split name -> share; must sum to 1.
        salt: changes the split; part of the data set's definition.
    """
    return _at(int(digest(salt, group)[:_HEX], 16) / 16**_HEX, shares)


def _at(position: float, shares: Mapping[str, float]) -> str:
    edge = 0.0
    for name, share in shares.items():
        edge += share
        if position < edge:
            return name
    return list(shares)[-1]

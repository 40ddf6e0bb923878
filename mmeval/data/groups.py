"""Groups of rows that must be in the same split, because they share an id, an image or a product."""

from __future__ import annotations

from array import array
from collections.abc import Hashable


class UnionFind:
    """Union-find over rows: two rows that share a key are in the same group.

    Keys are any hashable values; ``("image", "a.jpg")`` keeps an image from being taken for a product of that name.
    """

    def __init__(self) -> None:
        self._parent = array("q")
        self._row_of: dict[Hashable, int] = {}

    def add(self, *keys: Hashable) -> int:
        """Add a row with its keys and return the row's number: 0 for the first row added, then 1, 2, ..."""
        row = len(self._parent)
        self._parent.append(row)
        for key in keys:
            self.join(row, key)
        return row

    def join(self, row: int, key: Hashable) -> None:
        """Add ``key`` to the keys of ``row``, and merge the groups of all rows that have it."""
        other = self._row_of.setdefault(key, row)
        if other == row:
            return
        # The smaller number is the root, so that a group is named after its first row.
        low, high = sorted((self.root(row), self.root(other)))
        self._parent[high] = low

    def root(self, row: int) -> int:
        """Return the number of the first row in the group of ``row``."""
        while self._parent[row] != row:
            self._parent[row] = self._parent[self._parent[row]]
            row = self._parent[row]
        return row

"""Rows that must stand in one split, because they share an id, an image or a group."""

from __future__ import annotations

from array import array
from collections.abc import Hashable


class Groups:
    """Union-find over rows, which join by whatever keys they share."""

    def __init__(self) -> None:
        self._parent = array("q")
        self._row_of: dict[Hashable, int] = {}

    def add(self, *keys: Hashable) -> int:
        """Add the next row with its keys; returns its number."""
        row = len(self._parent)
        self._parent.append(row)
        for key in keys:
            self.join(row, key)
        return row

    def join(self, row: int, key: Hashable) -> None:
        """Say that ``row`` has ``key`` too."""
        other = self._row_of.setdefault(key, row)
        if other == row:
            return
        # The smaller number is the root, so that a group is called after its first row.
        low, high = sorted((self.root(row), self.root(other)))
        self._parent[high] = low

    def root(self, row: int) -> int:
        """The first row of a row's group."""
        while self._parent[row] != row:
            self._parent[row] = self._parent[self._parent[row]]
            row = self._parent[row]
        return row

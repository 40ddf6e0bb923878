"""The categories of GLAMI-1M, which only its tables list."""

from __future__ import annotations

from collections.abc import Mapping


class Categories:
    """One-to-one mapping between the names and ids of the categories.

    If rows disagree, the most frequent pair of id and name counts, whatever the order of the rows.
    """

    def __init__(self, pairs: Mapping[tuple[int, str], int]) -> None:
        """``pairs``: number of rows by category id and name."""
        self._names: dict[int, str] = {}
        self._ids: dict[str, int] = {}
        for category, name in sorted(pairs, key=lambda pair: (-pairs[pair], pair)):
            if category not in self._names and name not in self._ids:
                self._names[category], self._ids[name] = name, category

    @property
    def names(self) -> tuple[str, ...]:
        """Names in the order of their ids; the ids are not consecutive."""
        return tuple(self._names[category] for category in sorted(self._names))

    def complaint(self, category: int, name: str) -> str:
        """Return why a pair of id and name contradicts the mapping; empty if it agrees."""
        if (other := self._names.get(category)) is not None and other != name:
            return f'category {category} is "{name}", in most rows "{other}"'
        if (number := self._ids.get(name)) is not None and number != category:
            return f'"{name}" is category {category}, in most rows {number}'
        return ""

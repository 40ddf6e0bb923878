"""The classes of GLAMI-1M, which stand only in its tables."""

from __future__ import annotations

from collections.abc import Mapping


class Categories:
    """Names and ids of the categories, one of each for the other.

    Where rows disagree, the pair that most of them have counts, whatever their order; the others say why they don't.
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
        """Names in the order of their ids, which are sparse."""
        return tuple(self._names[category] for category in sorted(self._names))

    def complaint(self, category: int, name: str) -> str:
        """Why a row's category can't be told; empty if it can."""
        if (other := self._names.get(category)) is not None and other != name:
            return f'category {category} is "{name}", in most rows "{other}"'
        if (number := self._ids.get(name)) is not None and number != category:
            return f'"{name}" is category {category}, in most rows {number}'
        return ""

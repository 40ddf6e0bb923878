"""Statistics of a data set, compared with counts by hand."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from mmeval import DatasetSpec, Example, Task
from mmeval.data.prepare.prepare import prepare
from mmeval.data.stats import LanguageStats, TaskStats, stats
from mmeval.data.store import Store

ROWS = (
    # id, language, split, text, labels, image, slice
    ("1", "de", "train", "rot", {"t": "a", "u": "x"}, "p", "new"),
    ("2", "de", "train", "grün", {"t": "a"}, None, "new"),
    ("3", "de", "test", "", {"t": "b"}, "p", "old"),
    ("4", "cs", "train", "šaty", {"t": "b"}, "q", "new"),
    ("5", "cs", "dev", "", {"t": "b"}, None, ""),
    ("6", "cs", "validation", "a " * 50, {}, "q", "old"),
    ("7", "et", "test", "", {"t": "c"}, "q", "old"),
)


class Given:
    """Seven rows."""

    identity = {"rows": "7"}  # noqa: RUF012
    tasks = (Task("t", ("a", "b", "c", "d")), Task("u", ("x",)), Task("none", ()))
    size = 2

    def images(self) -> Iterator[Any]:
        import numpy as np

        yield from ((key, np.full((4, 4, 3), number, np.uint8)) for number, key in enumerate("pq"))

    def examples(self) -> Iterator[Example]:
        for key, language, split, text, labels, image, value in ROWS:
            yield Example(key, text, language, split, labels, image, slices={"age": value})


@pytest.fixture
def seven(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.setenv("MMEVAL_HOME", str(tmp_path / "home"))
    return prepare(DatasetSpec(name="seven", summary="-", card=None, source=Given))


def test_statistics_equal_counts_by_hand(seven: Store) -> None:
    statistics = stats(seven)
    assert (statistics.name, statistics.examples, statistics.images, statistics.rejected) == ("seven", 7, 2, 0)
    assert statistics.splits == ("train", "validation", "test", "dev"), "the usual order, then other splits"
    none = dict.fromkeys(statistics.splits, 0)
    assert statistics.languages == (
        LanguageStats("cs", none | {"train": 1, "validation": 1, "dev": 1}, 1, 1, 52.0, {"t": 1, "u": 0, "none": 0}),
        LanguageStats("de", none | {"train": 2, "test": 1}, 1, 1, 3.5, {"t": 2, "u": 1, "none": 0}),
        LanguageStats("et", none | {"test": 1}, 0, 1, 0.0, {"t": 1, "u": 0, "none": 0}),
    )
    assert statistics.tasks == (
        TaskStats("t", 4, 1, ("b", 3), ("d", 0), 2),
        TaskStats("u", 1, 6, ("x", 1), ("x", 1), 0),
        TaskStats("none", 0, 7, ("", 0), ("", 0), 0),
    )
    assert statistics.slices == {"age": {"new": 3, "old": 3, "": 1}}


def test_sums_equal_those_of_the_store(store: Store) -> None:
    statistics = stats(store)
    assert {
        split: sum(counts.splits[split] for counts in statistics.languages) for split in statistics.splits
    } == store.split_sizes
    assert sum(statistics.slices["number"].values()) == statistics.examples == 132
    assert asdict(statistics)["tasks"][0]["commonest"] == ("red", 45)


def test_images_are_not_read(seven: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """GLAMI-1M has 14 GB of images."""
    monkeypatch.setattr(Store, "images", property(lambda self: pytest.fail("the images were opened")))
    assert stats(Store(seven.folder)).images == 2

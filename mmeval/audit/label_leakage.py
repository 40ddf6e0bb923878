"""How far one gets without training: the longest class name that stands in the text."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

import numpy as np

from mmeval.audit.columns import Rows
from mmeval.audit.content import Names, NameScore, Share
from mmeval.audit.neighbours import Ints
from mmeval.audit.normalize import fold
from mmeval.console import progress

UNSPACED = ("CJK", "HIRAGANA", "KATAKANA", "THAI", "LAO", "KHMER", "MYANMAR")
"""Scripts without spaces between words, by the beginning of their characters' names."""


class NameFinder:
    """Finds the longest of some class names that stands in a folded text, as whole words."""

    def __init__(self, classes: Sequence[str]) -> None:
        """``classes`` as the task has them; ``_`` and ``-`` are spaces, case doesn't count."""
        self.first: dict[str, list[tuple[int, tuple[str, ...], int]]] = {}
        self.unspaced: list[tuple[int, str, int]] = []
        for index, name in enumerate(classes):
            folded = fold(name.replace("_", " "))
            words = tuple(folded.split())
            if any(unicodedata.name(letter, "").startswith(UNSPACED) for letter in folded):
                self.unspaced.append((len(folded), folded, index))
            elif words:
                self.first.setdefault(words[0], []).append((len(folded), words, index))
        for names in self.first.values():
            names.sort(key=lambda one: -one[0])

    def find(self, text: str) -> int:
        """Index of the class, -1 if none is named; of two of one length, the first in the text."""
        longest, found = 0, -1
        words = text.split()
        for place, word in enumerate(words):
            if (names := self.first.get(word)) is not None:
                for length, name, index in names:
                    if length <= longest:
                        break
                    if len(name) == 1 or tuple(words[place : place + len(name)]) == name:
                        longest, found = length, index
                        break
        for length, folded, index in self.unspaced:
            if length > longest and folded in text:
                longest, found = length, index
        return found


def name_baselines(rows: Rows) -> list[Names]:
    """The rule on the scored split, for each task."""
    tasks = [task for task in rows.store.tasks if task.classes]
    finders = [NameFinder(task.classes) for task in tasks]
    here = rows.split == rows.scored
    answers = np.full((len(tasks), len(rows)), -1, np.int64)
    with progress("Looking for class names", int(here.sum()), "texts") as advance:
        for start, texts in rows.texts():
            wanted = np.flatnonzero(here[start : start + len(texts)])
            for row in wanted:
                folded = fold(texts[row])
                for number, finder in enumerate(finders):
                    answers[number, start + row] = finder.find(folded)
            advance(len(wanted))
    scored = [
        _score(rows, task.name, answers[number][here], rows.labels[task.name][here], rows.language[here])
        for number, task in enumerate(tasks)
    ]
    return [one for one in scored if one is not None]


def _score(rows: Rows, task: str, answers: Ints, truth: Ints, language: Ints) -> Names | None:
    known = truth >= 0
    if not known.any():
        return None
    answers, truth, language = answers[known], truth[known], language[known]
    by_language = {
        name: NameScore(**_shares(answers[mine], truth[mine]))
        for code, name in enumerate(rows.languages)
        if (mine := language == code).any()
    }
    majority = Share(count=int(np.bincount(truth).max()), n=len(truth))
    whole = {"task": task, "split": rows.splits[rows.scored], "majority": majority, "languages": by_language}
    return Names(**whole, **_shares(answers, truth))


def _shares(answers: Ints, truth: Ints) -> dict[str, Share]:
    fires, right = int((answers >= 0).sum()), int((answers == truth).sum())
    return {
        "fires": Share(count=fires, n=len(truth)),
        "precise": Share(count=right, n=fires),
        "right": Share(count=right, n=len(truth)),
    }

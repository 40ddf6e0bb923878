"""Label leakage: how well the longest class name in the text predicts the label, without any training."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

import numpy as np

from mmeval.audit.columns import Rows
from mmeval.audit.content import LabelLeakage, NameRuleScore, Share
from mmeval.audit.neighbours import Ints
from mmeval.audit.normalize import normalize
from mmeval.console import progress

UNSPACED = ("CJK", "HIRAGANA", "KATAKANA", "THAI", "LAO", "KHMER", "MYANMAR")
"""Scripts without spaces between words, by the first word of their characters' Unicode names."""


class NameFinder:
    """Finds the longest class name that a normalized text contains as whole words."""

    def __init__(self, classes: Sequence[str]) -> None:
        """``classes``: the class names of a task; ``_`` and ``-`` match spaces, and case is ignored."""
        self._by_first_word: dict[str, list[tuple[int, tuple[str, ...], int]]] = {}
        """Length, words and class index of each name, the longest first."""
        self._unspaced: list[tuple[int, str, int]] = []
        """Length, name and class index of names in scripts without spaces."""
        for index, name in enumerate(classes):
            normalized = normalize(name.replace("_", " "))
            words = tuple(normalized.split())
            if any(unicodedata.name(letter, "").startswith(UNSPACED) for letter in normalized):
                self._unspaced.append((len(normalized), normalized, index))
            elif words:
                self._by_first_word.setdefault(words[0], []).append((len(normalized), words, index))
        for names in self._by_first_word.values():
            names.sort(key=lambda name: -name[0])

    def find(self, text: str) -> int:
        """Return the index of the class, -1 without a name; of names of the same length, the first in the text."""
        longest, best = 0, -1
        words = text.split()
        for place, word in enumerate(words):
            if (names := self._by_first_word.get(word)) is not None:
                for length, name, index in names:
                    if length <= longest:
                        break
                    if len(name) == 1 or tuple(words[place : place + len(name)]) == name:
                        longest, best = length, index
                        break
        for length, unspaced, index in self._unspaced:
            if length > longest and unspaced in text:
                longest, best = length, index
        return best


def label_leakage(rows: Rows) -> list[LabelLeakage]:
    """Score the rule "predict the longest class name in the text" on the scored split, for each task with labels.

    A multi-label task is left out: it has no single right name.
    """
    tasks = [task for task in rows.single_label_tasks if task.classes]
    finders = [NameFinder(task.classes) for task in tasks]
    here = rows.split == rows.scored
    answers = np.full((len(tasks), len(rows)), -1, np.int64)
    with progress("Searching class names", int(here.sum()), "texts") as advance:
        for start, texts in rows.texts():
            wanted = np.flatnonzero(here[start : start + len(texts)])
            for row in wanted:
                text = normalize(texts[row])
                for number, finder in enumerate(finders):
                    answers[number, start + row] = finder.find(text)
            advance(len(wanted))
    scores = [
        _score(rows, task.name, answers[number][here], rows.labels[task.name][here], rows.language[here])
        for number, task in enumerate(tasks)
    ]
    return [score for score in scores if score is not None]


def _score(rows: Rows, task: str, answers: Ints, truth: Ints, language: Ints) -> LabelLeakage | None:
    """Score the rule on one task; None without labels. ``answers`` and ``truth`` are class indices, -1 for none."""
    known = truth >= 0
    if not known.any():
        return None
    answers, truth, language = answers[known], truth[known], language[known]
    by_language = {
        name: NameRuleScore(**_shares(answers[chosen], truth[chosen]))
        for code, name in enumerate(rows.languages)
        if (chosen := language == code).any()
    }
    majority = Share(count=int(np.bincount(truth).max()), n=len(truth))
    whole = {"task": task, "split": rows.splits[rows.scored], "majority": majority, "languages": by_language}
    return LabelLeakage(**whole, **_shares(answers, truth))


def _shares(answers: Ints, truth: Ints) -> dict[str, Share]:
    covered, correct = int((answers >= 0).sum()), int((answers == truth).sum())
    return {
        "coverage": Share(count=covered, n=len(truth)),
        "precision": Share(count=correct, n=covered),
        "accuracy": Share(count=correct, n=len(truth)),
    }

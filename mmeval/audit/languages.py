"""Texts that are not in the language that they are said to be in.

Measured on the names and keywords of emoji in Unicode's CLDR, in 26 languages: at these thresholds fewer than 1 text
in 1,000 is said to be in another language and isn't; 2 in 1,000 of Turkish and 5 of Japanese (Han characters alone
look Chinese). Of the texts that could be told it tells 45 to 60 % of those with 16 to 19 letters, 54 to 70 % up to
40, and 68 to 83 % of longer ones; of Croatian, Slovene and Bulgarian, which have close relatives, 15 to 26 %. So what
is reported is a lower bound, and best compared between languages that are as easily told.
"""

from __future__ import annotations

import functools
from collections import Counter
from typing import Protocol

import numpy as np

from mmeval.audit.columns import Rows
from mmeval.audit.content import Foreign, Share
from mmeval.console import progress

LEAST_LETTERS = 16
LEAST_CONFIDENCE = 0.95
LONGEST = 256
"""Characters of a text that are looked at."""
WIDELY = ("ar", "de", "en", "es", "fr", "it", "ja", "ko", "nl", "pl", "pt", "ru", "zh")
"""Languages that turn up where they don't belong: candidates beside the data set's own. Any more of the 140 that are
known would only be mistaken for a neighbour."""
FEW = 3
UNDETERMINED = "und"


class Identifier(Protocol):
    """The part of py3langid that is used."""

    labels: list[str]

    def set_languages(self, languages: list[str] | None) -> None:
        """Choose the candidates; None: all that the model knows."""

    def classify(self, text: str) -> tuple[str, float]:
        """The likeliest candidate, and its probability."""


def foreign_texts(rows: Rows) -> tuple[dict[str, Foreign] | None, str]:
    """By language, its texts in another one; None and why where nothing can be said."""
    identifier = _identifier()
    # It is loaded once for the process, and the data set before may have chosen other candidates.
    identifier.set_languages(None)
    known = set(identifier.labels)
    own = [name for name in rows.languages if name in known]
    if not own:
        shown = ", ".join(rows.languages)
        why = "the data set doesn't say in which language its texts are"
        return None, why if shown == UNDETERMINED else f"no language of the data set is known to py3langid ({shown})"
    identifier.set_languages(sorted({*own, *WIDELY} & known))
    texts, judged, foreign = Counter[str](), Counter[str](), dict[str, Counter[str]]()
    examples: dict[str, list[tuple[str, str, str]]] = {}
    names = np.array(rows.languages)[rows.language].tolist()
    ids = rows.store.examples["id"]
    with progress("Identifying languages", len(rows), "texts") as advance:
        for start, block in rows.texts():
            for row, text in enumerate(block, start):
                language = names[row]
                if language not in known or not text.strip():
                    continue
                texts[language] += 1
                text = text[:LONGEST]
                if letters(text) < LEAST_LETTERS:
                    continue
                judged[language] += 1
                likeliest, confidence = identifier.classify(text)
                if likeliest != language and confidence >= LEAST_CONFIDENCE:
                    foreign.setdefault(language, Counter())[likeliest] += 1
                    if len(some := examples.setdefault(language, [])) < FEW:
                        some.append((ids[row].as_py(), text, likeliest))
            advance(len(block))
    found = {
        name: Foreign(
            judged=Share(count=judged[name], n=texts[name]),
            foreign=Share(count=foreign.get(name, Counter()).total(), n=judged[name]),
            others=dict(foreign.get(name, Counter()).most_common()),
            examples=examples.get(name, []),
        )
        for name in own
    }
    unknown = [name for name in rows.languages if name not in known]
    return found, f"Not known to py3langid, so not judged: {', '.join(unknown)}." if unknown else ""


def letters(text: str) -> int:
    """Letters of a text; Han characters, kana and Hangul say as much as two."""
    if text.isascii():
        return sum(map(str.isalpha, text))
    return sum(1 + ("\u2e80" <= letter <= "\ud7ff") for letter in text if letter.isalpha())


@functools.cache
def _identifier() -> Identifier:
    # One of our own: the module's functions share one with all who call them.
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    identifier: Identifier = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    return identifier

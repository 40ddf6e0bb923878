"""Language identification: texts in another language than the data set says.

Measured on the names and keywords of emoji in Unicode's CLDR, in 26 languages. At these thresholds fewer than 1 text
in 1,000 is wrongly reported as another language (2 in Turkish; 5 in Japanese, where Han characters alone look
Chinese). Of texts that are in another language, 45 to 60 % of those with 16 to 19 letters are detected, 54 to 70 % of
those with up to 40, 68 to 83 % of longer ones, and 15 to 26 % in Croatian, Slovene and Bulgarian, which have close
relatives. So a reported share is a lower bound, and comparable only between languages that are equally easy to
identify.
"""

from __future__ import annotations

import functools
from collections import Counter
from typing import Protocol

import numpy as np

from mmeval.audit.columns import Rows
from mmeval.audit.content import ForeignTexts, Share
from mmeval.console import progress
from mmeval.data.languages import UNDETERMINED

LEAST_LETTERS = 16
"""Letters of a text that is long enough to judge."""
LEAST_CONFIDENCE = 0.95
"""Probability from which a text counts as another language."""
LONGEST = 256
"""Characters of a text that are classified; the rest is ignored."""
WIDELY_USED = ("ar", "de", "en", "es", "fr", "it", "ja", "ko", "nl", "pl", "pt", "ru", "zh")
"""Candidates beside the data set's own languages. More of the 140 languages that py3langid knows would only be confused
with their relatives."""
MOST_EXAMPLES = 3


class Identifier(Protocol):
    """Type of py3langid's identifier, which has no annotations."""

    labels: list[str]

    def set_languages(self, languages: list[str] | None) -> None:
        """Set the candidate languages; None: all that the model knows."""

    def classify(self, text: str) -> tuple[str, float]:
        """Return the most likely candidate and its probability."""


def identify_languages(rows: Rows) -> tuple[dict[str, ForeignTexts] | None, str]:
    """Identify the language of all texts that are long enough.

    Returns:
        by language of the data set, its texts in another one, or None; and a note on what could not be identified.
    """
    identifier = _identifier()
    # It is loaded once per process, and an earlier audit may have set other candidates.
    identifier.set_languages(None)
    known = set(identifier.labels)
    own = [name for name in rows.languages if name in known]
    if not own:
        shown = ", ".join(rows.languages)
        note = "the data set does not state the language of its texts"
        return None, note if shown == UNDETERMINED else f"py3langid knows no language of the data set ({shown})"
    identifier.set_languages(sorted({*own, *WIDELY_USED} & known))
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
                    if len(chosen := examples.setdefault(language, [])) < MOST_EXAMPLES:
                        chosen.append((ids[row].as_py(), text, likeliest))
            advance(len(block))
    by_language = {
        name: ForeignTexts(
            judged=Share(count=judged[name], n=texts[name]),
            foreign=Share(count=foreign.get(name, Counter()).total(), n=judged[name]),
            others=dict(foreign.get(name, Counter()).most_common()),
            examples=examples.get(name, []),
        )
        for name in own
    }
    unknown = [name for name in rows.languages if name not in known]
    return by_language, f"Not judged, because py3langid does not know them: {', '.join(unknown)}." if unknown else ""


def letters(text: str) -> int:
    """Count the letters of a text; a Han character, kana or Hangul syllable counts as two."""
    if text.isascii():
        return sum(map(str.isalpha, text))
    return sum(1 + ("\u2e80" <= letter <= "\ud7ff") for letter in text if letter.isalpha())


@functools.cache
def _identifier() -> Identifier:
    # A separate instance: the functions of py3langid share one, whose candidates others may change.
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    identifier: Identifier = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    return identifier

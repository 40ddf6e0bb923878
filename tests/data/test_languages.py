"""Language codes: valid ones stay, names and country codes are corrected, reserved words are refused."""

from __future__ import annotations

import pytest

from mmeval.data.languages import RESERVED, Language, Origin, complaint, corrections, language_of
from mmeval.metrics.row import ALL, GAP, MACRO, WORST


@pytest.mark.parametrize("code", ["de", "pt", "no", "tl", "fil", "ee", "si", "qaa", "und", "kmr"])
def test_valid_codes_stay_as_they_are(code: str) -> None:
    assert language_of(code) == Language(code, Origin.CODE)
    assert language_of(code.upper()) == Language(code, Origin.CODE)


@pytest.mark.parametrize(("tag", "code"), [("pt_BR", "pt"), ("en_UK", "en"), ("es-419", "es"), ("zh-Hant-TW", "zh")])
def test_countries_and_scripts_are_dropped(tag: str, code: str) -> None:
    assert language_of(tag) == Language(code, Origin.CODE)


@pytest.mark.parametrize(
    ("text", "code", "origin"),
    [
        ("cz", "cs", Origin.COUNTRY),
        ("gr", "el", Origin.COUNTRY),
        ("dk", "da", Origin.COUNTRY),
        ("jp", "ja", Origin.COUNTRY),
        ("ua", "uk", Origin.COUNTRY),
        ("us", "en", Origin.COUNTRY),
        ("Latvian", "lv", Origin.NAME),
        ("Español", "es", Origin.NAME),
        ("čeština", "cs", Origin.NAME),
        ("中文", "zh", Origin.NAME),
        ("iw", "he", Origin.REPLACED),
        ("ger", "de", Origin.REPLACED),
    ],
)
def test_names_country_codes_and_older_codes_are_corrected(text: str, code: str, origin: Origin) -> None:
    assert language_of(text) == Language(code, origin)


@pytest.mark.parametrize("text", ["", "xx", "zz", "dog", "cat_food", "Red panda", "deutsch und englisch"])
def test_other_texts_are_no_languages(text: str) -> None:
    """CLDR falls back to English for unknown codes; ``xx`` must not become English."""
    assert language_of(text) is None
    assert "neither an ISO 639 code" in complaint(text)


def test_reserved_words_are_those_of_the_score_table() -> None:
    assert {ALL, MACRO, WORST, GAP} == RESERVED
    assert all("word of the score table" in complaint(word.title()) for word in RESERVED)


def test_corrections_are_one_line_and_ambiguous_codes_a_second() -> None:
    read = ("cz", "gr", "ee", "si", "sk", "no", "Latvian", "deu")
    seen = {text: correction for text in read if (correction := language_of(text))}
    assert corrections(seen) == [
        "corrected Latvian -> lv, cz -> cs, deu -> de, gr -> el "
        "(from longer or older codes and country codes and names)",
        "kept as language codes, although the column also has country codes: ee is Ewe, not the country's et, "
        "si is Sinhala, not the country's sl",
    ]
    assert corrections({text: correction for text, correction in seen.items() if text in ("ee", "sk", "no")}) == []

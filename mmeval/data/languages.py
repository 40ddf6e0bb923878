"""Language codes: ISO 639 codes, their correction from names and country codes, their scripts and families.

Validity, replaced codes, names and scripts come from ``langcodes`` and ``language_data`` (IANA subtag registry and
CLDR), families from ``iso-langcodes`` (ISO 639-5 and Glottolog).
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from enum import StrEnum
from typing import NamedTuple

RESERVED = frozenset({"all", "macro", "weighted", "worst", "gap"})
"""Aggregates in the column ``language`` of Scores. ``all`` and ``gap`` are also ISO 639-3 codes."""
ENGLISH = ("au", "gb", "nz", "us")
"""Countries whose main language is English and whose code is not a language code."""
PRIVATE = "qaa"
"""The first of the ISO 639-2 codes for local use, ``qaa`` to ``qtz``."""
SAME = 4
"""Two codes whose distance in CLDR's language matching is at most this name the same language."""
UNDETERMINED = "und"
"""The ISO 639-2 code of an unknown language."""
NOT_A_LANGUAGE = frozenset({UNDETERMINED, "mis", "mul", "zxx", "xxx"})
"""Codes that name no language: undetermined, uncoded, multiple, no linguistic content, and ``xxx``, which
``iso-langcodes`` returns for a code that it doesn't know."""
SHOWN = 12
"""Number of corrections that a message names."""
_IN_BRACKETS = re.compile(r"\s*\(.*\)$")
"""The end of "Portuguese (Brazil)"."""
_KIND_OF_GROUP = re.compile(r" (languages|\(.*\))$")
"""The end of "Turkic languages" and "Japanese (family)"."""
_CODE = re.compile(r"([A-Za-z]{2,3})((?:[-_][A-Za-z0-9]+)*)")
_REGION = re.compile(r"[-_](?:[A-Za-z]{2}|[0-9]{3})")
"""The form of a region. It need not exist: people write en_UK."""


class Origin(StrEnum):
    """The kind of text that a language code was derived from; the value is used in messages."""

    CODE = "codes"
    """A valid code, with or without country and script."""
    REPLACED = "longer or older codes"
    """A code with a shorter or newer equivalent: ``deu``, ``iw``."""
    COUNTRY = "country codes"
    NAME = "names"


class Language(NamedTuple):
    """A language code and its origin."""

    code: str
    origin: Origin


@functools.lru_cache(maxsize=1 << 16)
def language_of(text: str) -> Language | None:
    """Return the language that ``text`` names, as its shortest ISO 639 code; None if it names no language.

    Country and script are dropped: ``pt_BR`` becomes ``pt``. A country code that is not a language code becomes the
    language most used in that country (CLDR likely subtags): ``cz`` becomes ``cs``. A valid language code is never read
    as a country: ``ee`` is Ewe, not Estonian.
    """
    text = text.strip()
    if match := _CODE.fullmatch(text):
        return _of_code(match[1].lower(), match[2], text.replace("_", "-"))
    return _of_name(text)


def complaint(text: str) -> str:
    """Return the reason why ``text`` can't be the language of a row; empty if it can."""
    language = language_of(text)
    if text.strip().casefold() in RESERVED or (language and language.code in RESERVED):
        return (
            f'the language "{text}" is a reserved word of the score table; write a code for local use instead, such as '
            f"{PRIVATE}"
        )
    return "" if language else f'the language "{text}" is neither an ISO 639 code such as de or pt-BR nor a known name'


def corrections(seen: Mapping[str, Language]) -> list[str]:
    """Return messages about the values of a column that were corrected; none if all values were valid codes."""
    changed = {text: language for text, language in seen.items() if language.origin is not Origin.CODE}
    if not changed:
        return []
    shown = ", ".join(f"{text} -> {language.code}" for text, language in sorted(changed.items())[:SHOWN])
    more = f" and {len(changed) - SHOWN} more" if len(changed) > SHOWN else ""
    origins = {language.origin for language in changed.values()}
    kinds = " and ".join(origin.value for origin in Origin if origin in origins)
    lines = [f"corrected {shown}{more} (from {kinds})"]
    doubtful = _also_countries(seen) if Origin.COUNTRY in origins else []
    if doubtful:
        shown = ", ".join(f"{code} is {name}, not the country's {other}" for code, name, other in doubtful)
        lines.append(f"kept as language codes, although the column also has country codes: {shown}")
    return lines


@functools.lru_cache(maxsize=1 << 12)
def script_of(code: str) -> str:
    """Return the script that a language is usually written in, as an ISO 15924 code; empty if CLDR doesn't know it.

    It is the likely subtag of CLDR: ``Cyrl`` for Serbian, ``Hans`` for Chinese, ``Jpan`` for Japanese.
    """
    import langcodes
    from langcodes.data_dicts import LIKELY_SUBTAGS

    if not langcodes.tag_is_valid(code):
        return ""
    language = langcodes.Language.get(code)
    # CLDR's answer for a language that it doesn't know is that of `und`, Latin.
    if not any(tag in LIKELY_SUBTAGS for tag in language.broader_tags() if tag != UNDETERMINED):
        return ""
    return language.maximize().script or ""


@functools.lru_cache(maxsize=1 << 12)
def family_of(code: str) -> str:
    """Return the English name of a language's family: ``Indo-European``, ``Turkic``; empty if it is unknown.

    It is the widest group of ISO 639-5 around the language that Glottolog accepts as related by descent: ``Turkic``,
    not ``Altaic``. A language whose groups Glottolog lacks gets the narrowest of them, and an isolate its own name.
    """
    from iso_langcodes import iso639_3, iso639_5

    code = iso639_3.get_iso639_3(code)
    if code in NOT_A_LANGUAGE:
        return ""
    groups = []
    parent = iso639_5.language_parent(code)
    while parent and parent not in NOT_A_LANGUAGE:
        groups.append(parent)
        parent = iso639_5.language_parent(parent)
    related = [group for group in groups if iso639_5.iso2glottolog(group)]
    family = related[-1] if related else (groups or [code])[0]
    return _KIND_OF_GROUP.sub("", iso639_3.get_language_name(family))


def _of_code(code: str, rest: str, tag: str) -> Language | None:
    import langcodes

    if not langcodes.tag_is_valid(code):
        country = _of_country(code) if len(code) == 2 and not rest else ""
        return Language(country, Origin.COUNTRY) if country else None
    if rest and not (_REGION.fullmatch(rest) or langcodes.tag_is_valid(tag)):
        return None
    newer = langcodes.Language.get(code).language or code
    # CLDR reads `tl` as Filipino, ISO 639-1 as Tagalog; only another two-letter code is a plain replacement.
    if newer != code and len(newer) == 2:
        return Language(newer, Origin.REPLACED)
    return Language(code, Origin.CODE)


def _of_country(code: str) -> str:
    """Return the language most used in a country; empty if there is no such country or its language is unknown."""
    import langcodes

    tag = f"und-{code.upper()}"
    if not langcodes.tag_is_valid(tag):
        return ""
    language = langcodes.Language.get(tag).maximize().language or ""
    # CLDR falls back to English if it has no data, for example for ZZ.
    return language if language not in ("en", "und") or code in ENGLISH else ""


def _of_name(text: str) -> Language | None:
    import langcodes
    from language_data.names import TRIES, normalize_name

    text = _IN_BRACKETS.sub("", text)
    try:
        code = langcodes.find(text).language
    except LookupError:
        return None
    # `find` also accepts a text that only begins with a name: "Greek yogurt".
    if not code or normalize_name(text) not in TRIES["und/name_to_language"]:
        return None
    return Language(code, Origin.NAME)


def _also_countries(seen: Mapping[str, Language]) -> list[tuple[str, str, str]]:
    """Return the codes in ``seen`` that are also codes of countries with another language.

    Each comes with the language's name and the code of the country's language.
    """
    import langcodes

    valid = (language.code for language in seen.values() if language.origin is Origin.CODE)
    ambiguous = []
    for code in sorted({code for code in valid if len(code) == 2}):
        other = _of_country(code)
        # The country's `nb` and a row's `no` are the same language.
        if other and langcodes.tag_distance(code, other) > SAME:
            ambiguous.append((code, langcodes.Language.get(code).display_name(), other))
    return ambiguous

"""Language codes of a table: ISO 639, or corrected to it from names and country codes.

Validity, replaced codes and names come from ``langcodes`` and ``language_data`` (IANA subtag registry and CLDR).
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from enum import StrEnum
from typing import NamedTuple

RESERVED = frozenset({"all", "macro", "worst", "gap"})
"""Words that stand in the column ``language`` of Scores. ``all`` and ``gap`` are ISO 639-3 codes too."""
ENGLISH = ("au", "gb", "nz", "us")
"""Countries whose language is English, of those whose code is no language's."""
PRIVATE = "qaa"
"""First of the ISO 639-2 codes for local use, ``qaa`` to ``qtz``."""
SAME = 4
"""Distance in CLDR's language matching up to which two codes are of one language."""
SHOWN = 12
"""Corrections that a message names."""
_IN_BRACKETS = re.compile(r"\s*\(.*\)$")
"""As in "Portuguese (Brazil)"."""
_CODE = re.compile(r"([A-Za-z]{2,3})((?:[-_][A-Za-z0-9]+)*)")
_REGION = re.compile(r"[-_](?:[A-Za-z]{2}|[0-9]{3})")
"""Enough of a region: people write en_UK, which is none."""


class Origin(StrEnum):
    """What a language was read from."""

    CODE = "codes"
    """A valid code, with or without a country or script."""
    REPLACED = "longer or older codes"
    """A code that has a shorter or newer one: ``deu``, ``iw``."""
    COUNTRY = "country codes"
    NAME = "names"


class Language(NamedTuple):
    """A language code, and what it was read from."""

    code: str
    origin: Origin


@functools.lru_cache(maxsize=1 << 16)
def language_of(text: str) -> Language | None:
    """The language that ``text`` names, as an ISO 639 code (the shortest there is); None if it names none.

    Country and script are dropped: ``pt_BR`` is ``pt``. A country code that is no language's is that of the language
    most used there (CLDR likely subtags): ``cz`` is ``cs``. A valid code is never taken for a country: ``ee`` is Ewe.
    """
    text = text.strip()
    if match := _CODE.fullmatch(text):
        return _of_code(match[1].lower(), match[2], text.replace("_", "-"))
    return _of_name(text)


def complaint(text: str) -> str:
    """Why ``text`` can't be the language of a row, in a few words; empty if it can."""
    found = language_of(text)
    if text.strip().casefold() in RESERVED or (found and found.code in RESERVED):
        return (
            f'the language "{text}" is a word of the score table; write a code for local use instead, such as {PRIVATE}'
        )
    return "" if found else f'the language "{text}" is neither an ISO 639 code such as de or pt-BR nor a known name'


def corrections(seen: Mapping[str, Language]) -> list[str]:
    """What to say of a column's values that were not codes as they stood: nothing, a line, or two."""
    changed = {text: found for text, found in seen.items() if found.origin is not Origin.CODE}
    if not changed:
        return []
    shown = ", ".join(f"{text} -> {found.code}" for text, found in sorted(changed.items())[:SHOWN])
    more = f" and {len(changed) - SHOWN} more" if len(changed) > SHOWN else ""
    origins = {found.origin for found in changed.values()}
    kinds = " and ".join(origin.value for origin in Origin if origin in origins)
    lines = [f"corrected {shown}{more} (from {kinds})"]
    doubtful = _also_countries(seen) if Origin.COUNTRY in origins else []
    if doubtful:
        shown = ", ".join(f"{code} is {name}, not the country's {other}" for code, name, other in doubtful)
        lines.append(f"kept, though country codes stand beside them: {shown}")
    return lines


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
    """The language most used in a country; empty if there is no such country, or none is known."""
    import langcodes

    tag = f"und-{code.upper()}"
    if not langcodes.tag_is_valid(tag):
        return ""
    found = langcodes.Language.get(tag).maximize().language or ""
    # English is also what CLDR falls back to where it knows nothing, such as for ZZ.
    known = found not in ("en", "und") or code in ENGLISH
    return found if known else ""


def _of_name(text: str) -> Language | None:
    import langcodes
    from language_data.names import TRIES, normalize_name

    text = _IN_BRACKETS.sub("", text)
    try:
        found = langcodes.find(text).language
    except LookupError:
        return None
    # `find` also takes what only begins with a name: "Greek yogurt".
    if not found or normalize_name(text) not in TRIES["und/name_to_language"]:
        return None
    return Language(found, Origin.NAME)


def _also_countries(seen: Mapping[str, Language]) -> list[tuple[str, str, str]]:
    """Codes in ``seen`` that are also those of countries with another language: code, its name, the other language."""
    import langcodes

    codes = sorted({found.code for found in seen.values() if found.origin is Origin.CODE and len(found.code) == 2})
    found = []
    for code in codes:
        other = _of_country(code)
        # A country's `nb` is no other language than a row's `no`.
        if other and langcodes.tag_distance(code, other) > SAME:
            found.append((code, langcodes.Language.get(code).display_name(), other))
    return found

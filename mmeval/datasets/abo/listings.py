"""One listing of Amazon Berkeley Objects: its names, its image, and the values that may become labels."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

FIELDS = {"colour": "color", "material": "material", "pattern": "pattern", "style": "style"}
"""Field of a listing by task, of those that sellers fill in freely."""
TYPE = "product_type"
_TAG = re.compile(r"([a-z]{2})(_[A-Z]{2})?")
_CODES = (
    "aa ab ae af ak am an ar as av ay az ba be bg bi bm bn bo br bs ca ce ch co cr cs cu cv cy da de dv dz ee el en eo "
    "es et eu fa ff fi fj fo fr fy ga gd gl gn gu gv ha he hi ho hr ht hu hy hz ia id ie ig ii ik io is it iu ja jv ka "
    "kg ki kj kk kl km kn ko kr ks ku kv kw ky la lb lg li ln lo lt lu lv mg mh mi mk ml mn mr ms mt my na nb nd ne ng "
    "nl nn no nr nv ny oc oj om or os pa pi pl ps pt qu rm rn ro ru rw sa sc sd se sg si sk sl sm sn so sq sr ss st su "
    "sv sw ta te tg th ti tk tl tn to tr ts tt tw ty ug uk ur uz ve vi vo wa wo xh yi yo za zh zu"
)
LANGUAGES = frozenset(_CODES.split())
"""ISO 639-1."""


class Value(NamedTuple):
    """What a listing says of one task, normalised."""

    name: str
    english: bool
    """Whether it comes from an English entry; the classes are made of those alone."""


@dataclass(frozen=True, slots=True)
class Listing:
    """What is used of a listing."""

    key: str
    """``item_id/domain_name/marketplace``: an item_id alone comes back on other marketplaces."""
    item: str
    image: str
    """``main_image_id``; empty where there is none."""
    names: Mapping[str, str]
    """``item_name`` by language tag; the first, where a tag comes twice."""
    bullets: Mapping[str, tuple[str, ...]]
    """``bullet_point`` by language tag."""
    values: Mapping[str, Value]
    """By task; a task of which nothing definite is said is left out."""
    metadata: Mapping[str, str]


class _Entry(NamedTuple):
    tag: str
    value: str
    standard: tuple[str, ...]


def parse(cells: Mapping[str, Any]) -> Listing:
    """Read one record.

    Raises:
        ValueError: it is not as the format says; the message is a few words.
    """
    item = _plain(cells, "item_id")
    if not item:
        raise ValueError("lacks its item_id")
    domain, marketplace = _plain(cells, "domain_name"), _plain(cells, "marketplace")
    names: dict[str, str] = {}
    for entry in _entries(cells, "item_name"):
        names.setdefault(entry.tag, entry.value)
    if not names:
        raise ValueError("lacks its item_name")
    bullets: dict[str, list[str]] = {}
    for entry in _entries(cells, "bullet_point"):
        bullets.setdefault(entry.tag, []).append(entry.value)
    values = {task: found for task, field in FIELDS.items() if (found := said(_entries(cells, field)))}
    types = {entry.value for entry in _entries(cells, TYPE) if entry.value}
    if len(types) == 1:
        values[TYPE] = Value(types.pop(), english=True)
    said_of = {task: values[task].name if task in values else "" for task in FIELDS}
    return Listing(
        key=f"{item}/{domain}/{marketplace}",
        item=item,
        image=_plain(cells, "main_image_id"),
        names=names,
        bullets={tag: tuple(filter(None, texts)) for tag, texts in bullets.items()},
        values=values,
        metadata={"item_id": item, "domain_name": domain, "marketplace": marketplace, **said_of},
    )


def said(entries: list[_Entry]) -> Value | None:
    """The one value that the entries of a field agree on; None where there is none, or several.

    The first English tag counts: its ``standardized_values``, else what the seller wrote. Without English, the
    ``standardized_values`` of other languages do.
    """
    english = [entry for entry in entries if language(entry.tag) == "en"]
    if english:
        chosen = [entry for entry in english if entry.tag == english[0].tag]
        found = {name for entry in chosen for name in entry.standard or (entry.value,)}
    else:
        found = {name for entry in entries for name in entry.standard}
    names = {_normal(name) for name in found} - {""}
    return Value(names.pop(), bool(english)) if len(names) == 1 else None


def language(tag: str) -> str:
    """ISO 639-1 code of a language tag such as ``en_IN``; empty if it is none."""
    match = _TAG.fullmatch(tag)
    return match[1] if match and match[1] in LANGUAGES else ""


def _normal(name: str) -> str:
    return " ".join(name.casefold().split())


def _plain(cells: Mapping[str, Any], field: str) -> str:
    value = cells.get(field)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise ValueError(f"{field} is no text")
    return value.strip()


def _entries(cells: Mapping[str, Any], field: str) -> list[_Entry]:
    """A field ``[{language_tag, value, standardized_values}]``; only ``value`` is always there."""
    values = cells.get(field)
    if values is None:
        return []
    if not isinstance(values, list) or not all(isinstance(one, dict) for one in values):
        raise ValueError(f"{field} is no list of values")
    try:
        return [_Entry(_plain(one, "language_tag"), _plain(one, "value"), _standard(one)) for one in values]
    except ValueError as error:
        raise ValueError(f"in its {field}, {error}") from None


def _standard(entry: Mapping[str, Any]) -> tuple[str, ...]:
    names = entry.get("standardized_values") or []
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ValueError("standardized_values is no list of texts")
    return tuple(names)

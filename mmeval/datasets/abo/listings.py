"""Listings of Amazon Berkeley Objects: parsing of names, image and label values."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

FIELDS = {"colour": "color", "material": "material", "pattern": "pattern", "style": "style"}
"""Field of a listing by task, for the tasks whose values sellers write freely."""
TYPE = "product_type"
"""Task and field with a closed list of values."""
_TAG = re.compile(r"([a-z]{2})(_[A-Z]{2})?")
_CODES = (
    "aa ab ae af ak am an ar as av ay az ba be bg bi bm bn bo br bs ca ce ch co cr cs cu cv cy da de dv dz ee el en eo "
    "es et eu fa ff fi fj fo fr fy ga gd gl gn gu gv ha he hi ho hr ht hu hy hz ia id ie ig ii ik io is it iu ja jv ka "
    "kg ki kj kk kl km kn ko kr ks ku kv kw ky la lb lg li ln lo lt lu lv mg mh mi mk ml mn mr ms mt my na nb nd ne ng "
    "nl nn no nr nv ny oc oj om or os pa pi pl ps pt qu rm rn ro ru rw sa sc sd se sg si sk sl sm sn so sq sr ss st su "
    "sv sw ta te tg th ti tk tl tn to tr ts tt tw ty ug uk ur uz ve vi vo wa wo xh yi yo za zh zu"
)
LANGUAGES = frozenset(_CODES.split())
"""All ISO 639-1 codes."""


class Value(NamedTuple):
    """Value of a listing for a task."""

    name: str
    """Lower case, with single spaces."""
    english: bool
    """Whether the value comes from an English entry; only these become classes."""


@dataclass(frozen=True, slots=True)
class Listing:
    """The used fields of a listing."""

    key: str
    """``item_id/domain_name/marketplace``; an item_id alone occurs on several marketplaces."""
    item: str
    """``item_id``."""
    image: str
    """``main_image_id``; empty if there is none."""
    names: Mapping[str, str]
    """``item_name`` by language tag; the first one, if a tag occurs twice."""
    bullets: Mapping[str, tuple[str, ...]]
    """``bullet_point`` by language tag."""
    values: Mapping[str, Value]
    """Value by task; a task without a value, or with contradictory ones, is left out."""
    metadata: Mapping[str, str]
    """``item_id``, ``domain_name``, ``marketplace``, and the value of each free-text task or ""."""


class _Entry(NamedTuple):
    """An entry of a field: language tag, value and standardized values."""

    tag: str
    value: str
    standard: tuple[str, ...]


def parse(cells: Mapping[str, Any]) -> Listing:
    """Parse one record.

    Raises:
        ValueError: the record does not have the published format; the message is a phrase without a subject.
    """
    item = _text(cells, "item_id")
    if not item:
        raise ValueError("lacks its item_id")
    domain, marketplace = _text(cells, "domain_name"), _text(cells, "marketplace")
    names: dict[str, str] = {}
    for entry in _entries(cells, "item_name"):
        names.setdefault(entry.tag, entry.value)
    if not names:
        raise ValueError("lacks its item_name")
    bullets: dict[str, list[str]] = {}
    for entry in _entries(cells, "bullet_point"):
        bullets.setdefault(entry.tag, []).append(entry.value)
    values = {task: value for task, field in FIELDS.items() if (value := agreed_value(_entries(cells, field)))}
    types = {entry.value for entry in _entries(cells, TYPE) if entry.value}
    if len(types) == 1:
        values[TYPE] = Value(types.pop(), english=True)
    attributes = {task: values[task].name if task in values else "" for task in FIELDS}
    return Listing(
        key=f"{item}/{domain}/{marketplace}",
        item=item,
        image=_text(cells, "main_image_id"),
        names=names,
        bullets={tag: tuple(filter(None, texts)) for tag, texts in bullets.items()},
        values=values,
        metadata={"item_id": item, "domain_name": domain, "marketplace": marketplace, **attributes},
    )


def agreed_value(entries: list[_Entry]) -> Value | None:
    """Return the value that the entries of a field agree on; None if there is none, or if they differ.

    The entries of the first English tag count: their ``standardized_values``, or the value if there are none. Without
    an English entry, the ``standardized_values`` of the other languages count.
    """
    english = [entry for entry in entries if language(entry.tag) == "en"]
    if english:
        chosen = [entry for entry in english if entry.tag == english[0].tag]
        candidates = {name for entry in chosen for name in entry.standard or (entry.value,)}
    else:
        candidates = {name for entry in entries for name in entry.standard}
    names = {_normalized(name) for name in candidates} - {""}
    return Value(names.pop(), bool(english)) if len(names) == 1 else None


def language(tag: str) -> str:
    """Return the ISO 639-1 code of a language tag such as ``en_IN``; empty if it is not a language tag."""
    match = _TAG.fullmatch(tag)
    return match[1] if match and match[1] in LANGUAGES else ""


def _normalized(name: str) -> str:
    return " ".join(name.casefold().split())


def _text(cells: Mapping[str, Any], field: str) -> str:
    value = cells.get(field)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise ValueError(f"{field} is not a text")
    return value.strip()


def _entries(cells: Mapping[str, Any], field: str) -> list[_Entry]:
    """Return the entries of a field ``[{language_tag, value, standardized_values}]``; only ``value`` is required."""
    values = cells.get(field)
    if values is None:
        return []
    if not isinstance(values, list) or not all(isinstance(entry, dict) for entry in values):
        raise ValueError(f"{field} is not a list of values")
    try:
        return [_Entry(_text(entry, "language_tag"), _text(entry, "value"), _standard(entry)) for entry in values]
    except ValueError as error:
        raise ValueError(f"in its {field}, {error}") from None


def _standard(entry: Mapping[str, Any]) -> tuple[str, ...]:
    names = entry.get("standardized_values") or []
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ValueError("standardized_values is not a list of texts")
    return tuple(names)

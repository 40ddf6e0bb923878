"""How to cite a run: its data set, the paper of its model, and mmeval."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

from mmeval.record import Record
from mmeval.version import __version__

NO_PAPER = "none"
"""The ``paper`` of a model that has no publication."""
DISTRIBUTION = "mmeval-multilingual"
"""The package whose recorded version is cited."""
SOFTWARE_TITLE = "mmeval: multilingual image-text classification, evaluated per language"
"""The title of mmeval, as CITATION.cff has it."""
AUTHORS = "The mmeval authors"

_START = re.compile(r"@\w+\s*\{")
_FIELD = re.compile(r"(\w+)\s*=\s*")
_ARXIV = re.compile(r"(?:,\s*)?arXiv[:\s]\s*(\d{2})(\d{2})\.(\d{4,5})(?:v\d+)?", re.IGNORECASE)
_ACCENTS = {"'": "\u0301", "`": "\u0300", "^": "\u0302", '"': "\u0308", "~": "\u0303", "c": "\u0327", "v": "\u030c"}
_ACCENT = re.compile(r"""\\(?:(['`^"~])\s*|([cv])(?=[\s{])\s*)\{?([A-Za-z])\}?""")
_VENUES = ("journal", "booktitle", "howpublished", "publisher")


@dataclass(frozen=True)
class Citation:
    """A work to cite."""

    title: str
    """What the work is to the run: ``Data set``, ``Model`` or ``Software``."""
    text: str
    """The reference on one line."""
    bibtex: str = ""
    """The reference as BibTeX; empty if only its text is known."""


def citations(record: Record) -> list[Citation]:
    """Return the works that a publication of this run should cite: the data set, the model's paper and mmeval.

    A model without a paper has no citation. A data set without a recorded one is named with its fingerprint.
    """
    plugin = record.plan.plugin
    works = [citation("Data set", str(record.data.get("citation", ""))) or _data_set(record)]
    model = citation("Model", record.model_citation) or paper("Model", plugin.name, plugin.paper)
    works += [model] if model else []
    return [*works, software(record.versions.get(DISTRIBUTION, ""))]


def citation(title: str, source: str) -> Citation | None:
    """Return the citation that a data card or a plugin gives, as BibTeX entries, as a sentence, or as both.

    The text is the sentence, or is made from the fields of the entries.
    """
    entries, prose = _split(source.strip())
    text = " ".join(prose.split()) or "; ".join(map(_reference, entries))
    return Citation(title, text, "\n\n".join(entries)) if text else None


def paper(title: str, key: str, reference: str) -> Citation | None:
    """Return the citation of a paper that is known by ``TITLE, arXiv NUMBER`` or another reference.

    The number of arXiv gives the year, and with it BibTeX without authors. None for no paper.
    """
    reference = " ".join(reference.split())
    if not reference or reference.casefold() == NO_PAPER:
        return None
    number = _ARXIV.search(reference)
    name = _ARXIV.sub("", reference).strip(" ,")
    # Unbalanced braces or a backslash would break the user's bibliography.
    if number is None or not name or re.search(r"[{}\\]", name):
        return Citation(title, reference)
    year, month, serial = number.groups()
    fields = {
        "title": f"{{{name}}}",
        "eprint": f"{year}{month}.{serial}",
        "archiveprefix": "arXiv",
        "year": f"20{year}",
    }
    return Citation(title, reference, _bibtex("misc", re.sub(r"[^A-Za-z0-9-]", "", key) or "paper", fields))


def software(version: str = "") -> Citation:
    """Return the citation of mmeval, of this version by default."""
    version = version or __version__
    fields = {"title": f"{{{SOFTWARE_TITLE}}}", "author": f"{{{AUTHORS}}}", "note": f"Version {version}"}
    return Citation("Software", f"{AUTHORS}. {SOFTWARE_TITLE}. Version {version}.", _bibtex("misc", "mmeval", fields))


def _data_set(record: Record) -> Citation:
    protocol = record.plan.protocol
    return Citation(
        "Data set",
        f"{protocol.dataset} (no citation is recorded; the fingerprint of the data is {protocol.fingerprint[:8]}).",
    )


def _bibtex(kind: str, key: str, fields: dict[str, str]) -> str:
    width = max(map(len, fields))
    return "\n".join([f"@{kind}{{{key},", *(f"  {name:<{width}} = {{{text}}}," for name, text in fields.items()), "}"])


def _split(source: str) -> tuple[list[str], str]:
    """Return the BibTeX entries of a text, and the text without them; an entry that does not end is text."""
    entries, prose, position = [], [], 0
    while start := _START.search(source, position):
        stop = _closing(source, start.end())
        if stop is None:
            break
        entries.append(source[start.start() : stop])
        prose.append(source[position : start.start()])
        position = stop
    return entries, "".join([*prose, source[position:]])


def _closing(source: str, start: int) -> int | None:
    """Return the position after the brace that closes the one before ``start``; None if there is none."""
    depth = 1
    for position in range(start, len(source)):
        depth += {"{": 1, "}": -1}.get(source[position], 0)
        if depth == 0:
            return position + 1
    return None


def _reference(entry: str) -> str:
    """Return an entry as ``AUTHORS (YEAR). TITLE. VENUE. NOTE.``, with the fields that it has."""
    fields = _fields(entry)
    year = fields.get("year", "")
    names = [_name(name) for name in re.split(r"\s+and\s+", fields.get("author", "")) if name]
    authors = ", ".join(name for name in names if name != "others") + (" et al." if "others" in names else "")
    start = f"{authors} ({year})" if authors and year else authors or year
    venue = next((fields[name] for name in _VENUES if name in fields), "")
    eprint = f"arXiv:{fields['eprint']}" if "eprint" in fields else ""
    parts = [start, fields.get("title", ""), venue, fields.get("note", ""), eprint]
    return " ".join(part if part.endswith(".") else f"{part}." for part in parts if part) or entry


def _fields(entry: str) -> dict[str, str]:
    """Return the fields of an entry by lower-case name, as plain text."""
    fields: dict[str, str] = {}
    position = entry.find(",") + 1
    while found := _FIELD.search(entry, position):
        begin = found.end()
        if entry[begin : begin + 1] == "{":
            position = _closing(entry, begin + 1) or len(entry)
            value = entry[begin + 1 : position - 1]
        elif entry[begin : begin + 1] == '"':
            position = entry.find('"', begin + 1) + 1 or len(entry)
            value = entry[begin + 1 : position - 1]
        else:
            position = next((i for i in range(begin, len(entry)) if entry[i] in ",}\n"), len(entry))
            value = entry[begin:position]
        fields[found[1].lower()] = _plain(value)
    return fields


def _plain(value: str) -> str:
    """Return the value of a field without braces, with accents as letters."""
    value = _ACCENT.sub(lambda match: match[3] + _ACCENTS[match[1] or match[2]], value)
    return " ".join(unicodedata.normalize("NFC", re.sub(r"[{}]", "", value)).replace("\\&", "&").split())


def _name(name: str) -> str:
    """Return ``First Last`` of ``Last, First``."""
    last, comma, first = name.partition(",")
    return f"{first.strip()} {last.strip()}" if comma else name.strip()

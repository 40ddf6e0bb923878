"""Data cards: the declared facts of a data set, in the Hub's dataset-card format."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmeval.errors import DataError

MAX_BYTES = 4 * 1024 * 1024
"""Size limit of a card, prose included."""
MOST_CHARACTERS, MOST_DEFECTS = 1000, 40
"""Length of a description or defect, and number of defects, that a run records."""
CITATION = re.compile(r"^##[ \t]+How to cite[ \t]*\n(.*?)(?=^#{1,2}[ \t]|\Z)", re.MULTILINE | re.DOTALL)
"""Matches the section of a card that says how to cite the data."""
FALLBACK_LANGUAGE = "en"
"""A card may name classes in English even if the data has no English: most class names are English."""


@dataclass(frozen=True)
class Approximate:
    """A number that is known only roughly; a card writes ``{about: 968000, within: 500}``."""

    number: int
    within: int

    def __str__(self) -> str:
        """``about 968000``."""
        return f"about {self.number}"


def agrees(stated: int | Approximate, actual: int) -> bool:
    """Return whether a count agrees with the number that a card states."""
    return abs(actual - stated.number) <= stated.within if isinstance(stated, Approximate) else stated == actual


@dataclass(frozen=True)
class Card:
    """A parsed data card."""

    path: Path
    name: str
    languages: tuple[str, ...]
    licence: str
    tasks: Mapping[str, tuple[str, ...] | int | Approximate | None]
    """By task: its classes in the order of their index, or only their number; None if only the data tells."""
    splits: Mapping[str, int | Approximate]
    """Examples per split, or of several splits together: ``train+validation``."""
    images: int | Approximate
    """Number of different images."""
    header: Mapping[str, Any]
    """The whole YAML header, as ``huggingface_hub`` parses it."""
    body: str
    """The prose below the header."""
    per_language: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    """Examples by split, then language."""
    shares: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """Percentage of the examples by split, then language; the key ``within`` is the tolerance in percentage points."""
    per_class: Mapping[str, Mapping[str, Mapping[str, int]]] = field(default_factory=dict)
    """Examples by task, then split, then class."""
    rejected: int = 0
    """Largest number of rows that may be rejected."""
    fingerprint: str = ""
    """SHA-256 of the prepared data; empty if it was never computed."""
    sources: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Facts about each source file: ``md5``, ``size``."""
    class_names: Mapping[str, Mapping[str, Mapping[str, str]]] = field(default_factory=dict)
    """Display names of the classes by task, then language, then class."""
    hierarchy: Mapping[str, Mapping[str, tuple[str, ...]]] = field(default_factory=dict)
    """Path of each class by task, then class: the names of its ancestors from the top, then its own."""
    multilabel: tuple[str, ...] = ()
    """Tasks of which an example may have any number of classes."""
    redistribution: bool | None = None
    """Whether the licence allows anyone to publish the data again; None if the card does not say."""
    unverified: tuple[str, ...] = ()
    """Dotted paths of facts that were never checked against the real data; a difference from them only warns."""
    citation: str = ""
    """How to cite the data: BibTeX or a sentence, from the section ``How to cite``; empty if the card has none."""

    @property
    def description(self) -> str:
        """The first paragraph of the prose, without markup; empty if there is none."""
        paragraphs = re.split(r"\n\s*\n", self.body.strip())
        return next((_plain(each) for each in paragraphs if each and not each.startswith(("#", "|", "-", "```"))), "")

    @property
    def defects(self) -> tuple[str, ...]:
        """The list items of the section "Known defects and traps", without markup."""
        section = re.search(r"^## Known defects[^\n]*\n(.*?)(?=^## |\Z)", self.body, re.DOTALL | re.MULTILINE)
        items = re.split(r"^- ", section[1], flags=re.MULTILINE)[1:] if section else []
        return tuple(_plain(each) for each in items[:MOST_DEFECTS])

    def verified(self, path: str) -> bool:
        """Return whether a fact was checked against the real data.

        Args:
            path: dotted, such as ``rejected`` or ``per_language.test.de``; a path below an unverified one is
                unverified too.
        """
        return not any(path == unverified or path.startswith(f"{unverified}.") for unverified in self.unverified)


def cards_folder() -> Path:
    """Return the folder of the shipped data cards: inside the wheel, or beside the package in a checkout."""
    package = Path(__file__).parents[1]
    installed = package / "data_cards"
    return installed if installed.is_dir() else package.parent / "data_cards"


def read_header(data: bytes) -> tuple[dict[str, Any], str]:
    """Parse the bytes of a dataset card into its YAML header and its prose.

    ``huggingface_hub`` parses the card as the Hub does. That parser has no limits, and a card may come from a stranger;
    so :mod:`mmeval.safe_yaml` reads the header first and refuses one that is too long, too deep or too large.

    Raises:
        NoHeaderError: the card does not begin with a YAML header.
        YamlError: the header is not YAML, or is too large.
        UnicodeDecodeError: the card is not UTF-8.
        ValueError, TypeError: the header is not a mapping with texts as keys.
    """
    # Here, because its import takes a quarter of a second, which listings and help need not spend.
    from huggingface_hub.repocard import REGEX_YAML_BLOCK, DatasetCard

    from mmeval.safe_yaml import load

    text = data.decode("utf-8-sig")
    block = REGEX_YAML_BLOCK.search(text)
    if block is None:
        raise NoHeaderError("a data card begins with a YAML header between two lines of ---")
    load(block[2])
    card = DatasetCard(text)
    return card.data.to_dict(), card.text  # type: ignore[no-untyped-call]


class NoHeaderError(ValueError):
    """A card without a YAML header."""


def read_card(path: Path, variant: str = "") -> Card:
    """Read the card at ``path``.

    Fields that the card gives for ``variant``, under ``variants``, override the general ones.

    Raises:
        DataError: the file is missing, is too large, has no YAML header, or lacks a required field.
    """
    from mmeval.safe_yaml import YamlError

    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
        if len(data) > MAX_BYTES:
            raise DataError(f"{path} is larger than {MAX_BYTES:,} bytes; no data card is.")
        header, body = read_header(data)
        fields = header["mmeval"] | ((header["mmeval"].get("variants") or {}).get(variant) or {})
        return _card(path, header, fields, body)
    except FileNotFoundError:
        raise DataError(f"There is no data card at {path}.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"The data card {path} can't be read: {error}.") from None
    except NoHeaderError as error:
        raise DataError(f"{path}: {error}.") from None
    except YamlError as error:
        raise DataError(f"{path}: the YAML header can't be read: {error}.") from None
    except KeyError as error:
        raise DataError(f"{path}: the YAML header lacks the field {error}.") from None
    except (TypeError, AttributeError, ValueError) as error:
        raise DataError(f"{path}: the YAML header is not valid: {error}.") from None


def _card(path: Path, header: Mapping[str, Any], fields: Mapping[str, Any], body: str) -> Card:
    languages = _strings(fields.get("language", header["language"]))  # a variant may have fewer
    tasks = {name: _classes(stated) for name, stated in fields["tasks"].items()}
    return Card(
        path=path,
        name=fields["name"],
        languages=languages,
        licence=header["license"],
        tasks=tasks,
        splits={name: _number(stated) for name, stated in fields["splits"].items()},
        images=_number(fields["images"]),
        per_language=fields.get("per_language", {}),
        shares=dict(fields.get("shares", {})),
        per_class=fields.get("per_class", {}),
        rejected=fields.get("rejected", 0),
        fingerprint=fields.get("fingerprint", ""),
        sources=fields.get("sources", {}),
        class_names=_class_names(fields.get("class_names", {}), tasks, languages),
        hierarchy={task: _hierarchy(task, tree, tasks) for task, tree in fields.get("hierarchy", {}).items()},
        redistribution=_redistribution(fields.get("redistribution")),
        multilabel=_multilabel(fields.get("multilabel", []), tasks),
        unverified=_strings(fields.get("unverified", [])),
        citation=_citation(body),
        header=header,
        body=body,
    )


def _plain(text: str) -> str:
    """Return a paragraph of Markdown on one line, without emphasis, code spans and addresses of links."""
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", text)
    plain = " ".join(re.sub(r"\*\*|`|(?<!\w)\*(?=\w)|(?<=\w)\*(?!\w)", "", text).split())
    return plain if len(plain) <= MOST_CHARACTERS else plain[:MOST_CHARACTERS] + "…"


def _classes(stated: list[object] | int | Mapping[str, int] | None) -> tuple[str, ...] | int | Approximate | None:
    if stated is None:
        return None
    return _strings(stated) if isinstance(stated, list) else _number(stated)


def _redistribution(stated: object) -> bool | None:
    if stated is not None and not isinstance(stated, bool):
        raise ValueError(f"redistribution is {stated!r}; write true or false")
    return stated


def _multilabel(names: list[object] | str, tasks: Mapping[str, object]) -> tuple[str, ...]:
    """Return the names of the multi-label tasks after checking that the tasks exist."""
    for name in (known := _strings(names)):
        if name not in tasks:
            raise ValueError(f'multilabel has the task "{name}", which tasks lacks')
    return known


def _class_names(
    names: Mapping[str, Mapping[str, Mapping[str, str]]],
    tasks: Mapping[str, tuple[str, ...] | int | Approximate | None],
    languages: tuple[str, ...],
) -> Mapping[str, Mapping[str, Mapping[str, str]]]:
    """Return ``names`` after checking that their tasks, languages and (if the card lists them) classes exist."""
    for task, by_language in names.items():
        if task not in tasks:
            raise ValueError(f'class_names has the task "{task}", which tasks lacks')
        classes = tasks[task]
        for language, by_class in by_language.items():
            if language not in (*languages, FALLBACK_LANGUAGE):
                raise ValueError(f'class_names.{task} has the language "{language}", which language lacks')
            _strings(list(by_class))
            _strings(list(by_class.values()))
            for name in by_class:
                if isinstance(classes, tuple) and name not in classes:
                    raise ValueError(f'class_names.{task}.{language} has the class "{name}", which tasks.{task} lacks')
    return names


def _hierarchy(
    task: str, tree: Mapping[str, Any] | list[object], tasks: Mapping[str, tuple[str, ...] | int | Approximate | None]
) -> dict[str, tuple[str, ...]]:
    """Return the paths of a tree of names whose leaves are lists of classes, after checking that the classes exist."""
    if task not in tasks:
        raise ValueError(f'hierarchy has the task "{task}", which tasks lacks')
    paths: dict[str, tuple[str, ...]] = {}
    for path in _leaves(tree, ()):
        if path[-1] in paths:
            raise ValueError(f'hierarchy.{task} has the class "{path[-1]}" twice')
        paths[path[-1]] = path
    classes = tasks[task]
    if isinstance(classes, tuple) and (wrong := sorted(set(classes) ^ set(paths))):
        lacking = f"hierarchy.{task}" if wrong[0] in classes else f"tasks.{task}"
        raise ValueError(f'{lacking} lacks the class "{wrong[0]}", which the other of hierarchy and tasks has')
    return paths


def _leaves(tree: Mapping[str, Any] | list[object], above: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    if isinstance(tree, Mapping):
        for name, below in tree.items():
            yield from _leaves(below, (*above, *_strings([name])))
    else:
        yield from ((*above, name) for name in _strings(tree))


def _citation(body: str) -> str:
    """Return the section ``How to cite`` without the marks of a code block."""
    section = CITATION.search(body)
    if section is None:
        return ""
    lines = [line for line in section[1].splitlines() if not line.startswith("```")]
    return textwrap.dedent("\n".join(lines)).strip()


def _number(stated: int | Mapping[str, int]) -> int | Approximate:
    return Approximate(stated["about"], stated["within"]) if isinstance(stated, Mapping) else stated


def _strings(values: list[object] | str) -> tuple[str, ...]:
    if isinstance(values, str):  # the Hub's cards write a single language without a list
        return (values,)
    for value in values:
        if not isinstance(value, str):
            # YAML reads `no` (Norwegian) as false.
            raise ValueError(f"{value!r} is not a text; put it in quotes")
    return tuple(map(str, values))

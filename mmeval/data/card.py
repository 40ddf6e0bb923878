"""Data cards: what a data set is, in the Hub's dataset-card format."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmeval.errors import DataError

_FENCE = "---"
LARGEST = 4 * 1024 * 1024
"""Bytes of a card, prose and all."""
FALLBACK = "en"
"""A language in which a card may name classes though the data has none of it: that of most class names."""


@dataclass(frozen=True)
class About:
    """A number that is only known nearly: ``{about: 968000, within: 500}``."""

    number: int
    within: int

    def __str__(self) -> str:
        """``about 968000``."""
        return f"about {self.number}"


def agrees(says: int | About, has: int) -> bool:
    """Whether a number is what the card says."""
    return abs(has - says.number) <= says.within if isinstance(says, About) else says == has


@dataclass(frozen=True)
class Card:
    """A parsed data card; ``header`` is its whole YAML block, ``body`` its prose."""

    path: Path
    name: str
    languages: tuple[str, ...]
    licence: str
    tasks: Mapping[str, tuple[str, ...] | int | About | None]
    """The classes of each task in the order of their index, or only how many there are; None: only the data tells."""
    splits: Mapping[str, int | About]
    """Examples per split, or of several together: ``train+validation``."""
    images: int | About
    header: Mapping[str, Any]
    body: str
    per_language: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    """Examples by split, then language."""
    shares: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """Per cent of the examples by split, then language; ``within`` is by how many points they may be off."""
    per_class: Mapping[str, Mapping[str, Mapping[str, int]]] = field(default_factory=dict)
    """Examples by task, then split, then class."""
    rejected: int = 0
    """Most rows that may be rejected as bad."""
    fingerprint: str = ""
    """SHA-256 of the prepared data, if somebody has seen it."""
    sources: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """What is known of each source file: ``md5``, ``size``."""
    class_names: Mapping[str, Mapping[str, Mapping[str, str]]] = field(default_factory=dict)
    """What people call the classes, by task, then language, then class."""
    unverified: tuple[str, ...] = ()
    """Dotted paths of the facts that nobody has seen in the real data: a difference only warns."""

    def verified(self, path: str) -> bool:
        """Whether the fact at a dotted path counts as known."""
        return not any(path == one or path.startswith(f"{one}.") for one in self.unverified)


def cards_folder() -> Path:
    """Where the cards of the data sets that mmeval ships are: inside the wheel, or beside the package in a checkout."""
    package = Path(__file__).parents[1]
    installed = package / "data_cards"
    return installed if installed.is_dir() else package.parent / "data_cards"


def read_card(path: Path, variant: str = "") -> Card:
    """Parse the card at ``path``; what it says of ``variant`` takes the place of what it says in general.

    Raises:
        DataError: no file, no YAML header, or a required field is missing.
    """
    from mmeval.safe_yaml import YamlError, load

    try:
        with path.open("rb") as file:
            data = file.read(LARGEST + 1)
        if len(data) > LARGEST:
            raise DataError(f"{path} is larger than {LARGEST:,} bytes; a data card is not.")
        text = data.decode("utf-8").replace("\r\n", "\n").replace("\r", "\n")
    except FileNotFoundError:
        raise DataError(f"There is no data card at {path}.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"The data card {path} can't be read: {error}.") from None
    opening, _, rest = text.partition("\n")
    header_text, fence, body = rest.partition(f"\n{_FENCE}\n")
    if opening.strip() != _FENCE or not fence:
        raise DataError(f"{path}: a data card begins with a YAML header between two lines of ---.")
    try:
        header = load(header_text)
        return _card(
            path, header, header["mmeval"] | ((header["mmeval"].get("variants") or {}).get(variant) or {}), body
        )
    except YamlError as error:
        raise DataError(f"{path}: the YAML header can't be read: {error}.") from None
    except KeyError as error:
        raise DataError(f"{path}: the YAML header lacks the field {error}.") from None
    except (TypeError, AttributeError, ValueError) as error:
        raise DataError(f"{path}: the YAML header is not as it should be: {error}.") from None


def _card(path: Path, header: Mapping[str, Any], ours: Mapping[str, Any], body: str) -> Card:
    shares = dict(ours.get("shares", {}))
    languages = _texts(header["language"])
    tasks = {name: _classes(known) for name, known in ours["tasks"].items()}
    return Card(
        path=path,
        name=ours["name"],
        languages=languages,
        licence=header["license"],
        tasks=tasks,
        splits={name: _number(known) for name, known in ours["splits"].items()},
        images=_number(ours["images"]),
        per_language=ours.get("per_language", {}),
        shares=shares,
        per_class=ours.get("per_class", {}),
        rejected=ours.get("rejected", 0),
        fingerprint=ours.get("fingerprint", ""),
        sources=ours.get("sources", {}),
        class_names=_class_names(ours.get("class_names", {}), tasks, languages),
        unverified=_texts(ours.get("unverified", [])),
        header=header,
        body=body,
    )


def _classes(known: list[object] | int | Mapping[str, int] | None) -> tuple[str, ...] | int | About | None:
    if known is None:
        return None
    return _texts(known) if isinstance(known, list) else _number(known)


def _class_names(
    named: Mapping[str, Mapping[str, Mapping[str, str]]],
    tasks: Mapping[str, tuple[str, ...] | int | About | None],
    languages: tuple[str, ...],
) -> Mapping[str, Mapping[str, Mapping[str, str]]]:
    """Names of classes, held against tasks, languages and, where the card lists them, classes."""
    for task, by_language in named.items():
        if task not in tasks:
            raise ValueError(f'class_names has the task "{task}", which tasks lacks')
        classes = tasks[task]
        for language, names in by_language.items():
            if language not in (*languages, FALLBACK):
                raise ValueError(f'class_names.{task} has the language "{language}", which language lacks')
            _texts(list(names))
            _texts(list(names.values()))
            for name in names:
                if isinstance(classes, tuple) and name not in classes:
                    raise ValueError(f'class_names.{task}.{language} has the class "{name}", which tasks.{task} lacks')
    return named


def _number(known: int | Mapping[str, int]) -> int | About:
    return About(known["about"], known["within"]) if isinstance(known, Mapping) else known


def _texts(values: list[object]) -> tuple[str, ...]:
    for value in values:
        if not isinstance(value, str):
            # YAML reads `no` (Norwegian) as false.
            raise ValueError(f"{value!r} is no text, put it in quotes")
    return tuple(map(str, values))

"""Data cards: what a data set is, in the Hub's dataset-card format, and whether the data agrees."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmeval.errors import DataError

if TYPE_CHECKING:
    from mmeval.data.store import Store

_FENCE = "---"


@dataclass(frozen=True)
class Card:
    """A parsed data card; ``header`` is its whole YAML block, ``body`` its prose."""

    path: Path
    name: str
    languages: tuple[str, ...]
    licence: str
    tasks: Mapping[str, tuple[str, ...]]
    splits: Mapping[str, int]
    """Examples per split."""
    images: int
    header: Mapping[str, Any]
    body: str


def cards_folder() -> Path:
    """Where the cards of the data sets that mmeval ships are: inside the wheel, or beside the package in a checkout."""
    package = Path(__file__).parents[1]
    installed = package / "data_cards"
    return installed if installed.is_dir() else package.parent / "data_cards"


def read_card(path: Path) -> Card:
    """Parse the card at ``path``.

    Raises:
        DataError: no file, no YAML header, or a required field is missing.
    """
    import yaml

    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise DataError(f"There is no data card at {path}.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"The data card {path} can't be read: {error}.") from None
    opening, _, rest = text.partition("\n")
    header_text, fence, body = rest.partition(f"\n{_FENCE}\n")
    if opening.strip() != _FENCE or not fence:
        raise DataError(f"{path}: a data card begins with a YAML header between two lines of ---.")
    try:
        header = yaml.safe_load(header_text)
        ours = header["mmeval"]
        return Card(
            path=path,
            name=ours["name"],
            languages=_texts(header["language"]),
            licence=header["license"],
            tasks={name: _texts(classes) for name, classes in ours["tasks"].items()},
            splits=dict(ours["splits"]),
            images=ours["images"],
            header=header,
            body=body,
        )
    except yaml.YAMLError as error:
        raise DataError(f"{path}: the YAML header can't be read: {error}") from None
    except KeyError as error:
        raise DataError(f"{path}: the YAML header lacks the field {error}.") from None
    except (TypeError, AttributeError, ValueError) as error:
        raise DataError(f"{path}: the YAML header is not as it should be: {error}.") from None


def _texts(values: list[object]) -> tuple[str, ...]:
    for value in values:
        if not isinstance(value, str):
            # YAML reads `no` (Norwegian) as false.
            raise ValueError(f"{value!r} is no text, put it in quotes")
    return tuple(map(str, values))


def differences(card: Card, store: Store) -> list[str]:
    """In what a prepared data set is not as its card says; empty if in nothing."""
    found: list[str] = []

    def compare(what: str, says: object, has: object) -> None:
        if says != has:
            found.append(f"{what}: the card says {says}, the data has {has}")

    compare("languages", sorted(card.languages), sorted(store.languages))
    compare("tasks", sorted(card.tasks), sorted(task.name for task in store.tasks))
    for task in store.tasks:
        compare(f"classes of {task.name}", card.tasks.get(task.name), task.classes)
    for split in sorted({*card.splits, *store.split_sizes}):
        compare(f"examples in {split}", card.splits.get(split, 0), store.split_sizes.get(split, 0))
    compare("images", card.images, store.image_count)
    return found

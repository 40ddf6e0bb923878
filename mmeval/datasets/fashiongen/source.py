"""Fashion-Gen: product images from several sides, with stylists' descriptions and five tasks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from mmeval.api.source import Example
from mmeval.api.task import Task
from mmeval.data.card import cards_folder, read_card
from mmeval.data.split import assign_split
from mmeval.datasets.fashiongen.files import PRICE, PRODUCT, TEXTS, FashionGenFile
from mmeval.errors import DataError

if TYPE_CHECKING:
    from mmeval.api.source import ImageData

CARD = cards_folder() / "fashiongen.md"
FILES = {"train": "fashiongen_256_256_train.h5", "validation": "fashiongen_256_256_validation.h5"}
"""The file called validation is what all published results test on; the test split was never public."""
TASKS = ("category", "subcategory", "gender", "season", "department")
RULES = "fashiongen-2"
"""Names the rules of this module and of the reader; other rules are another Store."""
SALT, SHARES = "fashiongen-validation-1", {"validation": 0.05, "train": 0.95}
VARIANTS = {
    "category45": "only the 45 categories that the test split has",
    "category41": "only the 41 categories of which the test split has 10 images or more",
    "subcategory-as-found": "every subcategory that the files have, in place of the 121 known ones",
}
GET = (
    "Fashion-Gen can't be downloaded for you: it has terms of its own, research only. Its own site is gone. It is two "
    "files, fashiongen_256_256_train.h5 (13.3 GB) and fashiongen_256_256_validation.h5 (1.66 GB), in copies kept by "
    "others: Google Drive 1yR-_NJ6CxCYB2i8UECEB2doNssj5J8Li (train), 1R4JtSAtbbOi9mByBj-KpchNf9nDn6BO1 (validation); "
    "we have not checked these. Put both into one folder, then type `mmeval data prepare fashiongen --source FOLDER`."
)
_METADATA = ("name", "brand", "composition", "season", "pose")


class _Row(NamedTuple):
    """A row of the files, by the names of its columns."""

    description: str
    category: str
    subcategory: str
    name: str
    brand: str
    composition: str
    department: str
    gender: str
    season: str
    pose: str
    product: str
    price: str


class FashionGenSource:
    """The source of ``fashiongen``: one example per image; the text of a product stands with each of its views."""

    def __init__(self, folder: Path, variant: str, card: Path = CARD) -> None:
        """Open both files; no row is read yet.

        Raises:
            DataError: one is not there, or is not as it must be.
        """
        self._card, self._variant = card, variant
        self._files = {split: FashionGenFile(folder / name) for split, name in _paths(folder).items()}

    @cached_property
    def identity(self) -> Mapping[str, str]:
        """Names, sizes and times of change of the files, the same for each variant: they share the images."""
        return {"rules": RULES, **{file.path.name: file.state for file in self._files.values()}}

    @property
    def size(self) -> int:
        """Number of images."""
        return sum(file.rows for file in self._files.values())

    @cached_property
    def tasks(self) -> tuple[Task, ...]:
        """Categories and subcategories as the card has them, all others as the files do, sorted."""
        return tuple(Task(name, self._listed(name) or self._found[name]) for name in TASKS)

    def images(self) -> Iterator[tuple[str, ImageData | Callable[[], ImageData]]]:
        """Yield each image's file and row, ``train/0``, and what reads it."""
        for name, file in self._files.items():
            for row, read in file.images():
                yield f"{name}/{row}", read

    def examples(self) -> Iterator[Example]:
        """Yield one example per row, in the order of the files."""
        chosen = {task.name: frozenset(task.classes) for task in self.tasks}
        for name, number, row in self._rows():
            split = _split(name, row.product)
            labels: dict[str, str] = {}
            unknown: dict[str, str] = {}
            left_out: dict[str, str] = {}
            for task in TASKS:
                label: str = getattr(row, task)
                if label in chosen[task]:
                    labels[task] = label
                elif label not in self._known.get(task, ()):
                    unknown[task] = label
                else:
                    left_out[task] = label
            seen = self._in_train[row.product] > (split == "train")
            yield Example(
                id=f"{name}/{number}",
                text=row.description,
                language="en",
                split=split,
                labels=labels,
                image=f"{name}/{number}",
                cluster=f"product {row.product}",
                slices={"pose": row.pose, "product_seen_in_train": "yes" if seen else "no"},
                metadata={
                    **{column: getattr(row, column) for column in _METADATA},
                    "msrpUSD": row.price,
                    "productID": row.product,
                },
                unknown_labels=unknown,
                left_out_labels=left_out,
                where=f"{FILES[name]}, row {number}",
            )

    def _rows(self) -> Iterator[tuple[str, int, _Row]]:
        for name, file in self._files.items():
            for number, cells in enumerate(file.columns((*TEXTS, PRODUCT, PRICE))):
                yield name, number, _Row(*cells)

    def _listed(self, task: str) -> tuple[str, ...] | None:
        """The classes that the card has for this variant; None where the files decide."""
        if task not in self._known:
            return None
        names = read_card(self._card, self._variant).tasks[task]
        return names if isinstance(names, tuple) else None

    @cached_property
    def _known(self) -> Mapping[str, frozenset[str]]:
        """All names of categories and subcategories: a variant without one of them leaves its rows without a label."""
        names = read_card(self._card).tasks
        return {task: frozenset(known) for task in TASKS[:2] if isinstance(known := names[task], tuple)}

    @cached_property
    def _found(self) -> Mapping[str, tuple[str, ...]]:
        """The names that occur in the files, sorted."""
        found: dict[str, set[str]] = {task: set() for task in TASKS}
        for file in self._files.values():
            for labels in file.columns([f"input_{task}" for task in TASKS]):
                for task, label in zip(TASKS, labels, strict=True):
                    found[task].add(label)
        return {task: tuple(sorted(names - {""})) for task, names in found.items()}

    @cached_property
    def _in_train(self) -> Counter[str]:
        """How many rows of the training split a product has."""
        products = (product for (product,) in self._files["train"].columns((PRODUCT,)))
        return Counter(product for product in products if _split("train", product) == "train")


def _paths(folder: Path) -> dict[str, str]:
    if folder.is_file():
        raise DataError(f"{folder} is a file; give the folder that has {' and '.join(FILES.values())}.")
    if not folder.is_dir():
        raise DataError(f"There is no folder {folder}.")
    if missing := [name for name in FILES.values() if not (folder / name).is_file()]:
        raise DataError(f"{folder} lacks {' and '.join(missing)}; put both files of Fashion-Gen there.")
    return FILES


def _split(name: str, product: str) -> str:
    """Validation is cut out of the training file by product: it hangs on nothing else, neither row nor order."""
    if name == "validation":
        return "test"
    return assign_split(product, SHARES, SALT)

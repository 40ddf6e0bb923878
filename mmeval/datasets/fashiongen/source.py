"""Fashion-Gen: product images from several views, with descriptions by stylists and five tasks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from mmeval import DataError, Example, ImageData, Task, assign_split, cards_folder, read_card
from mmeval.datasets.fashiongen.files import PRICE, PRODUCT, TEXTS, FashionGenFile

CARD = cards_folder() / "fashiongen.md"
FILES = {"train": "fashiongen_256_256_train.h5", "validation": "fashiongen_256_256_validation.h5"}
"""File of each part. All published results test on the file called validation; the test split was never public."""
TASKS = ("category", "subcategory", "gender", "season", "department")
RULES = "fashiongen-2"
"""Version of the rules in this package; part of the identity, so that other rules make another Store."""
SALT, SHARES = "fashiongen-validation-1", {"validation": 0.05, "train": 0.95}
"""How the products of the training file are divided."""
VARIANTS = {
    "category45": "only the 45 categories that the test split has",
    "category41": "only the 41 categories of which the test split has 10 images or more",
    "subcategory-as-found": "every subcategory that the files have, instead of the 121 known ones",
}
GET = (
    "mmeval can't download Fashion-Gen: its own terms allow research only, and its site is gone. It consists of two "
    "files, fashiongen_256_256_train.h5 (13.3 GB) and fashiongen_256_256_validation.h5 (1.66 GB), in copies kept by "
    "others: Google Drive 1yR-_NJ6CxCYB2i8UECEB2doNssj5J8Li (train), 1R4JtSAtbbOi9mByBj-KpchNf9nDn6BO1 (validation); "
    "we have not checked these. Put both into one folder, then type `mmeval data prepare fashiongen --source FOLDER`."
)
_METADATA = ("name", "brand", "composition", "season", "pose")


class _Row(NamedTuple):
    """A row of the files."""

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
    """The source of ``fashiongen``: one example per image; all views of a product have the same text."""

    def __init__(self, folder: Path, variant: str, card: Path = CARD) -> None:
        """Open both files; no row is read.

        Raises:
            DataError: a file is missing, damaged, or has another format.
        """
        self._card, self._variant = card, variant
        self._files = {split: FashionGenFile(folder / name) for split, name in _paths(folder).items()}

    @cached_property
    def identity(self) -> Mapping[str, str]:
        """Names, sizes and modification times of the files; the same for all variants, which share the images."""
        return {"rules": RULES, **{file.path.name: file.state for file in self._files.values()}}

    @property
    def size(self) -> int:
        """Number of images."""
        return sum(file.rows for file in self._files.values())

    @cached_property
    def tasks(self) -> tuple[Task, ...]:
        """The five tasks: categories and subcategories of the card; the other classes as found in the files, sorted."""
        return tuple(Task(name, self._classes_of_card(name) or self._classes_of_files[name]) for name in TASKS)

    def images(self) -> Iterator[tuple[str, ImageData | Callable[[], ImageData]]]:
        """Yield the key of each image, such as ``train/0`` (file and row), and a function that reads it."""
        for name, file in self._files.items():
            for row, read in file.images():
                yield f"{name}/{row}", read

    def examples(self) -> Iterator[Example]:
        """Yield one example per row, in the order of the files."""
        classes = {task.name: frozenset(task.classes) for task in self.tasks}
        for name, number, row in self._rows():
            split = split_of(name, row.product)
            labels: dict[str, str] = {}
            unknown: dict[str, str] = {}
            left_out: dict[str, str] = {}
            for task in TASKS:
                label: str = getattr(row, task)
                if label in classes[task]:
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
        """Yield the key of the file, the row number and the row, over both files."""
        for name, file in self._files.items():
            for number, cells in enumerate(file.columns((*TEXTS, PRODUCT, PRICE))):
                yield name, number, _Row(*cells)

    def _classes_of_card(self, task: str) -> tuple[str, ...] | None:
        """Return the classes that the card lists for this variant; None if the files decide."""
        if task not in self._known:
            return None
        names = read_card(self._card, self._variant).tasks[task]
        return names if isinstance(names, tuple) else None

    @cached_property
    def _known(self) -> Mapping[str, frozenset[str]]:
        """All categories and subcategories of the card; those that the variant leaves out are not unknown labels."""
        names = read_card(self._card).tasks
        return {task: frozenset(known) for task in TASKS[:2] if isinstance(known := names[task], tuple)}

    @cached_property
    def _classes_of_files(self) -> Mapping[str, tuple[str, ...]]:
        """Classes by task that occur in the files, sorted."""
        names_of: dict[str, set[str]] = {task: set() for task in TASKS}
        for file in self._files.values():
            for labels in file.columns([f"input_{task}" for task in TASKS]):
                for task, label in zip(TASKS, labels, strict=True):
                    names_of[task].add(label)
        return {task: tuple(sorted(names - {""})) for task, names in names_of.items()}

    @cached_property
    def _in_train(self) -> Counter[str]:
        """Number of rows in the training split by product."""
        products = (product for (product,) in self._files["train"].columns((PRODUCT,)))
        return Counter(product for product in products if split_of("train", product) == "train")


def _paths(folder: Path) -> dict[str, str]:
    """Check that the folder has both files, and return their names.

    Raises:
        DataError: the folder or a file is missing.
    """
    if folder.is_file():
        raise DataError(f"{folder} is a file; give the folder that has {' and '.join(FILES.values())}.")
    if not folder.is_dir():
        raise DataError(f"There is no folder {folder}.")
    if missing := [name for name in FILES.values() if not (folder / name).is_file()]:
        raise DataError(f"{folder} lacks {' and '.join(missing)}; put both files of Fashion-Gen there.")
    return FILES


def split_of(name: str, product: str) -> str:
    """Return the split of a row: validation is a part of the training file, selected by product alone."""
    if name == "validation":
        return "test"
    return assign_split(product, SHARES, SALT)

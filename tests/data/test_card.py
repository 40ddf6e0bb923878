"""Data cards: reading, clear errors, and comparison with the data."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mmeval.data.card import MAX_BYTES, cards_folder, read_card
from mmeval.data.differences import differences
from mmeval.data.store import Store
from mmeval.errors import DataError

HEADER = (
    "language: [en]\nlicense: cc0-1.0\nmmeval:\n  name: n\n  tasks: {t: [a, b]}\n  splits: {test: 1}\n  images: 1\n"
)


def complaint(path: Path) -> str:
    with pytest.raises(DataError) as caught:
        read_card(path)
    return str(caught.value)


def test_a_card_is_read(tmp_path: Path) -> None:
    path = tmp_path / "card.md"
    path.write_text(f"---\n{HEADER}extra: 1\n---\n\n# Title\n---\nmore\n", encoding="utf-8")
    card = read_card(path)
    assert (card.name, card.languages, card.licence) == ("n", ("en",), "cc0-1.0")
    assert (card.tasks, card.splits, card.images) == ({"t": ("a", "b")}, {"test": 1}, 1)
    assert card.header["extra"] == 1
    assert card.body == "\n# Title\n---\nmore\n"


def test_a_card_may_have_a_byte_order_mark_windows_line_ends_and_one_language(tmp_path: Path) -> None:
    """As the Hub reads cards."""
    path = tmp_path / "card.md"
    text = f"---\n{HEADER}---\nProse.\n".replace("language: [en]", "language: en").replace("\n", "\r\n")
    path.write_bytes(b"\xef\xbb\xbf" + text.encode())
    card = read_card(path)
    assert (card.name, card.languages, card.body) == ("n", ("en",), "Prose.\r\n")


def test_description_and_defects_are_plain_text(tmp_path: Path) -> None:
    path = tmp_path / "card.md"
    prose = (
        "# shop\n\nProducts of a **shop**, see [the site](https://x.org):\n`a_b` * 2.\n\nMore.\n\n"
        "## Known defects and traps\n\n- **Duplicates.** Some images\n  occur twice.\n- No prices.\n\n"
        "## How to cite\n\n- not a defect\n"
    )
    path.write_text(f"---\n{HEADER}---\n\n{prose}", encoding="utf-8")
    card = read_card(path)
    assert card.description == "Products of a shop, see the site: a_b * 2."
    assert card.defects == ("Duplicates. Some images occur twice.", "No prices.")
    path.write_text(f"---\n{HEADER}---\n", encoding="utf-8")
    assert (read_card(path).description, read_card(path).defects) == ("", ())


def test_a_header_that_is_no_mapping_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "card.md"
    path.write_text("---\n- a\n---\n", encoding="utf-8")
    assert complaint(path) == f"{path}: the YAML header is not valid: repo card metadata block should be a dict."


@pytest.mark.parametrize("header", ["a: &a [*a]\n", "x: " + "[" * 3000, "x: " + "y" * 200_000])
def test_a_header_that_is_a_yaml_bomb_is_refused(header: str, tmp_path: Path) -> None:
    """It took 35 s and 621 MB, or raised a RecursionError."""
    path = tmp_path / "card.md"
    path.write_text(f"---\n{HEADER}{header}\n---\n", encoding="utf-8")
    message = complaint(path)
    assert message.startswith(f"{path}: the YAML header can't be read: ")
    assert len(message.splitlines()) == 1
    assert len(message) < 400


def test_a_card_that_is_too_large_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "card.md"
    path.write_text(f"---\n{HEADER}---\n" + "x" * MAX_BYTES)
    assert complaint(path) == f"{path} is larger than {MAX_BYTES:,} bytes; no data card is."


def test_a_missing_card_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "card.md"
    assert complaint(path) == f"There is no data card at {path}."


@pytest.mark.parametrize("text", ["", "# Title\n", f"---\n{HEADER}", f"{HEADER}---\n"])
def test_a_card_without_a_header_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "card.md"
    path.write_text(text, encoding="utf-8")
    assert complaint(path) == f"{path}: a data card begins with a YAML header between two lines of ---."


def test_invalid_yaml_is_reported_with_its_place(tmp_path: Path) -> None:
    path = tmp_path / "card.md"
    path.write_text("---\nlanguage: [en\n---\n", encoding="utf-8")
    message = complaint(path)
    assert message.startswith(f"{path}: the YAML header can't be read: while parsing a flow sequence")
    assert "line 1, column 11" in message


@pytest.mark.parametrize("field", ["language", "license", "mmeval", "name", "tasks", "splits", "images"])
def test_a_missing_field_is_reported(tmp_path: Path, field: str) -> None:
    path = tmp_path / "card.md"
    header = re.sub(rf"^ *{field}:", f"x{field}:" if field == "mmeval" else f"# {field}:", HEADER, flags=re.MULTILINE)
    path.write_text(f"---\n{header}---\n", encoding="utf-8")
    assert complaint(path) == f"{path}: the YAML header lacks the field '{field}'."


@pytest.mark.parametrize(
    ("change", "lines"),
    [
        ({}, []),
        ({"languages": ("ja", "en", "de")}, []),
        ({"languages": ("de", "en")}, ["languages: the card says ['de', 'en'], the data has ['de', 'en', 'ja']"]),
        ({"images": 7}, ["images: the card says 7, the data has 44"]),
        (
            {"splits": {"train": 72, "test": 41, "extra": 3}},
            [
                "examples in extra: the card says 3, the data has 0",
                "examples in test: the card says 41, the data has 42",
                "examples in validation: the card says 0, the data has 18",
            ],
        ),
        (
            {"tasks": {"colour": ("green", "red", "blue"), "shape": ("round",)}},
            [
                "tasks: the card says ['colour', 'shape'], the data has ['colour', 'shade']",
                "classes of colour are in another order than the card's",
            ],
        ),
    ],
)
def test_each_difference_between_card_and_data_is_listed(
    store: Store, tmp_path: Path, change: dict[str, Any], lines: list[str]
) -> None:
    card = read_card(tmp_path / "colours.md")
    assert [difference.text for difference in differences(replace(card, **change), store)] == lines


def test_the_shipped_card_has_the_published_numbers() -> None:
    card = read_card(cards_folder() / "emoji14.md")
    assert (card.name, len(card.languages)) == ("emoji14", 14)
    assert {task: len(classes) for task, classes in card.tasks.items()} == {"group": 9, "subgroup": 98}
    assert (card.images, sum(card.splits.values())) == (1906, 26684)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("language: [de]", "language: [no, de]", "the YAML header is not valid: False is not a text"),
        ("license", "licence", "the YAML header lacks the field 'license'."),
    ],
)
def test_values_that_yaml_misreads_are_reported(tmp_path: Path, old: str, new: str, message: str) -> None:
    """YAML reads `no`, the code of Norwegian, as false."""
    path = tmp_path / "card.md"
    good = (
        "---\nlanguage: [de]\nlicense: mit\n"
        "mmeval: {name: d, tasks: {t: [a]}, splits: {train: 1}, images: 1}\n---\n\nProse.\n"
    )
    path.write_text(good)
    assert read_card(path).languages == ("de",)
    path.write_text(good.replace(old, new))
    with pytest.raises(DataError) as caught:
        read_card(path)
    assert message in str(caught.value)


def test_a_card_that_is_not_utf_8_is_refused(tmp_path: Path) -> None:
    (tmp_path / "card.md").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match="can't be read"):
        read_card(tmp_path / "card.md")


def named(tmp_path: Path, names: str, task: str = "[a, b]") -> Path:
    path = tmp_path / "card.md"
    header = HEADER.replace("[a, b]", task).replace("language: [en]", "language: [cs, de]")
    path.write_text(f"---\n{header}  class_names: {names}\n---\n", encoding="utf-8")
    return path


def test_a_card_may_name_classes_in_its_languages_and_in_english(tmp_path: Path) -> None:
    """Classes may be left out; English is the fallback of models for any language."""
    card = read_card(named(tmp_path, "{t: {cs: {a: první, b: druhý}, en: {b: second}}}"))
    assert card.class_names == {"t": {"cs": {"a": "první", "b": "druhý"}, "en": {"b": "second"}}}
    assert read_card(named(tmp_path, "{t: {de: {zz: z}}}", task="191")).class_names == {"t": {"de": {"zz": "z"}}}


@pytest.mark.parametrize(
    ("names", "reason"),
    [
        ("{u: {de: {a: erste}}}", 'class_names has the task "u", which tasks lacks.'),
        ("{t: {fr: {a: premier}}}", 'class_names.t has the language "fr", which language lacks.'),
        ("{t: {de: {c: dritte}}}", 'class_names.t.de has the class "c", which tasks.t lacks.'),
        ("{t: {de: {a: no}}}", "False is not a text; put it in quotes."),
    ],
)
def test_class_names_of_unknown_tasks_languages_and_classes_are_refused(
    tmp_path: Path, names: str, reason: str
) -> None:
    """A misspelt class would have no name in one language, whose scores would suffer unnoticed."""
    path = named(tmp_path, names)
    assert complaint(path) == f"{path}: the YAML header is not valid: {reason}"


def test_class_names_of_classes_that_the_data_lacks_are_a_difference(store: Store, tmp_path: Path) -> None:
    """For cards that only count the classes, such as GLAMI-1M's."""
    card = read_card(tmp_path / "colours.md")
    names = {"colour": {"de": {"red": "rot", "rde": "rot"}}}
    listed = differences(replace(card, class_names=names), store)
    assert [difference.text for difference in listed] == ["class_names of colour: the data lacks rde"]


def in_tree(tmp_path: Path, tree: str, task: str = "[a, b]") -> Path:
    path = tmp_path / "card.md"
    path.write_text(f"---\n{HEADER.replace('[a, b]', task)}  hierarchy: {tree}\n---\n", encoding="utf-8")
    return path


def test_a_card_may_give_the_classes_as_a_tree(tmp_path: Path) -> None:
    card = read_card(in_tree(tmp_path, "{t: {top: {middle: [a]}, other: [b]}}"))
    assert card.hierarchy == {"t": {"a": ("top", "middle", "a"), "b": ("other", "b")}}
    assert read_card(in_tree(tmp_path, "{t: [a, b]}")).hierarchy == {"t": {"a": ("a",), "b": ("b",)}}
    assert read_card(in_tree(tmp_path, "{t: {top: [x]}}", task="191")).hierarchy == {"t": {"x": ("top", "x")}}


@pytest.mark.parametrize(
    ("tree", "reason"),
    [
        ("{u: {top: [a, b]}}", 'hierarchy has the task "u", which tasks lacks.'),
        ("{t: {top: [a]}}", 'hierarchy.t lacks the class "b", which the other of hierarchy and tasks has.'),
        ("{t: {top: [a, b, c]}}", 'tasks.t lacks the class "c", which the other of hierarchy and tasks has.'),
        ("{t: {top: [a, b], other: [a]}}", 'hierarchy.t has the class "a" twice.'),
        ("{t: {no: [a, b]}}", "False is not a text; put it in quotes."),
    ],
)
def test_a_tree_of_other_classes_is_refused(tmp_path: Path, tree: str, reason: str) -> None:
    path = in_tree(tmp_path, tree)
    assert complaint(path) == f"{path}: the YAML header is not valid: {reason}"


def test_classes_of_the_data_without_a_place_in_the_tree_are_a_difference(store: Store, tmp_path: Path) -> None:
    card = read_card(tmp_path / "colours.md")
    listed = differences(replace(card, hierarchy={"colour": {"red": ("warm", "red"), "blue": ("cold", "blue")}}), store)
    assert [difference.text for difference in listed] == ["hierarchy of colour: the card lacks green"]


def test_the_tree_of_emoji14_is_that_of_its_groups() -> None:
    card = read_card(cards_folder() / "emoji14.md")
    paths = card.hierarchy["subgroup"]
    assert list(dict.fromkeys(path[0] for path in paths.values())) == list(card.tasks["group"])
    assert paths["animal-amphibian"] == ("Animals & Nature", "animal-amphibian")


def test_the_shipped_card_names_every_group_in_every_language() -> None:
    card = read_card(cards_folder() / "emoji14.md")
    groups = card.tasks["group"]
    assert isinstance(groups, tuple)
    assert set(card.class_names["group"]) == set(card.languages)
    for names in card.class_names["group"].values():
        assert set(names) == set(groups)
        assert len(set(names.values())) == len(groups)
    assert card.class_names["group"]["es"]["Animals & Nature"] == "animales y naturaleza"


def test_a_variant_may_have_its_own_languages(tmp_path: Path) -> None:
    """With fewer languages than the whole data set."""
    path = tmp_path / "card.md"
    header = HEADER.replace("language: [en]", "language: [cs, de, en]")
    path.write_text(f"---\n{header}  variants: {{small: {{language: [cs]}}}}\n---\n", encoding="utf-8")
    assert read_card(path).languages == ("cs", "de", "en")
    assert read_card(path, "small").languages == ("cs",)

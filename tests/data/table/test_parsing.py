"""Parsing of cells, and the reasons for rejecting a row."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mmeval.api.source import Example
from mmeval.errors import UserError
from tests.data.table.shop import read, texts, write

GOOD = [{"text": f"text {number}", "label": "ab"[number % 2], "lang": "de"} for number in range(40)]


def row(folder: Path, cells: dict[str, Any], columns: str = "", **options: str) -> Example | str:
    """The example of one more row of a table of good ones, or why it is rejected."""
    path = folder / "shop.jsonl"
    path.write_text("\n".join(map(json.dumps, [*GOOD, cells])))
    examples, aside = read(path, columns, **options)
    return aside[0].reason if aside else examples[-1]


@pytest.mark.parametrize(
    ("cell", "language"),
    [("de", "de"), ("en_US", "en"), ("PT-br", "pt"), ("zh-Hant-TW", "zh"), (" sk ", "sk"), (None, "und"), ("", "und")],
)
def test_languages_are_codes_without_countries(cell: str | None, language: str, tmp_path: Path) -> None:
    """Otherwise one language would have two rows in the results."""
    parsed = row(tmp_path, {"text": "x", "label": "a", "lang": cell})
    assert isinstance(parsed, Example)
    assert parsed.language == language


@pytest.mark.parametrize("cell", ["Klingonish", "d", "de DE", "12", "xx", "zz", "cat_food"])
def test_unknown_languages_are_rejected_with_the_reason(cell: str, tmp_path: Path) -> None:
    reason = row(tmp_path, {"text": "x", "label": "a", "lang": cell})
    assert reason == f'the language "{cell}" is neither an ISO 639 code such as de or pt-BR nor a known name'


@pytest.mark.parametrize("cell", ["all", "ALL", "gap", "macro", "worst", "Allar"])
def test_reserved_words_of_the_score_table_are_rejected_as_languages(cell: str, tmp_path: Path) -> None:
    """``all`` and ``gap`` are ISO 639-3; the scores of such a language would be mixed with those of all languages."""
    reason = row(tmp_path, {"text": "x", "label": "a", "lang": cell})
    assert reason == (
        f'the language "{cell}" is a reserved word of the score table; write a code for local use instead, such as qaa'
    )
    kept = row(tmp_path, {"text": "x", "label": "a", "lang": "qaa"})
    assert isinstance(kept, Example)
    assert kept.language == "qaa"


@pytest.mark.parametrize(
    ("cell", "language"), [("cz", "cs"), ("GR", "el"), ("Latvian", "lv"), ("Español", "es"), ("deu", "de")]
)
def test_names_and_country_codes_are_corrected_with_one_line(
    cell: str, language: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    parsed = row(tmp_path, {"text": "x", "label": "a", "lang": cell})
    assert isinstance(parsed, Example)
    assert parsed.language == language
    err = capsys.readouterr().err
    assert err.count(f"Languages of shop.jsonl: corrected {cell} -> {language} (") == 1


def test_the_language_option_applies_to_rows_without_a_language(tmp_path: Path) -> None:
    path = write(tmp_path / "shop.csv", texts())
    assert {example.language for example in read(path, language="de_AT")[0]} == {"de"}
    assert {example.language for example in read(path)[0]} == {"und"}
    parsed = row(tmp_path, {"text": "x", "label": "a"}, "language=lang", language="fr")
    assert isinstance(parsed, Example)
    assert parsed.language == "fr"
    with pytest.raises(UserError) as error:
        read(path, language="all")
    assert str(error.value).startswith('--language all: the language "all" is a reserved word of the score table;')
    assert {example.language for example in read(path, language="German")[0]} == {"de"}


@pytest.mark.parametrize(
    ("cells", "reason"),
    [
        ({"text": "x", "label": None}, "no label in label"),
        ({"text": "x", "label": " "}, "no label in label"),
        ({"text": " ", "label": "a"}, "neither text nor image"),
        ({"text": "x", "label": [{"a": 1}]}, "label holds an object, not a text"),
        ({"text": {"de": "x"}, "label": "a"}, "text holds an object, not a text"),
    ],
)
def test_unusable_rows_are_rejected_with_the_reason(cells: dict[str, Any], reason: str, tmp_path: Path) -> None:
    assert row(tmp_path, cells) == reason


def test_numbers_and_lists_become_texts(tmp_path: Path) -> None:
    """pandas writes 1 as 1.0 if a cell of the column is empty, which must not become another class."""
    parsed = row(tmp_path, {"text": ["a", None, " b "], "label": 1.0, "lang": "de", "n": [7]}, "id=n,text=text")
    assert isinstance(parsed, Example)
    assert (parsed.text, parsed.labels, parsed.id) == ("a b", {"label": "1"}, "7")
    parsed = row(tmp_path, {"text": 2.5, "label": True, "lang": float("nan")})
    assert isinstance(parsed, Example)
    assert (parsed.text, parsed.labels, parsed.language) == ("2.5", {"label": "True"}, "und")


def test_labels_of_some_tasks_may_be_missing(tmp_path: Path) -> None:
    rows = [
        {
            "text": f"x{number}",
            "label": "ab"[number % 2],
            "season": ("", "s", "w")[number % 3],
            "brand": "",
            "price": "9",
        }
        for number in range(40)
    ]
    examples, _ = read(write(tmp_path / "a.csv", rows), "label=label+season,slice=brand,metadata=price")
    assert examples[0].labels == {"label": "a"}
    assert examples[1].labels == {"label": "b", "season": "s"}
    assert (examples[0].slices, examples[0].metadata) == ({"brand": "none"}, {"price": "9"})


def test_an_unknown_split_is_an_error(tmp_path: Path) -> None:
    """Rejecting all rows of "heldout" would silently lose the test split."""
    rows = [cells | {"split": "train" if number % 2 else "heldout"} for number, cells in enumerate(texts())]
    path = write(tmp_path / "shop.csv", rows)
    with pytest.raises(UserError) as error:
        read(path)
    assert str(error.value) == (
        'shop.csv, row 1: the split "heldout" is none of train, validation and test (or val, dev, eval); '
        "write one of them, or create new splits with --columns split=."
    )
    assert len(read(path, "split=")[0]) == 40
    rows[3]["split"], rows[4]["split"] = "", "test"
    rows = [cells | {"split": cells["split"].replace("heldout", "Test")} for cells in rows]
    examples, aside = read(write(path, rows))
    assert [rejected.reason for rejected in aside] == ["no split in split"]
    assert {example.split for example in examples} == {"train", "validation", "test"}

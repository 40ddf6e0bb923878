"""Columns are told by what was said, then by their names; nothing else is guessed."""

from __future__ import annotations

from pathlib import Path

import pytest

from mmeval.data.table.columns import guessed, resolve
from mmeval.data.table.options import parse_columns
from mmeval.errors import UserError
from tests.data.table.shop import products, source, texts, write


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (
            ["photo", "title", "description", "lang", "category", "sku"],
            "image=photo,text=title+description,language=lang,label=category,id=sku",
        ),
        (
            ["Image_URL", "Product-Name", "Locale", "Product Type", "ASIN"],
            "image=Image_URL,text=Product-Name,language=Locale,label=Product Type,id=ASIN",
        ),
        (["file_name", "text", "label", "split"], "image=file_name,text=text,label=label,split=split"),
        (["masterCategory", "label", "text", "price"], "text=text,label=label"),
    ],
)
def test_usual_names_are_enough(names: list[str], expected: str) -> None:
    """Else everybody must type --columns for a table that any person understands."""
    assert str(resolve(parse_columns(""), names, "shop.csv")) == expected


def test_what_is_said_goes_before_names_and_can_be_nothing() -> None:
    """Else a wrong guess can't be put right."""
    names = ["image", "title", "name", "label", "category", "id"]
    found = resolve(parse_columns("image=,label=category,text=name"), names, "shop.csv")
    assert str(found) == "text=name,label=category,id=id"
    assert str(guessed(parse_columns("image=,label=category,text=name"), found)) == "id=id"


def test_the_language_of_every_row_stands_before_a_column_that_is_called_so() -> None:
    """Else --language is silently not used."""
    assert not resolve(parse_columns(""), ["text", "label", "lang"], "shop.csv", fixed_language=True).language


@pytest.mark.parametrize(
    ("said", "names", "message"),
    [
        (
            "label=categry",
            ["title", "category"],
            '--columns label=categry: shop.csv has no column "categry". Did you mean "category"? '
            "Its columns are title, category.",
        ),
        (
            "",
            ["Titel", "Kategorie"],
            "shop.csv: which columns hold texts or images and the class? Say it: "
            "--columns text=NAME,image=NAME,label=NAME. Its columns are Titel, Kategorie.",
        ),
        (
            "",
            ["", "title", "price"],
            "shop.csv: which columns hold the class? Say it: --columns label=NAME. "
            "Its columns are (without a name), title, price.",
        ),
    ],
)
def test_mistakes_name_the_option_and_the_columns(said: str, names: list[str], message: str) -> None:
    with pytest.raises(UserError) as error:
        resolve(parse_columns(said), names, "shop.csv")
    assert str(error.value) == message


def test_a_note_says_what_nobody_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Else a wrong guess is found out by wrong scores."""
    source(write(tmp_path / "shop.csv", products(4)), "label=season,image=").announce()
    (line,) = capsys.readouterr().err.splitlines()
    assert line == (
        "Columns of shop.csv, told by their names: text=title,language=lang,id=sku (--columns says otherwise)"
    )
    source(write(tmp_path / "shop.csv", texts(), delimiter=";"), "text=text,label=label").announce()
    assert capsys.readouterr().err.splitlines() == [
        "shop.csv is separated by semicolons, as its header line is",
        "Languages of shop.csv: none is said, so all is und (--language de, --columns language=COLUMN)",
    ]


def test_files_of_one_folder_must_have_the_same_columns(tmp_path: Path) -> None:
    """Else all rows of a file are rejected, and a fraction of the data is scored."""
    write(tmp_path / "a.csv", texts())
    write(tmp_path / "b.csv", products(4))
    with pytest.raises(UserError) as error:
        source(tmp_path)
    assert str(error.value) == (
        'b.csv has no column "text", which is text as a.csv has it; '
        "name one file, or a folder whose files have the same columns."
    )

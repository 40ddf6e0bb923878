"""Columns are resolved from the options, then from their names; nothing else is guessed."""

from __future__ import annotations

from pathlib import Path

import pytest

from mmeval.data.table.columns import inferred_columns, resolve
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
    """Common names need no --columns."""
    assert str(resolve(parse_columns(""), names, "shop.csv")) == expected


def test_given_columns_override_names_and_may_be_empty() -> None:
    """So that a wrong inference can be corrected."""
    names = ["image", "title", "name", "label", "category", "id"]
    columns = resolve(parse_columns("image=,label=category,text=name"), names, "shop.csv")
    assert str(columns) == "text=name,label=category,id=id"
    assert str(inferred_columns(parse_columns("image=,label=category,text=name"), columns)) == "id=id"


def test_no_language_column_is_inferred_if_a_language_is_given() -> None:
    """Otherwise --language would have no effect."""
    assert not resolve(parse_columns(""), ["text", "label", "lang"], "shop.csv", fixed_language=True).language


@pytest.mark.parametrize(
    ("columns", "names", "message"),
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
            "shop.csv: which columns hold texts or images and the class? Name them: "
            "--columns text=NAME,image=NAME,label=NAME. Its columns are Titel, Kategorie.",
        ),
        (
            "",
            ["", "title", "price"],
            "shop.csv: which columns hold the class? Name them: --columns label=NAME. "
            "Its columns are (without a name), title, price.",
        ),
    ],
)
def test_mistakes_name_the_option_and_the_columns(columns: str, names: list[str], message: str) -> None:
    with pytest.raises(UserError) as error:
        resolve(parse_columns(columns), names, "shop.csv")
    assert str(error.value) == message


def test_inferred_values_are_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Else a wrong guess is found out by wrong scores."""
    source(write(tmp_path / "shop.csv", products(4)), "label=season,image=").announce()
    (line,) = capsys.readouterr().err.splitlines()
    assert line == (
        "Columns of shop.csv, inferred from their names: text=title,language=lang,id=sku (change them with --columns)"
    )
    source(write(tmp_path / "shop.csv", texts(), delimiter=";"), "text=text,label=label").announce()
    assert capsys.readouterr().err.splitlines() == [
        "shop.csv is separated by semicolons, like its header line",
        "Languages of shop.csv: unknown (und); set them with --language de or --columns language=COLUMN",
    ]


def test_files_of_one_folder_must_have_the_same_columns(tmp_path: Path) -> None:
    """Else all rows of a file are rejected, and a fraction of the data is scored."""
    write(tmp_path / "a.csv", texts())
    write(tmp_path / "b.csv", products(4))
    with pytest.raises(UserError) as error:
        source(tmp_path)
    assert str(error.value) == (
        'b.csv has no column "text", the text column of a.csv; '
        "name one file, or a folder whose files have the same columns."
    )

"""What is said of a table survives being typed, written and read."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmeval.data.table.options import Columns, TableOptions, name_of, parse_columns, read_options, write_options
from mmeval.errors import DataError, UserError

COLUMN = st.text(st.characters(exclude_characters=",+=", exclude_categories=["Cs", "Z", "Cc"]), min_size=1, max_size=8)
ANY = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
SEVERAL = st.none() | st.lists(COLUMN, max_size=3, unique=True).map(tuple)
SAID = st.builds(
    Columns,
    **dict.fromkeys(("image", "language", "id", "split", "group"), st.none() | COLUMN),
    **dict.fromkeys(("text", "label", "slice", "metadata"), SEVERAL),
)


@given(SAID)
def test_columns_are_typed_as_they_are_shown(columns: Columns) -> None:
    """Else what a note or run.json shows can't be typed."""
    assert parse_columns(str(columns)).said() == columns.said()


@given(said=SAID, summary=ANY, licence=ANY.filter(bool))
def test_a_file_holds_all_that_was_said(
    said: Columns, summary: str, licence: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Else a saved data set is another one than was typed."""
    path = tmp_path_factory.getbasetemp() / "round" / "shop.toml"
    options = TableOptions(
        source=str(path.parent.resolve() / "a\x7f \\n.csv"),
        name="my-shop",
        summary=summary,
        licence=licence,
        language="de",
        columns=said,
    )
    write_options(path, options)
    assert read_options(path) == options


def test_paths_are_written_so_that_file_and_data_can_be_moved(tmp_path: Path) -> None:
    """Else a data set can't be given to a colleague."""
    here = tmp_path / "here"
    here.mkdir()
    options = TableOptions(source=str(here / "data" / "shop.csv"), images=str(here / "photos"))
    write_options(here / "shop.toml", options)
    assert 'source = "data/shop.csv"\n' in (here / "shop.toml").read_text()
    shutil.move(here, tmp_path / "there")
    found = read_options(tmp_path / "there" / "shop.toml")
    assert (found.source, found.images) == (str(tmp_path / "there/data/shop.csv"), str(tmp_path / "there/photos"))
    assert found.called == "shop"


def test_a_file_called_dataset_has_the_name_of_its_folder(tmp_path: Path) -> None:
    """Else every such data set is called "dataset"."""
    folder = tmp_path / "my shop"
    folder.mkdir()
    (folder / "dataset.toml").write_text('source = "."\n')
    assert read_options(folder / "dataset.toml").called == "my-shop"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('source = "a.csv"\nfoo = 1\n', "foo: there is no such field; there are source, name, summary, licence, "
         "language, encoding, images, revision, columns."),
        ('source = "a.csv"\n[columns]\nlabels = "x"\n', "columns.labels: there is no such field; there are image, "
         "text, language, label, id, split, group, slice, metadata."),
        ('name = "a"\n', "source: Field required."),
    ],
)  # fmt: skip
def test_a_field_that_there_is_not_is_named(content: str, message: str, tmp_path: Path) -> None:
    (path := tmp_path / "shop.toml").write_text(content)
    with pytest.raises(DataError) as error:
        read_options(path)
    assert str(error.value) == f"{path}: {message}"


def test_what_is_no_toml_is_said(tmp_path: Path) -> None:
    (path := tmp_path / "shop.toml").write_text("source: a.csv\n")
    with pytest.raises(DataError, match=r"shop\.toml can't be read as TOML: Expected '='"):
        read_options(path)
    with pytest.raises(DataError) as error:
        read_options(tmp_path / "no.toml")
    assert str(error.value) == f"There is no file {tmp_path / 'no.toml'}."


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        ("photo", '--columns: "photo" should be ROLE=COLUMN, with a ROLE of image, text, language, label, id, split, '
         "group, slice, metadata."),
        ("labels=a", '--columns: "labels=a" should be ROLE=COLUMN, with a ROLE of image, text, language, label, id, '
         "split, group, slice, metadata."),
        ("text=a,text=b", "--columns names text twice; write text=ONE+OTHER if both are meant."),
        ("id=a+b", "--columns: id is one column, not 2."),
    ],
)  # fmt: skip
def test_columns_that_are_typed_wrongly(typed: str, message: str) -> None:
    with pytest.raises(UserError) as error:
        parse_columns(typed)
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("stem", "name"), [("Käse & Co", "K-se-Co"), ("...", "table"), ("a.py", "a.py-table"), ("x.toml", "x.toml-table")]
)
def test_a_name_is_made_that_can_be_typed(stem: str, name: str) -> None:
    """Else a table's Store has a name that is taken for a file, or for a variant."""
    assert name_of(stem) == name

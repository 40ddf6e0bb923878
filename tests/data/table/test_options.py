"""Options of a table are the same after being typed, written and read."""

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
GIVEN = st.builds(
    Columns,
    **dict.fromkeys(("image", "language", "id", "split", "group"), st.none() | COLUMN),
    **dict.fromkeys(("text", "label", "slice", "metadata"), SEVERAL),
)


@given(GIVEN)
def test_shown_columns_can_be_typed_again(columns: Columns) -> None:
    """As notes and run.json show them."""
    assert parse_columns(str(columns)).named() == columns.named()


@given(given_columns=GIVEN, summary=ANY, licence=ANY.filter(bool))
def test_a_toml_file_holds_all_options(
    given_columns: Columns, summary: str, licence: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """A saved table must be the same data set as the typed one."""
    path = tmp_path_factory.getbasetemp() / "round" / "shop.toml"
    options = TableOptions(
        source=str(path.parent.resolve() / "a\x7f \\n.csv"),
        name="my-shop",
        summary=summary,
        licence=licence,
        language="de",
        columns=given_columns,
    )
    write_options(path, options)
    assert read_options(path) == options


def test_a_toml_file_and_its_data_can_be_moved_together(tmp_path: Path) -> None:
    """For example to a colleague's machine."""
    here = tmp_path / "here"
    here.mkdir()
    options = TableOptions(source=str(here / "data" / "shop.csv"), images=str(here / "photos"))
    write_options(here / "shop.toml", options)
    assert 'source = "data/shop.csv"\n' in (here / "shop.toml").read_text()
    shutil.move(here, tmp_path / "there")
    moved = read_options(tmp_path / "there" / "shop.toml")
    assert (moved.source, moved.images) == (str(tmp_path / "there/data/shop.csv"), str(tmp_path / "there/photos"))
    assert moved.full_name == "shop"


def test_a_dataset_toml_has_the_name_of_its_folder(tmp_path: Path) -> None:
    """Otherwise every such data set would have the name "dataset"."""
    folder = tmp_path / "my shop"
    folder.mkdir()
    (folder / "dataset.toml").write_text('source = "."\n')
    assert read_options(folder / "dataset.toml").full_name == "my-shop"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('source = "a.csv"\nfoo = 1\n', "foo: there is no such field; the fields are source, name, summary, licence, "
         "citation, language, encoding, images, revision, columns."),
        ('source = "a.csv"\n[columns]\nlabels = "x"\n', "columns.labels: there is no such field; the fields are image, "
         "text, language, label, id, split, group, slice, metadata, label_separator."),
        ('name = "a"\n', "source: Field required."),
    ],
)  # fmt: skip
def test_unknown_and_missing_fields_are_refused(content: str, message: str, tmp_path: Path) -> None:
    (path := tmp_path / "shop.toml").write_text(content)
    with pytest.raises(DataError) as error:
        read_options(path)
    assert str(error.value) == f"{path}: {message}"


def test_invalid_and_missing_files_are_refused(tmp_path: Path) -> None:
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
        ("text=a,text=b", "--columns names text twice; write text=ONE+OTHER to use both."),
        ("id=a+b", "--columns: id is one column, not 2."),
    ],
)  # fmt: skip
def test_invalid_columns_are_refused(typed: str, message: str) -> None:
    with pytest.raises(UserError) as error:
        parse_columns(typed)
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("stem", "name"), [("Käse & Co", "K-se-Co"), ("...", "table"), ("a.py", "a.py-table"), ("x.toml", "x.toml-table")]
)
def test_derived_names_can_be_typed(stem: str, name: str) -> None:
    """A name must not look like a file or a variant."""
    assert name_of(stem) == name

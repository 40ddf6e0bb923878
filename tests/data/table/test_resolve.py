"""Tables named on the command line: a path, a toml file, or a saved name."""

from __future__ import annotations

from pathlib import Path

import pytest

from mmeval.data.open.resolve import open_data
from mmeval.data.request import DatasetRequest
from mmeval.data.table.options import read_options
from mmeval.data.table.resolve import save_table
from mmeval.errors import UserError
from mmeval.home import table_file, table_names
from mmeval.plugin.manager import Manager
from tests.data.table.shop import shop


def refusal(request: DatasetRequest) -> str:
    with pytest.raises(UserError) as error:
        open_data(request, Manager())
    return str(error.value)


def test_a_saved_table_can_be_named_from_any_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The options need not be repeated at every command."""
    monkeypatch.chdir(tmp_path)
    shop(Path("here"))
    request = DatasetRequest("table:here/shop.csv", columns="label=season")
    file = save_table(request, Path("my-shop.toml"), Manager())
    first = open_data(DatasetRequest(file), Manager())
    assert table_names() == ["my-shop"]
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    again = open_data(DatasetRequest("my-shop"), Manager())
    assert again.store.folder == first.store.folder
    assert again.store.name == "my-shop"
    assert [task.name for task in again.store.tasks] == ["season"]


def test_a_saved_table_lists_every_column(tmp_path: Path) -> None:
    path = tmp_path / "my.toml"
    save_table(DatasetRequest(f"table:{shop(tmp_path)}"), path, Manager())
    assert path.read_text() == (
        "# A data set of mmeval: `mmeval data show FILE`, `mmeval run --dataset FILE`.\n"
        'source = "shop.csv"\nname = "my"\nlicence = "unknown"\n\n[columns]\nimage = "photo"\n'
        'text = ["title"]\nlanguage = "lang"\nlabel = ["category"]\nid = "sku"\ngroup = ""\nslice = []\nmetadata = []\n'
    )


def test_options_beside_a_toml_file_do_not_change_the_saved_name(tmp_path: Path) -> None:
    """A trial with another column must not change the meaning of the name."""
    path = tmp_path / "my.toml"
    save_table(DatasetRequest(f"table:{shop(tmp_path)}"), path, Manager())
    trial = open_data(DatasetRequest(str(path), columns="label=season"), Manager())
    assert [task.name for task in trial.store.tasks] == ["season"]
    assert read_options(table_file("my")).columns.label == ("category",)
    assert [task.name for task in open_data(DatasetRequest("my"), Manager()).store.tasks] == ["category"]


def test_a_name_that_moves_to_another_table_is_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for folder in ("a", "b"):
        save_table(DatasetRequest(f"table:{shop(tmp_path / folder)}"), tmp_path / folder / "my.toml", Manager())
        open_data(DatasetRequest(str(tmp_path / folder / "my.toml")), Manager())
    message = f"my now names {tmp_path}/b/shop.csv; before, it named {tmp_path}/a/shop.csv."
    assert message in capsys.readouterr().err.splitlines()


def test_a_folder_with_a_dataset_toml_uses_its_options(tmp_path: Path) -> None:
    shop(tmp_path)
    (tmp_path / "dataset.toml").write_text('source = "shop.csv"\nname = "ours"\n[columns]\nlabel = "season"\n')
    dataset = open_data(DatasetRequest(f"table:{tmp_path}"), Manager())
    assert (dataset.store.name, dataset.store.tasks[0].name) == ("ours", "season")


def test_a_path_may_start_with_a_tilde(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Shells don't expand the ~ of table:~/shop.csv."""
    monkeypatch.setenv("HOME", str(tmp_path))
    shop(tmp_path)
    assert open_data(DatasetRequest("table:~/shop.csv"), Manager()).store.name == "shop"


def test_names_of_plugins_are_refused(tmp_path: Path) -> None:
    """Results of a user's own "emoji14" could be taken for those of the data set."""
    path = shop(tmp_path).rename(tmp_path / "emoji14.csv")
    taken = 'a data set of mmeval already has the name "emoji14"; save the table as my-emoji14.toml.'
    assert refusal(DatasetRequest(f"table:{path}")) == f"table:{path}: {taken}"
    with pytest.raises(UserError) as error:
        save_table(DatasetRequest(f"table:{tmp_path}"), tmp_path / "emoji14.toml", Manager())
    assert str(error.value) == f"{tmp_path / 'emoji14.toml'}: {taken}"


def test_wrong_options_are_refused(tmp_path: Path) -> None:
    path = shop(tmp_path)
    assert (
        refusal(DatasetRequest("table:"))
        == "--dataset table: lacks its path; write table:PATH or table:hub:OWNER/NAME."
    )
    assert refusal(DatasetRequest(f"table:{path}", source=path)) == (
        f"--source {path}: a table is its own source; leave --source out."
    )
    assert refusal(DatasetRequest(f"table:{path}", allow_mismatch=True)) == (
        "--allow-mismatch: a table has no release; leave the option out."
    )
    assert refusal(DatasetRequest(str(path))) == f"{path}: a file or folder of your own is written table:{path}."
    for request, file, message in (
        (DatasetRequest("emoji14"), "a.toml", "--save a.toml: emoji14 has a name already; only a table can be saved."),
        (DatasetRequest(f"table:{path}"), "a.json", "--save a.json: the file's name must end in .toml."),
    ):
        with pytest.raises(UserError) as error:
            save_table(request, Path(file), Manager())
        assert str(error.value) == message

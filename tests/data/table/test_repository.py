"""A data set on the Hub can be used as a table by its name alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from mmeval.data.open.resolve import open_data
from mmeval.data.request import Dataset, DatasetRequest
from mmeval.data.table.repository import _licence
from mmeval.errors import DataError
from mmeval.plugin.manager import Manager
from tests.data.table.shop import shop, texts, write
from tests.data.table.test_source import parquet
from tests.hub import HubServer, hub


@pytest.fixture
def server(tmp_path: Path) -> Iterator[HubServer]:
    """Two repositories: Parquet with splits in names of files, and CSV with a folder of photos."""
    (tmp_path / "embedded").mkdir()
    parquet(tmp_path / "embedded/data/train-00000-of-00001.parquet", 0, 40)
    parquet(tmp_path / "embedded/data/test-00000-of-00001.parquet", 40, 60)
    (tmp_path / "embedded/README.md").write_text("---\nlicense: mit\n---\n# Shop\n")
    shop(tmp_path / "photos")
    write(tmp_path / "photos/more/texts.tsv", texts(), delimiter="\t")
    with hub({"owner/embedded": tmp_path / "embedded", "owner/photos": tmp_path / "photos"}) as server:
        yield server


def opened(name: str, **options: str) -> Dataset:
    return open_data(DatasetRequest(f"table:{name}", **options), Manager())  # type: ignore[arg-type]


def refusal(name: str) -> str:
    with pytest.raises(DataError) as error:
        opened(name)
    return str(error.value)


def test_splits_are_read_from_parquet_file_names(server: HubServer, capsys: pytest.CaptureFixture[str]) -> None:
    dataset = opened("hub:owner/embedded")
    assert (dataset.store.name, dataset.licence) == ("owner-embedded", "mit")
    assert dataset.store.split_sizes == {"train": 36, "validation": 4, "test": 20}
    assert dataset.store.info["identity"]["revision"] == server.commit("owner/embedded")
    notes = capsys.readouterr().err
    assert "Columns of hub:owner/embedded, inferred from their names: image=image,text=text,label=label (" in notes
    assert "Splits of hub:owner/embedded: as in the table, with a validation split taken from train" in notes


@pytest.mark.parametrize("header", ["license: mit\nmore: &a [*a]", "[" * 3000, "license: [mit", "license", "- mit"])
def test_an_unreadable_licence_is_unknown(header: str, tmp_path: Path) -> None:
    """The card is untrusted."""
    card = tmp_path / "README.md"
    card.write_text(f"---\n{header}\n---\n")
    assert _licence(card) == "unknown"


def test_a_file_or_folder_of_a_repository_can_be_named(server: HubServer) -> None:
    """Repositories may hold several tables, for example one per language."""
    assert refusal("hub:owner/photos") == (
        "hub:owner/photos holds tables of several formats (.csv, .tsv); name one file, or a folder of one format."
    )
    dataset = opened("hub:owner/photos/shop.csv")
    assert (dataset.store.name, dataset.store.image_count, dataset.licence) == ("owner-photos-shop.csv", 40, "unknown")
    assert sum(opened("hub:owner/photos/more").store.split_sizes.values()) == 40
    assert refusal("hub:owner/photos/no.csv") == "There is no file or folder hub:owner/photos/no.csv."


def test_downloaded_files_are_used_without_a_network(server: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on the nodes of many clusters."""
    before = opened("hub:owner/photos/shop.csv")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert opened("hub:owner/photos/shop.csv").store.folder == before.store.folder


def test_a_private_repository_is_reported(server: HubServer) -> None:
    server.private = {"owner/embedded"}
    assert refusal("hub:owner/embedded").startswith("The data set owner/embedded can't be fetched from the Hub: ")


@pytest.mark.parametrize("name", ["hub:owner", "hub:owner/../secret/x"])
def test_a_name_without_an_owner_is_refused(name: str) -> None:
    expected = f"{name}: write hub:OWNER/NAME, or hub:OWNER/NAME/FOLDER for a part of it."
    assert refusal(name) == expected

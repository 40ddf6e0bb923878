"""Data sets published by ``datasets``' own client to the stand-in for the Hub."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml
from PIL import Image

from mmeval.data.card import read_card
from mmeval.data.request import Dataset, DatasetRequest
from mmeval.data.store import Store
from mmeval.errors import UserError
from mmeval.publish.dataset import FRAMEWORK_PR, StagedDataset, publish_dataset, require_licence, stage_dataset
from mmeval.publish.hub import PublishError
from tests.hub import TOKEN, HubServer, hub

NAME = "owner/colours"
ROOT = Path(__file__).parents[2]


@pytest.fixture
def server() -> Iterator[HubServer]:
    with hub({}, token=TOKEN) as server:
        yield server


@pytest.fixture
def staged(store: Store, colours: Callable[..., object]) -> StagedDataset:
    return stage_dataset(Dataset(colours(), store, "cc0-1.0"), NAME)  # type: ignore[arg-type]


def test_each_language_is_a_configuration_with_the_rows_and_images_of_the_store(
    server: HubServer, staged: StagedDataset, store: Store
) -> None:
    assert publish_dataset(staged).changed
    folder = server.repos[NAME]
    assert sorted(path.name for path in folder.iterdir() if path.is_dir()) == ["de", "en", "ja"]
    rows = pq.read_table(folder / "ja" / "test-00000-of-00001.parquet").to_pylist()
    assert {row["language"] for row in rows} == {"ja"}
    assert len(rows) == 14
    whole = staged.dataset.to_datasets()["test"]
    expected = {row["id"]: row for row in whole if row["language"] == "ja"}
    for row in rows:
        ours = expected[row["id"]]
        assert (row["text"], row["colour"]) == (ours["text"], ours["colour"])
        if ours["image"] is not None:
            image = Image.open(io.BytesIO(row["image"]["bytes"]))
            assert np.array_equal(np.asarray(image), np.asarray(ours["image"]))


def test_the_card_keeps_its_facts_and_names_the_configurations(server: HubServer, staged: StagedDataset) -> None:
    publish_dataset(staged)
    card = read_card(server.repos[NAME] / "README.md")
    assert card.fingerprint == staged.dataset.store.fingerprint
    assert card.licence == "cc0-1.0"
    assert [config["config_name"] for config in card.header["configs"]] == ["de", "en", "ja"]
    assert 'load_dataset("owner/colours", "de")' in card.body


def test_the_leaderboard_has_a_task_per_language_and_split(staged: StagedDataset) -> None:
    facts = yaml.safe_load(staged.eval_yaml)
    assert facts["evaluation_framework"] == "mmeval"
    assert facts["tasks"][:2] == [
        {"id": "colours_test", "split": "test"},
        {"id": "colours_de_test", "config": "de", "split": "test"},
    ]
    assert {"id": "colours_shade_ja_test", "config": "ja", "split": "test"} in facts["tasks"]


def test_a_second_publication_sends_nothing(server: HubServer, staged: StagedDataset) -> None:
    publish_dataset(staged)
    commits = len(server.commits)
    assert not publish_dataset(staged).changed
    assert len(server.commits) == commits


def test_an_interrupted_publication_sends_only_the_languages_that_are_missing(
    server: HubServer, staged: StagedDataset
) -> None:
    """The card is the first commit; the second language fails."""
    server.fail(r"POST /api/datasets/owner/colours/commit", None, None, 500)
    with pytest.raises(PublishError, match="the same command continues"):
        publish_dataset(staged)
    assert publish_dataset(staged).changed
    assert [summary for _, summary, _ in server.commits] == [
        *("mmeval: colours", "mmeval: colours, de", "mmeval: colours, en", "mmeval: colours, ja"),
    ]


def test_other_data_under_the_same_name_is_sent_again(
    server: HubServer, staged: StagedDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish_dataset(staged)
    card = server.repos[NAME] / "README.md"
    card.write_text(card.read_text().replace(staged.dataset.store.fingerprint, "0" * 64))
    commits = len(server.commits)
    publish_dataset(staged)
    assert any(summary.startswith("mmeval") for _, summary, _ in server.commits[commits:])
    assert read_card(card).fingerprint == staged.dataset.store.fingerprint


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("food101", "its data card forbids that others publish the data; licence: unknown"),
        ("fashiongen", "its data card forbids that others publish the data; licence: fashion-gen"),
        ("abo", r"its data card does not say that others may publish the data \(redistribution: true\)"),
    ],
)
def test_a_licence_that_forbids_publishing_is_refused_by_the_card(name: str, why: str) -> None:
    with pytest.raises(UserError, match=rf"--dataset {name} is not published: {why}"):
        require_licence(DatasetRequest(name))


def test_a_card_that_allows_it_is_enough() -> None:
    require_licence(DatasetRequest("glami1m"))
    with pytest.raises(UserError, match="--licence mit: the data card of glami1m states its licence"):
        require_licence(DatasetRequest("glami1m"), "mit")


def test_a_table_needs_a_licence_from_its_owner(tmp_path: Path) -> None:
    table = tmp_path / "shop.csv"
    table.write_text("text,label\nred shirt,shirt\n")
    with pytest.raises(UserError, match=r"the licence of this table is not known.*--licence"):
        require_licence(DatasetRequest(f"table:{table}"))
    require_licence(DatasetRequest(f"table:{table}"), "cc-by-4.0")


def test_each_shipped_card_says_whether_its_data_may_be_published() -> None:
    """None where nobody has checked the licence."""
    allowed = {path.stem: read_card(path).redistribution for path in (ROOT / "data_cards").glob("*.md")}
    assert allowed == {
        "abo": None,
        "art4apps": True,
        "emoji14": True,
        "fashion-product-images": None,
        "fashiongen": False,
        "food101": False,
        "glami1m": True,
    }


def test_the_text_of_the_pull_request_stands_in_the_docs() -> None:
    assert "packages/tasks/src/eval.ts" in FRAMEWORK_PR
    assert FRAMEWORK_PR.partition("\n\n")[2].strip() in (ROOT / "docs" / "publishing.md").read_text(encoding="utf-8")

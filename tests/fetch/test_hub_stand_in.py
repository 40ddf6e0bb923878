"""The stand-in for the Hub works with the Hub's real client, so that tests against it are meaningful."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hub import PAGE, TOKEN, HubServer, hub

NAME = "owner/name"


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "repository"
    (folder / "images").mkdir(parents=True)
    (folder / "README.md").write_text("---\nlicense: cc0-1.0\n---\n")
    (folder / "train.csv").write_text("file,label\nimages/a b.jpg,cat\n")
    (folder / "images" / "a b.jpg").write_bytes(b"\xff\xd8 an image")
    for number in range(PAGE):
        (folder / "images" / f"{number}.jpg").write_bytes(b"\xff\xd8 %d" % number)
    return folder


@pytest.fixture
def server(repository: Path) -> Iterator[HubServer]:
    with hub({NAME: repository}) as server:
        yield server


def test_long_file_lists_are_paged(server: HubServer) -> None:
    from huggingface_hub import HfApi

    api = HfApi()
    files = [entry.path for entry in api.list_repo_tree(NAME, repo_type="dataset", recursive=True)]
    assert len(files) == PAGE + 3
    assert api.list_repo_files(NAME, repo_type="dataset") == files
    assert api.dataset_info(NAME).sha == server.commit(NAME)


def test_small_and_large_files_are_downloaded_with_their_commit(
    server: HubServer, repository: Path, tmp_path: Path
) -> None:
    from huggingface_hub import hf_hub_download

    for name in ("train.csv", "images/a b.jpg"):
        path = hf_hub_download(NAME, name, repo_type="dataset", cache_dir=tmp_path / "cache")
        assert Path(path).read_bytes() == (repository / name).read_bytes()
        assert server.commit(NAME) in path


def test_a_snapshot_holds_the_matching_files(server: HubServer, tmp_path: Path) -> None:
    from huggingface_hub import snapshot_download

    path = snapshot_download(NAME, repo_type="dataset", allow_patterns=["*.csv", "images/1*"], cache_dir=tmp_path / "c")
    files = sorted(file.relative_to(path).as_posix() for file in Path(path).rglob("*") if file.is_file())
    assert files == sorted(["train.csv", "images/1.jpg", *(f"images/1{number}.jpg" for number in range(10))])


def test_changed_content_gives_another_commit_beside_the_old_one(server: HubServer, repository: Path) -> None:
    from huggingface_hub import HfApi
    from huggingface_hub.errors import RevisionNotFoundError

    before = server.commit(NAME)
    assert HfApi().dataset_info(NAME, revision=before).sha == before
    (repository / "train.csv").write_text("other")
    assert server.commit(NAME) != before
    assert HfApi().dataset_info(NAME, revision=before).sha == before
    with pytest.raises(RevisionNotFoundError):
        HfApi().dataset_info(NAME, revision="0" * 40)


def test_errors_are_those_of_the_hub(server: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import HfApi, hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, GatedRepoError, RepositoryNotFoundError

    def get(name: str = NAME, file: str = "train.csv") -> str:
        return hf_hub_download(name, file, repo_type="dataset", cache_dir=tmp_path / "cache")

    for name in ("owner/none", NAME):
        server.private = [NAME]
        with pytest.raises(RepositoryNotFoundError):
            HfApi().dataset_info(name)
        with pytest.raises(RepositoryNotFoundError):
            get(name)
    server.private, server.gated = [], [NAME]
    assert HfApi().dataset_info(NAME).sha
    with pytest.raises(GatedRepoError):
        get()
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    assert get()
    with pytest.raises(EntryNotFoundError):
        get(file="none.csv")


def test_subprocesses_use_the_stand_in(server: HubServer) -> None:
    """So that the command line can be tested as a user calls it."""
    code = f"from huggingface_hub import HfApi; print(HfApi().dataset_info({NAME!r}).sha)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == server.commit(NAME)


def test_settings_are_restored_after_the_block(repository: Path) -> None:
    """A later test must not reach a closed server, or the real Hub."""
    from huggingface_hub import constants

    names = ("ENDPOINT", "HUGGINGFACE_CO_URL_TEMPLATE", "HF_HUB_OFFLINE", "HF_HUB_CACHE", "HF_TOKEN_PATH")
    before = [getattr(constants, name) for name in names], dict(os.environ)
    with hub({NAME: repository}, token=TOKEN):
        assert not constants.is_offline_mode()
    assert before == ([getattr(constants, name) for name in names], dict(os.environ))

"""Files of Hub repositories are complete, identified by commit, and usable offline."""

from __future__ import annotations

import glob
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from mmeval.errors import DataError
from mmeval.fetch.snapshot import Snapshot, snapshot
from tests.hub import TOKEN, HubServer, hub

NAME = "owner/name"
TABLES = ("*.csv", "*.parquet")


@pytest.fixture(autouse=True)
def _own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MMEVAL_HOME", str(tmp_path / "home"))


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "repository"
    (folder / "images").mkdir(parents=True)
    (folder / "README.md").write_text("---\nlicense: cc0-1.0\n---\n")
    (folder / "train.csv").write_text("file,label\nimages/1.jpg,cat\n")
    for number in range(4):
        (folder / "images" / f"{number}.jpg").write_bytes(b"\xff\xd8 %d" % number)
    (folder / "images" / "[a].jpg").write_bytes(b"\xff\xd8 a")
    return folder


@pytest.fixture
def server(repository: Path) -> Iterator[HubServer]:
    with hub({NAME: repository}) as server:
        yield server


def message(patterns: Sequence[str] = TABLES, name: str = NAME, revision: str | None = None) -> str:
    with pytest.raises(DataError) as error:
        snapshot(name, patterns, revision)
    return str(error.value)


def go_offline(monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)


def test_only_matching_files_are_downloaded_and_the_commit_is_returned(server: HubServer, repository: Path) -> None:
    downloaded = snapshot(NAME, TABLES)
    assert downloaded == Snapshot(downloaded.folder, server.commit(NAME), ("train.csv",))
    assert (downloaded.folder / "train.csv").read_bytes() == (repository / "train.csv").read_bytes()
    assert not (downloaded.folder / "README.md").exists()


def test_more_files_of_the_same_commit_can_be_downloaded(server: HubServer, repository: Path) -> None:
    """For the images that a table names; complete files need no request."""
    commit = snapshot(NAME, TABLES).commit
    downloaded = snapshot(NAME, ["images/"], commit)
    assert downloaded.files == ("images/0.jpg", "images/1.jpg", "images/2.jpg", "images/3.jpg", "images/[a].jpg")
    server.requests.clear()
    assert snapshot(NAME, ["images/2.jpg", "train.csv"], commit).files == ("images/2.jpg", "train.csv")
    assert not server.requests


def test_an_escaped_pattern_matches_a_name_with_brackets(server: HubServer) -> None:
    assert snapshot(NAME, [glob.escape("images/[a].jpg")]).files == ("images/[a].jpg",)


def test_a_branch_that_moved_gives_a_new_commit_and_keeps_the_old_one(server: HubServer, repository: Path) -> None:
    """Data must not change under a Store that was prepared from it."""
    before = snapshot(NAME, TABLES)
    (repository / "train.csv").write_text("file,label\nimages/2.jpg,dog\n")
    after = snapshot(NAME, TABLES)
    assert before.commit != after.commit
    assert "cat" in (before.folder / "train.csv").read_text()
    assert "dog" in (after.folder / "train.csv").read_text()
    assert snapshot(NAME, TABLES, before.commit) == before


def test_offline_mode_uses_complete_downloads_with_a_note(
    server: HubServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """For compute nodes without a network."""
    before = snapshot(NAME, TABLES)
    go_offline(monkeypatch)
    capsys.readouterr()
    assert snapshot(NAME, TABLES) == before
    assert capsys.readouterr().err == (
        f"{NAME}: HF_HUB_OFFLINE is set; using the files of an earlier download, commit {before.commit[:8]}\n"
    )
    assert message(["*.csv", "images/1.jpg"]) == (
        "The data set owner/name can't be fetched from the Hub: HF_HUB_OFFLINE is set."
    )
    (before.folder / "train.csv").unlink()
    assert message() == "The data set owner/name can't be fetched from the Hub: HF_HUB_OFFLINE is set."


def test_a_missing_network_or_a_failing_hub_is_like_offline_mode(server: HubServer) -> None:
    before = snapshot(NAME, TABLES)
    server.down = 503
    assert snapshot(NAME, TABLES) == before
    assert message(["images/1.jpg"]) == "The data set owner/name can't be fetched from the Hub: HTTP 503."
    from huggingface_hub import constants

    constants.ENDPOINT = "http://127.0.0.1:9"  # the fixture puts it back
    assert snapshot(NAME, TABLES) == before
    assert message(["images/1.jpg"]) == (
        "The data set owner/name can't be fetched from the Hub: no connection (ConnectError)."
    )


def test_errors_are_single_sentences(server: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    at = "can't be fetched from the Hub:"
    unknown = "no such data set, or a private one: check the name, or log in with `hf auth login`"
    assert message(name="owner/none") == f"The data set owner/none {at} {unknown}."
    assert message(revision="v2") == f'The data set owner/name {at} it has no revision "v2".'
    assert message(name="a/b/c") == (
        f"The data set a/b/c {at} this is not a valid name of a data set; names look like owner/name."
    )
    assert message(["*.arrow"]) == (
        "The data set owner/name has no file that matches *.arrow; it has README.md, images/0.jpg, images/1.jpg, "
        "images/2.jpg, images/3.jpg, images/[a].jpg, train.csv."
    )
    server.gated = [NAME]
    assert message() == (
        f"The file train.csv of the data set owner/name {at} access is granted on request: ask at "
        "https://huggingface.co/datasets/owner/name, then log in with `hf auth login`."
    )
    monkeypatch.setenv("HF_TOKEN", "hf_old")
    assert message() == (
        f"The data set owner/name {at} the token is not valid (HTTP 401): log in again with `hf auth login`."
    )
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    assert snapshot(NAME, TABLES)


def test_withdrawn_access_is_an_error(server: HubServer) -> None:
    """Unless the commit is requested."""
    before = snapshot(NAME, TABLES)
    server.private = [NAME]
    assert "no such data set, or a private one" in message()
    assert snapshot(NAME, TABLES, before.commit) == before


def test_free_space_is_checked_before_the_download(
    server: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10, 0, 10))
    assert message(["*"]) == (
        f"There is no room for owner/name: it needs 73 bytes, and {tmp_path}/home/hub has 10 bytes free; make room, or "
        "set MMEVAL_HOME to a folder on another disk."
    )


def test_an_unwritable_home_is_reported(server: HubServer, tmp_path: Path) -> None:
    (tmp_path / "home").write_text("a file")
    assert message() == f"{tmp_path}/home/hub can't be written: Not a directory."


def test_another_process_needs_no_network_for_a_commit(server: HubServer, tmp_path: Path) -> None:
    """So that the workers of a large run don't all ask the Hub."""
    commit = snapshot(NAME, TABLES).commit
    code = f"from mmeval.fetch.snapshot import snapshot; print(snapshot({NAME!r}, {TABLES!r}, {commit!r}).files)"
    offline = os.environ | {"HF_HUB_OFFLINE": "1"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=offline, check=True)
    assert (done.stdout, done.stderr) == ("('train.csv',)\n", "")

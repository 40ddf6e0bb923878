"""Data set repositories of the Hub come whole, are told apart by commit, and can be used without a network."""

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


def test_it_brings_what_matches_and_says_which_commit_it_is(server: HubServer, repository: Path) -> None:
    """Else gigabytes of what is not read are fetched, or results can't be tied to a content."""
    found = snapshot(NAME, TABLES)
    assert found == Snapshot(found.folder, server.commit(NAME), ("train.csv",))
    assert (found.folder / "train.csv").read_bytes() == (repository / "train.csv").read_bytes()
    assert not (found.folder / "README.md").exists()


def test_images_that_a_table_names_come_from_the_same_commit(server: HubServer, repository: Path) -> None:
    """Else images of another version stand beside the table, or each call asks the Hub again."""
    commit = snapshot(NAME, TABLES).commit
    found = snapshot(NAME, ["images/"], commit)
    assert found.files == ("images/0.jpg", "images/1.jpg", "images/2.jpg", "images/3.jpg", "images/[a].jpg")
    server.requests.clear()
    assert snapshot(NAME, ["images/2.jpg", "train.csv"], commit).files == ("images/2.jpg", "train.csv")
    assert not server.requests


def test_a_file_name_with_brackets_is_asked_for_in_brackets_of_its_own(server: HubServer) -> None:
    """Else images with odd names can't be had."""
    assert snapshot(NAME, [glob.escape("images/[a].jpg")]).files == ("images/[a].jpg",)


def test_a_branch_that_moved_is_another_commit_and_the_old_one_stays(server: HubServer, repository: Path) -> None:
    """Else data changes under a Store that was prepared from it."""
    before = snapshot(NAME, TABLES)
    (repository / "train.csv").write_text("file,label\nimages/2.jpg,dog\n")
    after = snapshot(NAME, TABLES)
    assert before.commit != after.commit
    assert "cat" in (before.folder / "train.csv").read_text()
    assert "dog" in (after.folder / "train.csv").read_text()
    assert snapshot(NAME, TABLES, before.commit) == before


def test_offline_uses_what_is_complete_and_says_so(
    server: HubServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Else a compute node without a network can't run what was fetched before."""
    before = snapshot(NAME, TABLES)
    go_offline(monkeypatch)
    capsys.readouterr()
    assert snapshot(NAME, TABLES) == before
    assert capsys.readouterr().err == (
        f"{NAME}: HF_HUB_OFFLINE is set; using what was fetched before, commit {before.commit[:8]}\n"
    )
    assert message(["*.csv", "images/1.jpg"]) == (
        "The data set owner/name can't be fetched from the Hub: HF_HUB_OFFLINE is set."
    )
    (before.folder / "train.csv").unlink()
    assert message() == "The data set owner/name can't be fetched from the Hub: HF_HUB_OFFLINE is set."


def test_no_network_and_a_hub_that_is_down_are_like_offline(server: HubServer) -> None:
    """Else a bad minute of the Hub stops a run that needs nothing of it."""
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


def test_each_refusal_is_one_sentence(server: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a mistyped name is a page of the client's words."""
    at = "can't be fetched from the Hub:"
    unknown = "no such data set, or a private one: check the name, or log in with `hf auth login`"
    assert message(name="owner/none") == f"The data set owner/none {at} {unknown}."
    assert message(revision="v2") == f'The data set owner/name {at} it has no revision "v2".'
    assert message(name="a/b/c") == (
        f"The data set a/b/c {at} this is no name of a data set; names look like owner/name."
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
        f"The data set owner/name {at} the token is not valid (HTTP 401): log in anew with `hf auth login`."
    )
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    assert snapshot(NAME, TABLES)


def test_access_that_was_withdrawn_is_not_passed_over(server: HubServer) -> None:
    """Else what its owner took back is used on, unless it is asked for by its commit."""
    before = snapshot(NAME, TABLES)
    server.private = [NAME]
    assert "no such data set, or a private one" in message()
    assert snapshot(NAME, TABLES, before.commit) == before


def test_a_full_disk_is_told_before_anything_is_fetched(
    server: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the disk is full after an hour."""
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10, 0, 10))
    assert message(["*"]) == (
        f"There is no room for owner/name: it needs 73 bytes, and {tmp_path}/home/hub has 10 bytes free; make room, or "
        "set MMEVAL_HOME to a folder on another disk."
    )


def test_a_home_that_cannot_be_written_is_said(server: HubServer, tmp_path: Path) -> None:
    """Else a mistyped MMEVAL_HOME is a traceback."""
    (tmp_path / "home").write_text("a file")
    assert message() == f"{tmp_path}/home/hub can't be written: Not a directory."


def test_a_process_of_its_own_needs_no_network_for_a_commit(server: HubServer, tmp_path: Path) -> None:
    """Else every worker of a large run asks the Hub."""
    commit = snapshot(NAME, TABLES).commit
    code = f"from mmeval.fetch.snapshot import snapshot; print(snapshot({NAME!r}, {TABLES!r}, {commit!r}).files)"
    offline = os.environ | {"HF_HUB_OFFLINE": "1"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=offline, check=True)
    assert (done.stdout, done.stderr) == ("('train.csv',)\n", "")

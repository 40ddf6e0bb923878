"""The commands ``mmeval publish`` and ``mmeval pull``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mmeval.runs.folder import RunFolder
from tests.hub import TOKEN, HubServer, hub
from tests.runs.conftest import ask, finished, manager_with  # noqa: F401 - fixtures


@pytest.fixture
def server() -> Iterator[HubServer]:
    with hub({}, token=TOKEN) as server:
        yield server


def test_publish_and_pull_bring_the_run_back(
    server: HubServer,
    finished: RunFolder,  # noqa: F811
    command: Callable[..., int],
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert command("publish", finished.path, "--repo", "owner/thing", "--predictions") == 0
    first = capsys.readouterr()
    assert f"Published: {server.address}/owner/thing (commit" in first.out
    assert command("publish", finished.path, "--repo", "owner/thing", "--predictions") == 0
    again = capsys.readouterr()
    assert f"Nothing changed: {server.address}/owner/thing" in again.out
    assert TOKEN not in first.out + first.err + again.out + again.err
    monkeypatch.setenv("MMEVAL_HOME", str(tmp_path / "empty-home"))
    monkeypatch.chdir(tmp_path)
    assert command("pull", "owner/thing") == 0
    assert "Run folder: thing" in capsys.readouterr().out
    pulled = RunFolder(tmp_path / "thing")
    assert pulled.predictions().equals(finished.predictions())
    assert pulled.scores_file.read_bytes() == finished.scores_file.read_bytes()


def test_a_dry_run_shows_each_file_and_asks_nobody(
    server: HubServer,
    finished: RunFolder,  # noqa: F811
    command: Callable[..., int],
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert command("publish", finished.path, "--repo", "owner/thing", "--dry-run") == 0
    shown = capsys.readouterr().out
    for name in ("README.md", ".eval_results/colours.yaml", "models/seed-0/model.safetensors", "run.json"):
        assert name in shown
    assert "Nothing was written or uploaded (--dry-run)." in shown
    assert not server.requests


def test_a_folder_gets_the_same_files(
    finished: RunFolder,  # noqa: F811
    command: Callable[..., int],
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    assert command("publish", finished.path, "--to", "folder", "--output", tmp_path / "out") == 0
    assert RunFolder(tmp_path / "out").record.publication is not None
    assert command("publish", finished.path, "--to", "folder", "--output", tmp_path / "out") == 2
    assert "exists and is not empty" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "Name either a run folder or a data set"),
        (("run", "--dataset", "emoji14"), "Name either a run folder or a data set"),
        (("run",), "--repo is missing: write --repo OWNER/NAME"),
        (("run", "--to", "folder"), "--output is missing: --to folder writes to a folder"),
        (("run", "--repo", "a/b", "--output", "x"), "--output x: only --to folder and --to every-eval-ever"),
        (("run", "--repo", "thing"), "--repo thing: write OWNER/NAME"),
        (("run", "--repo", "a/b", "--dry-run"), "run: there is no such folder"),
        (("--dataset", "food101", "--repo", "a/b"), "--dataset food101 is not published: its data card forbids"),
        (("--dataset", "nothing", "--repo", "a/b"), 'No data set is named "nothing"'),
        (("--dataset", "emoji14", "--repo", "a/b", "--predictions"), "--predictions: only a run has this option"),
        (("--dataset", "emoji14", "--to", "folder", "--output", "x"), "a data set is published to the Hub only"),
    ],
)
def test_a_mistake_is_one_sentence(
    words: tuple[str, ...],
    message: str,
    command: Callable[..., int],
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert command("publish", *words) == 2
    assert message in " ".join(capsys.readouterr().err.split())


def test_a_repository_that_is_no_run_is_one_sentence(
    server: HubServer, command: Callable[..., int], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text("{}")
    server.repos["owner/bert"] = tmp_path / "model"
    for name, message in (
        ("owner/bert", "The repository owner/bert is not a run that mmeval published: it has no run.json."),
        ("owner/none", "The model owner/none can't be fetched from the Hub: no such model"),
        ("a b", "this is not a valid name of a model"),
    ):
        assert command("pull", name, "--output", tmp_path / "pulled") == 2
        assert message in " ".join(capsys.readouterr().err.split())

"""Published runs, pulled from the stand-in for the Hub and verified."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from mmeval.errors import DataError, RunFolderError, UserError
from mmeval.integrity import with_seal
from mmeval.publish.run import RunRequest, stage_run, write_folder
from mmeval.runs.folder import RunFolder
from mmeval.runs.pull import pull
from tests.hub import TOKEN, HubServer, hub
from tests.hub.web import Served

NAME = "owner/thing"


@pytest.fixture
def repository(finished: RunFolder, tmp_path: Path) -> Path:
    """The folder of a repository with a published run."""
    write_folder(stage_run(RunRequest(finished.path, NAME)), tmp_path / "repository")
    return tmp_path / "repository"


@pytest.fixture
def server(repository: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[HubServer]:
    monkeypatch.setenv("MMEVAL_HOME", str(tmp_path / "empty-home"))
    with hub({NAME: repository}) as server:
        yield server


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def reason(error: type[UserError] = RunFolderError, output: Path | None = None) -> str:
    with pytest.raises(error) as caught:
        pull(NAME, output=output)
    return str(caught.value)


def seal(repository: Path, **changes: object) -> None:
    """Change the record of a repository, and seal it again."""
    path = repository / "run.json"
    path.write_text(json.dumps(with_seal(json.loads(path.read_text()) | changes)))


def test_a_pulled_run_is_the_published_one_byte_for_byte(server: HubServer, repository: Path, tmp_path: Path) -> None:
    folder = pull(NAME, output=tmp_path / "pulled")
    assert contents(folder.path) == contents(repository)
    assert folder.record.publication is not None
    assert folder.scores.num_rows


def test_without_an_output_the_run_stays_in_the_cache_and_is_downloaded_once(server: HubServer) -> None:
    first = pull(NAME)
    assert first.record.name
    server.requests.clear()
    assert pull(NAME).path == first.path
    assert pull(NAME, server.commit(NAME)).path == first.path
    assert not server.file_requests()


def test_a_private_run_needs_the_token(server: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    server.private = {NAME}
    assert reason(DataError) == (
        "The model owner/thing can't be fetched from the Hub: no such model, or a private one: check the name, or log "
        "in with `hf auth login`."
    )
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    assert pull(NAME).record


def test_a_revision_is_pulled(server: HubServer, repository: Path) -> None:
    before = server.commit(NAME)
    seal(repository, name="second")
    assert pull(NAME).record.name == "second"
    assert pull(NAME, before).record.name == "run"


def test_an_interrupted_pull_continues(server: HubServer) -> None:
    """Files that were downloaded are not downloaded again."""
    server.fail(r"GET /owner/thing/resolve/[0-9a-f]+/report.html", *[Served(status=500)] * 9)
    assert "can't be fetched from the Hub" in reason(DataError)
    server._faults.clear()
    server.requests.clear()
    assert pull(NAME).record
    assert any("report.html" in request.path for request in server.file_requests())
    assert not any("run.json" in request.path for request in server.file_requests())


def test_a_repository_without_a_run_is_refused(server: HubServer, repository: Path) -> None:
    (repository / "run.json").unlink()
    assert reason() == "The repository owner/thing is not a run that mmeval published: it has no run.json."


@pytest.mark.parametrize("content", ["[]", "{", '{"schema_version": 2}', "[" * 100_000])
def test_a_record_that_is_none_is_refused(server: HubServer, repository: Path, content: str) -> None:
    (repository / "run.json").write_text(content)
    assert "its run.json is no record of a run" in reason()


def test_a_record_that_does_not_match_its_seal_is_refused(server: HubServer, repository: Path) -> None:
    facts = json.loads((repository / "run.json").read_text())
    (repository / "run.json").write_text(json.dumps(facts | {"name": "another"}))
    assert "its run.json was changed: it does not match its seal; ask its authors" in reason()


def test_a_file_that_fails_its_digest_is_refused(server: HubServer, repository: Path, tmp_path: Path) -> None:
    weights = repository / "models/seed-1/model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\0")
    message = reason(output=tmp_path / "pulled")
    assert "fail their digests in run.json: models/seed-1/model.safetensors (was changed); ask its authors" in message
    assert not (tmp_path / "pulled").exists()


def test_a_missing_file_is_named(server: HubServer, repository: Path) -> None:
    (repository / "scores.parquet").unlink()
    assert "lacks scores.parquet, which its run.json lists" in reason()


def test_damage_in_the_cache_is_repaired_by_the_next_pull(server: HubServer, repository: Path) -> None:
    folder = pull(NAME)
    damaged = folder.path / "report.html"
    damaged.resolve().write_bytes(damaged.read_bytes()[:-1] + b"\0")
    assert pull(NAME).report_path.read_bytes() == (repository / "report.html").read_bytes()


def test_only_files_that_the_record_lists_are_downloaded(server: HubServer, repository: Path) -> None:
    """A repository may bring code and pickles; they are neither fetched nor run."""
    for name in ("model.py", "models/seed-0/pytorch_model.bin", "conftest.py"):
        (repository / name).write_text("raise SystemExit('it ran')")
    folder = pull(NAME)
    assert {path.suffix for path in folder.path.rglob("*")} & {".py", ".bin"} == set()


def test_a_record_that_leads_out_of_the_folder_is_refused(server: HubServer, repository: Path) -> None:
    facts = json.loads((repository / "run.json").read_text())
    seal(repository, files=facts["files"] | {"../../evil": facts["files"]["README.md"]})
    assert "is no record of a run" in reason()


def test_a_folder_that_holds_something_else_is_kept(server: HubServer, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    assert "exists and holds something else; name a new folder" in reason(output=tmp_path / "mine")
    assert contents(tmp_path / "mine") == {"notes.txt": b"mine"}


def test_a_folder_that_holds_the_run_already_is_kept(
    server: HubServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pull(NAME, output=tmp_path / "pulled")
    assert pull(NAME, output=tmp_path / "pulled").record
    assert "holds this run already" in capsys.readouterr().err
    (tmp_path / "pulled" / "report.html").write_text("changed")
    assert "report.html (was changed)" in reason(output=tmp_path / "pulled")


def test_messages_about_a_damaged_copy_advise_to_pull_again(server: HubServer, tmp_path: Path) -> None:
    folder = pull(NAME, output=tmp_path / "pulled")
    folder.scores_file.write_bytes(b"damaged")
    with pytest.raises(RunFolderError, match="pull the run again into an empty folder to recreate it"):
        folder.scores  # noqa: B018


def test_without_a_network_the_downloaded_run_is_used(server: HubServer) -> None:
    first = pull(NAME)
    server.down = 503
    assert pull(NAME).path == first.path
    shutil.rmtree(first.path.parents[1])
    assert "can't be fetched from the Hub: HTTP 503" in reason(DataError)

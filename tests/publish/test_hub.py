"""Uploads by the real client to the stand-in for the Hub, with its faults."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from mmeval.fetch.hub import DATASET
from mmeval.publish.hub import PublishError, Uploaded, check_name, upload
from mmeval.publish.tree import Tree
from tests.hub import TOKEN, HubServer, hub
from tests.hub.web import Served

NAME = "owner/thing"
WEIGHTS = b"weights" * 200_000
"""More than a megabyte, so that it is sent before the commit."""
FILES: Tree = {
    "run.json": b'{"a": 1}',
    "README.md": b"---\nlicense: mit\n---\n# Card\n",
    "models/seed-0/model.safetensors": WEIGHTS,
    "predictions/seed-0.parquet": b"PAR1 small PAR1",
    ".eval_results/colours.yaml": b"[]\n",
}
PUT = r"PUT /lfs/"
COMMIT = r"POST /api/models/owner/thing/commit/"


def send(files: Tree = FILES, name: str = NAME, **options: object) -> Uploaded:
    return upload(files, name, "mmeval: a run", **options)  # type: ignore[arg-type]


def refusal(files: Tree = FILES, name: str = NAME, **options: object) -> str:
    with pytest.raises(PublishError) as caught:
        send(files, name, **options)
    assert TOKEN not in str(caught.value)
    return str(caught.value)


def held(server: HubServer, name: str = NAME) -> dict[str, bytes]:
    return {path: content for path, content in server._contents(name) if path != ".gitattributes"}


def puts(server: HubServer) -> int:
    return sum(request.method == "PUT" for request in server.requests)


def test_the_hub_holds_the_files_byte_for_byte_after_one_commit(server: HubServer) -> None:
    result = send()
    assert held(server) == FILES
    assert result == (f"{server.address}/{NAME}", server.commit(NAME), True)
    assert server.commits == [(NAME, "mmeval: a run", sorted(FILES))] or len(server.commits) == 1


def test_a_file_on_disk_is_sent_like_bytes(server: HubServer, tmp_path: Path) -> None:
    (tmp_path / "weights").write_bytes(WEIGHTS)
    send(FILES | {"models/seed-0/model.safetensors": tmp_path / "weights"})
    assert held(server) == FILES


def test_a_second_publication_sends_nothing_and_makes_no_commit(server: HubServer) -> None:
    first = send()
    sent = puts(server)
    assert send() == (first.url, first.commit, False)
    assert (puts(server), len(server.commits)) == (sent, 1)


def test_a_new_publication_replaces_changed_files_and_removes_those_left_out(server: HubServer) -> None:
    send()
    changed = {name: content for name, content in FILES.items() if not name.startswith("predictions/")}
    assert send(changed | {"run.json": b"{}"}).changed
    assert held(server) == changed | {"run.json": b"{}"}
    assert sorted(server.commits[1][2]) == ["predictions/seed-0.parquet", "run.json"]


def test_files_of_the_user_stay(server: HubServer) -> None:
    send()
    (server.repos[NAME] / "notes.txt").write_text("mine")
    send(FILES | {"run.json": b"{}"})
    assert held(server)["notes.txt"] == b"mine"


def test_internal_errors_and_lost_connections_are_tried_again(server: HubServer) -> None:
    server.fail(PUT, 500, Served(hang_up=True), 503)
    assert send().changed
    assert held(server) == FILES
    assert len(server.waits) == 3


def test_the_waits_of_the_client_are_noted_without_addresses(
    server: HubServer, capsys: pytest.CaptureFixture[str]
) -> None:
    server.fail(PUT, Served(b"{}", status=429, headers={"Retry-After": "7"}))
    send()
    shown = capsys.readouterr().err
    assert "The Hub: Rate limited. Waiting 8.0s before retry" in shown
    assert "http" not in shown


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (
            500,
            "The Hub has an internal error (HTTP 500); files that were uploaded are kept, the same command continues",
        ),
        (Served(hang_up=True), "The connection to the Hub was lost (RemoteProtocolError); files that were uploaded"),
        (429, "The Hub limits the rate of requests (HTTP 429); wait a few minutes: files that were uploaded are kept"),
    ],
)
def test_a_fault_that_stays_is_one_sentence_and_the_same_command_continues(
    server: HubServer, fault: int | Served, message: str
) -> None:
    """The large file is not sent again."""
    server.fail(COMMIT, fault)
    assert refusal().startswith(message)
    assert not server.commits
    sent = puts(server)
    assert send().changed
    assert puts(server) == sent
    assert held(server) == FILES


def test_a_fault_of_an_upload_that_stays_is_one_sentence(server: HubServer) -> None:
    server.fail(PUT, *[500] * 6)
    assert refusal() == (
        "The Hub has an internal error (HTTP 500); files that were uploaded are kept, the same command continues later."
    )
    assert send().changed


def test_without_a_token_nothing_is_asked() -> None:
    with hub({}) as server:
        assert refusal() == (
            "Nothing was published: there is no token of the Hub; log in with `hf auth login`, or set HF_TOKEN to a "
            "token with the right to write."
        )
        assert not server.requests


def test_an_expired_token_is_one_sentence(server: HubServer) -> None:
    server.expired = True
    assert refusal() == (
        "The Hub does not accept the token, which may have expired (HTTP 401); log in with `hf auth login`, or set "
        "HF_TOKEN to a token with the right to write."
    )


def test_a_token_that_expires_during_the_upload_is_one_sentence(server: HubServer) -> None:
    server.fail(COMMIT, 401)
    assert refusal().startswith("The Hub does not accept the token, which may have expired (HTTP 401)")


def test_a_name_of_somebody_else_is_one_sentence(server: HubServer, tmp_path: Path) -> None:
    message = "The name other/thing belongs to somebody else, or the token may not write there (HTTP 403); choose"
    assert refusal(name="other/thing").startswith(message)
    (tmp_path / "theirs").mkdir()
    server.repos["other/thing"] = tmp_path / "theirs"
    assert refusal(name="other/thing").startswith(message)


def test_a_repository_with_other_files_is_not_touched(server: HubServer, tmp_path: Path) -> None:
    (tmp_path / "pytorch_model.bin").write_bytes(b"x")
    server.repos[NAME] = tmp_path
    assert refusal() == (
        "Nothing was published: the repository owner/thing holds other files, such as pytorch_model.bin; name another "
        "one."
    )
    assert not server.commits


def test_a_private_publication_needs_a_private_repository(server: HubServer) -> None:
    send(name="owner/secret", private=True)
    assert "owner/secret" in server.private
    send()
    assert refusal(private=True) == (
        "--private: the repository owner/thing exists and is public; change that on its settings page."
    )


def test_a_data_set_is_published_where_data_sets_are(server: HubServer) -> None:
    result = send({"README.md": b"x", "eval.yaml": b"y"}, kind=DATASET, marker="eval.yaml")
    assert result.url == f"{server.address}/datasets/{NAME}"
    assert held(server) == {"README.md": b"x", "eval.yaml": b"y"}


def test_offline_mode_is_one_sentence(server: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert refusal() == "Nothing was published: HF_HUB_OFFLINE is set; publish on a machine with a network."


@pytest.mark.parametrize("name", ["thing", "a/b/c", "owner/", "owner/a b", "owner/..", "-x/y", "owner/" + "a" * 97])
def test_a_name_without_an_owner_or_with_other_characters_is_refused(name: str) -> None:
    from mmeval.errors import UserError

    with pytest.raises(UserError, match="write OWNER/NAME"):
        check_name(name)


def test_the_token_is_never_shown_or_sent_to_the_hub_as_content(
    server: HubServer, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture, faulty: Callable[[], None]
) -> None:
    faulty()
    refusal()
    send()
    captured = capsys.readouterr()
    assert TOKEN not in captured.out + captured.err + caplog.text
    assert not any(TOKEN.encode() in request.body or TOKEN in request.path for request in server.requests)


@pytest.fixture
def faulty(server: HubServer) -> Callable[[], None]:
    return lambda: server.fail(COMMIT, Served(f'{{"error": "bad token {TOKEN}"}}'.encode(), status=400))

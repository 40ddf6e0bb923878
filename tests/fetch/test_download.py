"""Downloads are complete or fail, and no byte that was received is downloaded twice."""

from __future__ import annotations

import hashlib
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mmeval.api.spec import Download
from mmeval.errors import DataError
from mmeval.fetch import check_digest, digests, fetch, fetching, transfer
from mmeval.fetch.part import Part
from tests.hub import TOKEN, hub
from tests.hub.web import Served, Web, serve

CONTENT = bytes(range(256)) * 800
MD5 = hashlib.md5(CONTENT).hexdigest()
OTHER = CONTENT[::-1]
NAME = "data.zip"


@pytest.fixture
def web() -> Iterator[Web]:
    with serve() as web:
        yield web


@pytest.fixture(autouse=True)
def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfer, "PAUSES", (0.0, 0.0))
    monkeypatch.setenv("no_proxy", "*")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "downloads"


def download(web: Web, *paths: str, **fields: object) -> Download:
    """Return a download from ``paths`` of the server, with a rounded size as publishers give it."""
    urls = tuple(web.address + path for path in paths or ("/a",))
    return Download(**{"name": NAME, "urls": urls, "size": len(CONTENT) + 99, "md5": MD5} | fields)


def ranges_of(web: Web) -> list[str | None]:
    """Return the range header of each request."""
    return [request.headers.get("range") for request in web.requests]


def message(download: Download, folder: Path) -> str:
    with pytest.raises(DataError) as error:
        fetch(download, folder)
    return str(error.value)


def partial(folder: Path, count: int, content: bytes = CONTENT, **origin: object) -> Part:
    """Create the files of a download that stopped after ``count`` bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    part = Part(folder / NAME)
    part.path.write_bytes(content[:count])
    (folder / f"{NAME}.part.json").write_text(json.dumps(origin))
    return part


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.suffix != ".lock")


def test_a_file_is_downloaded_once_without_leftovers(web: Web, folder: Path) -> None:
    """`data prepare` must not download and hash 11 GB every time."""
    web.files["/a"] = Served(CONTENT)
    assert fetch(download(web), folder) == folder / NAME
    assert (folder / NAME).read_bytes() == CONTENT
    assert names(folder) == [NAME]
    fetch(download(web), folder)
    assert len(web.requests) == 1


def test_the_digest_of_a_file_is_cached(web: Web, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    web.files["/a"] = Served(CONTENT)
    path = fetch(download(web), folder)
    with monkeypatch.context() as patch:
        patch.setattr(digests, "read_md5", lambda *_: pytest.fail("read again"))
        fetch(download(web), folder)
        check_digest(path, MD5, "glami1m")
    path.write_bytes(OTHER)
    with pytest.raises(DataError):
        check_digest(path, MD5, "glami1m")


def test_the_progress_bar_ends_with_size_and_rate(web: Web, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """So that logs show slow connections."""
    web.files["/a"] = Served(CONTENT)
    fetch(download(web), folder)
    err = capsys.readouterr().err
    assert err.startswith("data.zip: 0 MB in ")
    assert "rate" in err
    assert "data.zip: checking: 0 MB in" in err


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    st.integers(0, len(CONTENT)),
    st.sampled_from(['"one"', 'W/"one"', ""]),
    st.booleans(),
    st.none() | st.integers(60_000, len(CONTENT)),
)
def test_a_download_continues_after_any_byte(web: Web, count: int, etag: str, ranges: bool, cut: int | None) -> None:
    """With every kind of server and interruption."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        web.files["/a"] = Served(CONTENT, etag=etag, ranges=ranges, cut=cut, cuts=2)
        partial(folder, count, url=f"{web.address}/a", etag=etag, total=len(CONTENT))
        web.requests.clear()
        fetch(download(web), folder)
        assert (folder / NAME).read_bytes() == CONTENT
        assert ranges_of(web)[0] == (f"bytes={count}-" if count else None)


class Case(NamedTuple):
    etag: str
    content: bytes
    ranges: bool = True


@pytest.mark.parametrize("md5", [MD5, ""], ids=["digest", "no digest"])
@pytest.mark.parametrize(
    "case",
    [Case('"one"', CONTENT), Case('"two"', OTHER), Case('"two"', OTHER, ranges=False)],
    ids=["same", "other", "other, no ranges"],
)
def test_bytes_of_two_versions_are_never_mixed(web: Web, folder: Path, case: Case, md5: str) -> None:
    """A file may be published anew while a download is incomplete."""
    web.files["/a"] = Served(CONTENT, etag='"one"', ranges=case.ranges)
    partial(folder, 1000, case.content, url=f"{web.address}/a", etag=case.etag, total=len(CONTENT))
    assert fetch(download(web, md5=md5), folder).read_bytes() == CONTENT
    assert web.requests[0].headers["if-range"] == case.etag


def test_without_a_digest_another_address_starts_from_the_beginning(web: Web, folder: Path) -> None:
    """Two servers may have different content under the same name."""
    web.files["/a"], web.files["/b"] = Served(status=503), Served(CONTENT)
    partial(folder, 1000, OTHER, url=f"{web.address}/a", etag='"one"', total=len(CONTENT))
    assert fetch(download(web, "/a", "/b", md5=""), folder).read_bytes() == CONTENT
    assert ranges_of(web) == ["bytes=1000-", None]


def test_with_a_digest_another_address_continues(web: Web, folder: Path) -> None:
    """So that 10 GB are not lost because one server fails."""
    web.files["/a"], web.files["/b"] = Served(status=503), Served(CONTENT, etag='"theirs"')
    partial(folder, 1000, url=f"{web.address}/a", etag='"one"', total=len(CONTENT))
    assert fetch(download(web, "/a", "/b"), folder).read_bytes() == CONTENT
    assert ranges_of(web) == ["bytes=1000-", "bytes=1000-"]


def test_a_server_without_ranges_that_fails_loses_nothing(web: Web, folder: Path) -> None:
    web.files["/a"] = Served(CONTENT, ranges=False, cut=500)
    partial(folder, 1000, url=f"{web.address}/a", etag='"one"', total=len(CONTENT))
    assert message(download(web), folder) == (
        "data.zip could not be fetched (1.0 kB are kept, the next call continues from there): "
        f"{web.address}/a: the connection ended after 1.0 kB of 204.8 kB."
    )
    web.files["/a"].cut = None
    assert fetch(download(web), folder).read_bytes() == CONTENT


def test_broken_connections_are_retried_while_bytes_arrive(web: Web, folder: Path) -> None:
    """A bad connection can then still download 11 GB."""
    web.files["/a"] = Served(CONTENT, cut=50_000)
    fetch(download(web), folder)
    assert ranges_of(web) == [None, "bytes=50000-", "bytes=100000-", "bytes=150000-", "bytes=200000-"]


def test_a_stalled_connection_counts_as_broken(web: Web, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfer, "TIMEOUT", 0.1)
    web.files["/a"] = Served(CONTENT, pace=0.4)
    monkeypatch.setattr(transfer, "PAUSES", ())
    assert "/a: no answer within 0 s." in message(download(web), folder)
    assert Part(folder / NAME).size > 0


def test_truncated_content_is_kept_and_continued_by_the_next_call(web: Web, folder: Path) -> None:
    """A truncated file must not pass for the data set."""
    web.files["/a"] = Served(CONTENT, cut=0)
    partial(folder, 5000, url=f"{web.address}/a", etag='"one"', total=len(CONTENT))
    assert "ended after 5.0 kB of 204.8 kB" in message(download(web), folder)
    assert names(folder) == [f"{NAME}.part", f"{NAME}.part.json"]
    web.files["/a"].cut = None
    fetch(download(web), folder)
    assert ranges_of(web)[-1] == "bytes=5000-"


def test_content_without_a_declared_length_is_checked_by_its_digest(web: Web, folder: Path) -> None:
    web.files["/a"] = Served(CONTENT, length=False)
    assert fetch(download(web), folder).read_bytes() == CONTENT


@pytest.mark.parametrize("ending", [b"", b"more"])
def test_a_complete_part_is_not_downloaded_again(web: Web, folder: Path, ending: bytes) -> None:
    """As a process leaves that was killed while it computed the digest."""
    web.files["/a"] = Served(CONTENT)
    partial(folder, 10**9, CONTENT + ending, url=f"{web.address}/a", etag='"one"', total=len(CONTENT))
    assert fetch(download(web), folder).read_bytes() == CONTENT
    assert ranges_of(web) == [f"bytes={len(CONTENT + ending)}-"] + ([None] if ending else [])


def test_the_message_lists_the_reason_of_every_address(web: Web, folder: Path) -> None:
    web.files["/a"], web.files["/b"] = Served(status=403), Served(status=500)
    insecure = "http://example.org/data.zip"
    closed = "http://127.0.0.1:9/data.zip"
    missing = download(web, "/a", "/b", "/c")
    missing = Download(name=missing.name, urls=(*missing.urls, insecure, closed), size=missing.size, md5=missing.md5)
    at = web.address
    assert message(missing, folder) == (
        f"data.zip could not be fetched: {at}/a: HTTP 403 Forbidden; {at}/b: HTTP 500 Internal Server Error; "
        f"{at}/c: HTTP 404 Not Found; {insecure}: only https:// is used; {closed}: no connection (Connection refused)."
    )
    web.files["/c"] = Served(CONTENT)
    assert fetch(missing, folder).read_bytes() == CONTENT


def test_a_download_without_addresses_is_refused(folder: Path) -> None:
    assert (
        message(Download(name=NAME, urls=(), size=10), folder) == "data.zip could not be fetched: no address is known."
    )


def test_redirects_are_followed_only_to_https(web: Web, folder: Path) -> None:
    web.files["/a"], web.files["/b"] = Served(redirect="http://example.org/"), Served(redirect=f"{web.address}/c")
    web.files["/c"] = Served(CONTENT)
    assert message(download(web, "/a"), folder) == (
        f"data.zip could not be fetched: {web.address}/a: it redirects to http://example.org/, and only https:// is "
        "used."
    )
    assert fetch(download(web, "/b"), folder).read_bytes() == CONTENT


def test_content_of_another_size_is_refused_and_the_part_kept(web: Web, folder: Path) -> None:
    """A log-in page with status 200 must not replace 10 GB."""
    web.files["/a"] = Served(b"<html>Log in")
    partial(folder, 1000, url=f"{web.address}/a", etag='"other"', total=len(CONTENT))
    assert message(download(web), folder) == (
        "data.zip could not be fetched (1.0 kB are kept, the next call continues from there): "
        f"{web.address}/a: it offers 12 bytes where 204.9 kB are published."
    )


def test_a_file_with_a_wrong_digest_is_refused_and_kept_under_another_name(web: Web, folder: Path) -> None:
    web.files["/a"] = Served(OTHER)
    wrong = hashlib.md5(OTHER).hexdigest()
    assert message(download(web), folder) == (
        f"data.zip could not be fetched: {web.address}/a: not the published file, its MD5 is {wrong} and not {MD5} "
        "(kept as data.zip.wrong)."
    )
    assert names(folder) == [f"{NAME}.wrong"]
    web.files["/b"] = Served(CONTENT)
    assert fetch(download(web, "/a", "/b"), folder).read_bytes() == CONTENT


def test_an_incomplete_file_of_the_user_is_continued(web: Web, folder: Path) -> None:
    """For example 8 GB that a browser downloaded."""
    web.files["/a"] = Served(CONTENT)
    folder.mkdir()
    (folder / NAME).write_bytes(CONTENT[:150_000])
    assert fetch(download(web), folder).read_bytes() == CONTENT
    assert ranges_of(web) == ["bytes=150000-"]


@pytest.mark.parametrize("md5", [MD5, ""], ids=["digest", "no digest"])
def test_another_file_with_the_same_name_is_renamed(web: Web, folder: Path, md5: str) -> None:
    """A user's own file must not be lost."""
    web.files["/a"] = Served(CONTENT)
    folder.mkdir()
    (folder / NAME).write_bytes(CONTENT * 2)
    assert fetch(download(web, md5=md5), folder).read_bytes() == CONTENT
    assert (folder / f"{NAME}.wrong").read_bytes() == CONTENT * 2


def test_free_space_is_checked_before_the_download(web: Web, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**9, 10**9 - 3000, 3000))
    partial(folder, 1000)
    assert message(download(web, size=100_000), folder) == (
        f"There is no room for data.zip: it needs 104.0 kB, and {folder} has 3.0 kB free; "
        "make room, or choose another folder."
    )
    assert not web.requests


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 128 KiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = shutil.which("mount")
    if mount is None or subprocess.run([mount, "-t", "tmpfs", "-o", "size=128k", "none", disk]).returncode:
        pytest.skip("mounting a small disk needs root")
    yield disk
    subprocess.run(["umount", disk], check=True)


def test_a_full_disk_keeps_the_received_bytes(web: Web, small_disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that the download continues once there is room."""
    monkeypatch.setattr(fetching, "_need_room", lambda *_: None)
    web.files["/a"] = Served(CONTENT)
    text = message(download(web), small_disk)
    kept = Part(small_disk / NAME).size
    assert text == (
        f"The disk is full: {small_disk}/data.zip.part could not be written further; make room and call again, "
        f"the download continues after the {kept / 1000:.1f} kB received so far."
    )
    assert kept > 100_000
    assert (small_disk / f"{NAME}.part").read_bytes() == CONTENT[:kept]
    subprocess.run(["mount", "-o", "remount,size=1m", small_disk], check=True)
    assert fetch(download(web), small_disk).read_bytes() == CONTENT


def test_a_file_size_limit_is_reported(web: Web, folder: Path) -> None:
    """Like a quota; a full disk is tested only where one can be mounted."""
    web.files["/a"] = Served(CONTENT)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, before[1]))
    try:
        text = message(download(web), folder)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert text == (
        f"{folder}/data.zip.part can't be written: File too large; choose another folder or change its permissions."
    )
    assert Part(folder / NAME).size == 50_000


def test_a_folder_that_is_a_file_is_refused(web: Web, folder: Path) -> None:
    folder.write_text("")
    assert message(download(web), folder) == (
        f"{folder} can't be written: File exists; choose another folder or change its permissions."
    )


FETCH = textwrap.dedent("""
    import sys
    from pathlib import Path
    from mmeval.fetch import fetch
    from mmeval.api.spec import Download
    url, size, md5, folder = sys.argv[1:]
    print(fetch(Download(name="data.zip", urls=(url,), size=int(size), md5=md5), Path(folder)))
""")


def start(web: Web, folder: Path) -> subprocess.Popen[str]:
    words = [sys.executable, "-c", FETCH, f"{web.address}/a", str(len(CONTENT)), MD5, str(folder)]
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_for_some(folder: Path) -> None:
    end = time.monotonic() + 20
    while not Part(folder / NAME).size and time.monotonic() < end:
        time.sleep(0.01)


def test_the_download_of_a_killed_process_is_continued(web: Web, folder: Path) -> None:
    web.files["/a"] = Served(CONTENT, pace=0.1)
    with start(web, folder) as process:
        wait_for_some(folder)
        os.kill(process.pid, signal.SIGKILL)
    count = Part(folder / NAME).size
    assert 0 < count < len(CONTENT)
    web.files["/a"].pace = 0
    assert fetch(download(web), folder).read_bytes() == CONTENT
    assert ranges_of(web) == [None, f"bytes={count}-"]


def test_two_processes_download_a_file_once(web: Web, folder: Path) -> None:
    web.files["/a"] = Served(CONTENT, pace=0.1)
    with start(web, folder) as first:
        wait_for_some(folder)
        with start(web, folder) as second:
            output, err = second.communicate()
        first.communicate()
    assert output == f"{folder}/data.zip\n"
    assert "data.zip: another process is fetching it; waiting" in err
    assert (first.returncode, second.returncode, len(web.requests)) == (0, 0, 1)


def test_a_users_own_file_is_compared_with_the_published_digest(tmp_path: Path) -> None:
    """A truncated archive must not be prepared as the release."""
    path = tmp_path / "glami.zip"
    path.write_bytes(CONTENT[:-1])
    md5 = hashlib.md5(CONTENT[:-1]).hexdigest()
    with pytest.raises(DataError) as error:
        check_digest(path, MD5.upper(), "glami1m")
    assert str(error.value) == (
        f"{path} is not the published file: its MD5 is {md5}, the card says {MD5}; a download that was cut short "
        "looks like this: fetch it again, or accept it as it is with --allow-mismatch."
    )
    path.write_bytes(CONTENT)
    check_digest(path, MD5.upper(), "glami1m")
    with pytest.raises(DataError) as error:
        check_digest(tmp_path / "none.zip", MD5, "glami1m")
    assert str(error.value) == f"{tmp_path}/none.zip can't be read: No such file or directory."


def test_a_damaged_digest_cache_is_ignored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also a cache that can't be written."""
    monkeypatch.setenv("MMEVAL_HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    path = tmp_path / "a.zip"
    path.write_bytes(CONTENT)
    for damaged in ('{"a":', "[]", json.dumps({str(path): 5}), json.dumps({str(path): {"size": len(CONTENT)}})):
        (tmp_path / "home" / "digests.json").write_text(damaged)
        check_digest(path, MD5, "glami1m")
    shutil.rmtree(tmp_path / "home")
    (tmp_path / "home").write_text("a file")
    check_digest(path, MD5, "glami1m")


class TestFromTheHub:
    """Data set repositories that hold an archive."""

    @pytest.fixture
    def archive(self, tmp_path: Path) -> Path:
        repository = tmp_path / "repository"
        repository.mkdir()
        (repository / NAME).write_bytes(CONTENT)
        return repository

    def test_the_hub_is_tried_first_and_continues_a_download(self, archive: Path, folder: Path) -> None:
        with hub({"owner/name": archive}) as server:
            url = f"{server.address}/datasets/owner/name/resolve/main/{NAME}"
            partial(folder, 1000, url=url, etag=hashlib.sha256(CONTENT).hexdigest(), total=len(CONTENT))
            fetch(
                Download(name=NAME, urls=("https://example.invalid/",), size=len(CONTENT), md5=MD5, hub="owner/name"),
                folder,
            )
            assert (folder / NAME).read_bytes() == CONTENT
            requests = [(request.method, request.headers.get("range")) for request in server.file_requests()]
            assert requests == [("HEAD", None), ("GET", "bytes=1000-"), ("GET", "bytes=1000-")]

    def test_the_token_is_sent_to_the_hub_only(self, archive: Path, folder: Path) -> None:
        """Not to the host that the Hub redirects to."""
        with hub({"owner/name": archive}, token=TOKEN) as server:
            server.private = ["owner/name"]
            fetch(Download(name=NAME, urls=(), size=len(CONTENT), md5=MD5, hub="owner/name"), folder)
            sent = [request.headers.get("authorization") for request in server.file_requests()]
            assert sent == [f"Bearer {TOKEN}", f"Bearer {TOKEN}", None]

    @pytest.mark.parametrize(
        ("name", "setting", "reason"),
        [
            (
                "owner/name",
                {"gated": ["owner/name"]},
                "access is granted on request: ask at https://huggingface.co/datasets/owner/name, then log in with "
                "`hf auth login`",
            ),
            ("owner/none", {}, "no such data set, or a private one: check the name, or log in with `hf auth login`"),
            ("owner/empty", {}, 'it has no file "data.zip"'),
            ("not a name", {}, "this is not a valid name of a data set; names look like owner/name"),
            ("owner/name", {"down": 503}, "HTTP 503"),
        ],
    )
    def test_errors_of_the_hub_are_reported(
        self, archive: Path, folder: Path, tmp_path: Path, name: str, setting: dict[str, object], reason: str
    ) -> None:
        (tmp_path / "empty").mkdir()
        with hub({"owner/name": archive, "owner/empty": tmp_path / "empty"}) as server:
            vars(server).update(setting)
            missing = Download(name=NAME, urls=(), size=len(CONTENT), md5=MD5, hub=name)
            assert message(missing, folder) == f"data.zip could not be fetched: the Hub's {name}: {reason}."

    def test_an_invalid_token_is_reported(self, archive: Path, folder: Path) -> None:
        with hub({"owner/name": archive}, token="hf_old"):
            missing = Download(name=NAME, urls=(), size=len(CONTENT), md5=MD5, hub="owner/name")
            assert message(missing, folder) == (
                "data.zip could not be fetched: the Hub's owner/name: the token is not valid (HTTP 401): "
                "log in again with `hf auth login`."
            )

    def test_other_addresses_are_used_in_the_hubs_offline_mode(
        self, web: Web, archive: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Clusters set HF_HUB_OFFLINE for models; it does not concern other servers."""
        from huggingface_hub import constants

        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
        missing = download(web, hub="owner/name")
        assert message(missing, folder) == (
            f"data.zip could not be fetched: the Hub's owner/name: HF_HUB_OFFLINE is set; {web.address}/a: "
            "HTTP 404 Not Found."
        )
        web.files["/a"] = Served(CONTENT)
        assert fetch(missing, folder).read_bytes() == CONTENT

    def test_a_missing_network_is_reported(self, folder: Path) -> None:
        with hub({}) as server:
            pass
        with hub({}):
            from huggingface_hub import constants

            constants.ENDPOINT = server.address
            constants.HUGGINGFACE_CO_URL_TEMPLATE = server.address + "/{repo_id}/resolve/{revision}/{filename}"
            missing = Download(name=NAME, urls=(), size=len(CONTENT), md5=MD5, hub="owner/name")
            assert message(missing, folder) == (
                "data.zip could not be fetched: the Hub's owner/name: no connection (ConnectError)."
            )

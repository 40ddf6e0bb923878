"""What counts as reaching for a network, and what doesn't: else a model is accused wrongly, or not at all."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mmeval.testing.network import no_network

NOWHERE = "example.invalid"
DISCARD = ("127.0.0.1", 9)


def _connect() -> None:
    with socket.create_connection(DISCARD, timeout=1):
        pass


def _connect_without_lookup() -> None:
    with socket.socket() as end:
        end.connect(DISCARD)


def _datagram() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as end:
        end.sendto(b"?", DISCARD)


def _message() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as end:
        end.sendmsg([b"?"], [], 0, DISCARD)


ATTEMPTS = {
    "connect": (_connect, "127.0.0.1"),
    "connect without a look-up": (_connect_without_lookup, "127.0.0.1"),
    "getaddrinfo": (lambda: socket.getaddrinfo(NOWHERE, 80), NOWHERE),
    "gethostbyname": (lambda: socket.gethostbyname(NOWHERE), NOWHERE),
    "gethostbyaddr": (lambda: socket.gethostbyaddr("127.0.0.1"), "127.0.0.1"),
    "getnameinfo": (lambda: socket.getnameinfo(DISCARD, 0), "127.0.0.1"),
    "datagram": (_datagram, "127.0.0.1"),
    "message": (_message, "127.0.0.1"),
}


@pytest.fixture
def server() -> Iterator[tuple[str, int]]:
    """The address of a socket that listens on this machine."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening.getsockname()


@pytest.mark.parametrize("attempt", ATTEMPTS)
def test_every_way_out_is_refused_and_recorded(attempt: str) -> None:
    """A look-up that the audit doesn't know would go unnoticed on a machine that has a network."""
    call, host = ATTEMPTS[attempt]
    with no_network() as attempts, pytest.raises(ConnectionRefusedError, match="may not use the network when it pre"):
        call()
    assert attempts == [host]


def test_a_server_that_is_there_is_refused_too(server: tuple[str, int]) -> None:
    """Else the verdict would depend on what the machine can reach."""
    with no_network() as attempts, pytest.raises(ConnectionRefusedError), socket.socket() as end:
        end.connect(server)
    assert attempts == ["127.0.0.1"]


def test_an_attempt_whose_error_is_swallowed_is_recorded() -> None:
    """Downloaders go on without a network; the model would be another one where there is one."""
    with no_network() as attempts:
        for _ in range(2):
            with contextlib.suppress(OSError):
                socket.getaddrinfo(NOWHERE, 443)
    assert attempts == [NOWHERE, NOWHERE]


def test_an_attempt_in_another_thread_is_recorded() -> None:
    """Batches are made in threads."""

    def ask() -> None:
        with contextlib.suppress(OSError):
            socket.getaddrinfo(NOWHERE, 443)

    with no_network() as attempts:
        thread = threading.Thread(target=ask)
        thread.start()
        thread.join()
    assert attempts == [NOWHERE]


def _pair() -> None:
    one, other = socket.socketpair()
    with one, other:
        one.sendall(b"sent")
        one.sendmsg([b"sent"])
        assert other.recv(8) == b"sentsent"


def _unix_stream() -> None:
    with socket.socket(socket.AF_UNIX) as listening, socket.socket(socket.AF_UNIX) as end:
        listening.bind("stream")
        listening.listen()
        end.connect("stream")


def _unix_datagram() -> None:
    with (
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiving,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end,
    ):
        receiving.bind("datagram")
        end.sendto(b"sent", "datagram")
        end.sendmsg([b"sent"], [], 0, b"datagram")
        assert [receiving.recv(8), receiving.recv(8)] == [b"sent", b"sent"]


async def _nothing() -> None:
    await asyncio.sleep(0)


@pytest.mark.parametrize(
    "work",
    [_pair, _unix_stream, _unix_datagram, lambda: asyncio.run(_nothing()), lambda: Path("notes").write_text("mine")],
    ids=["socket pair", "Unix stream", "Unix datagram", "event loop", "file"],
)
def test_what_stays_on_the_machine_is_let_be(
    work: Callable[[], object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Processes talk by Unix sockets: a loader with workers must not be taken for a download."""
    monkeypatch.chdir(tmp_path)
    with no_network() as attempts:
        work()
    assert attempts == []


def test_the_guard_sleeps_after_the_block(server: tuple[str, int]) -> None:
    """An audit hook can't be taken away; a process that has checked a plugin must reach its network again."""
    with contextlib.suppress(RuntimeError), no_network() as attempts:
        raise RuntimeError
    with no_network() as others:
        pass
    with socket.create_connection(server, timeout=5):
        assert socket.getaddrinfo(*server)
    assert attempts == others == []

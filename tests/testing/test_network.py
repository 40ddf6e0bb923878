"""Attempts to use the network are refused and recorded; traffic within the machine is not."""

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
def test_every_kind_of_attempt_is_refused_and_recorded(attempt: str) -> None:
    """A look-up that the audit hook misses would go unnoticed on a machine with a network."""
    call, host = ATTEMPTS[attempt]
    with no_network() as attempts, pytest.raises(ConnectionRefusedError, match="may not use the network when it pre"):
        call()
    assert attempts == [host]


def test_a_reachable_server_is_refused_too(server: tuple[str, int]) -> None:
    """Otherwise the verdict would depend on the machine."""
    with no_network() as attempts, pytest.raises(ConnectionRefusedError), socket.socket() as end:
        end.connect(server)
    assert attempts == ["127.0.0.1"]


def test_an_attempt_whose_error_is_swallowed_is_recorded() -> None:
    """A downloader may continue without a network, and give another model with one."""
    with no_network() as attempts:
        for _ in range(2):
            with contextlib.suppress(OSError):
                socket.getaddrinfo(NOWHERE, 443)
    assert attempts == [NOWHERE, NOWHERE]


def test_an_attempt_in_another_thread_is_recorded() -> None:
    """Batches are built in threads."""

    def ask() -> None:
        with contextlib.suppress(OSError):
            socket.getaddrinfo(NOWHERE, 443)

    with no_network() as attempts:
        thread = threading.Thread(target=ask)
        thread.start()
        thread.join()
    assert attempts == [NOWHERE]


def _pair() -> None:
    sender, receiver = socket.socketpair()
    with sender, receiver:
        sender.sendall(b"sent")
        sender.sendmsg([b"sent"])
        assert receiver.recv(8) == b"sentsent"


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
def test_traffic_within_the_machine_is_allowed(
    work: Callable[[], object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Worker processes of a data loader communicate by Unix sockets."""
    monkeypatch.chdir(tmp_path)
    with no_network() as attempts:
        work()
    assert attempts == []


def test_the_network_works_again_after_the_block(server: tuple[str, int]) -> None:
    """Python can't remove an audit hook, so it must become inactive."""
    with contextlib.suppress(RuntimeError), no_network() as attempts:
        raise RuntimeError
    with no_network() as others:
        pass
    with socket.create_connection(server, timeout=5):
        assert socket.getaddrinfo(*server)
    assert attempts == others == []

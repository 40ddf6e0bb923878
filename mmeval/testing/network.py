"""Refusing and recording network connections."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from typing import Any

LOOKUPS = ("socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr", "socket.getnameinfo")
EVENTS = ("socket.connect", "socket.sendto", "socket.sendmsg", *LOOKUPS)


class _Guard:
    """State of the audit hook: Python can't remove a hook, so the process has one, which is inactive by default."""

    installed = False
    attempts: list[str] | None = None


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    if _Guard.attempts is None or event not in EVENTS:
        return
    address = arguments[0] if event in LOOKUPS else arguments[1]
    if address is None or (isinstance(address, str | bytes) and event not in LOOKUPS):
        return  # a connected socket, or a Unix socket of this machine
    _Guard.attempts.append(str(address[0]) if isinstance(address, tuple) else str(address))
    raise ConnectionRefusedError("mmeval: a model may not use the network when it predicts")


@contextlib.contextmanager
def no_network() -> Iterator[list[str]]:
    """Refuse connections from Python code in every thread, and yield the list of requested hosts.

    The list also holds requests whose error the calling code caught.
    """
    if not _Guard.installed:
        sys.addaudithook(_hook)
        _Guard.installed = True
    attempts: list[str] = []
    _Guard.attempts = attempts
    try:
        yield attempts
    finally:
        _Guard.attempts = None

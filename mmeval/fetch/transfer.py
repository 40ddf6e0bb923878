"""One file from one address over HTTPS, going on where it stopped.

The standard library's client is used: the Hub's brings another HTTP library with each major version, and begins a file
that was interrupted from nothing (huggingface_hub #4306), which 11 GB don't allow.
"""

from __future__ import annotations

import http.client
import re
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.message import Message

from rich.filesize import decimal

from mmeval.console import note, progress
from mmeval.fetch.part import Origin, Part
from mmeval.fetch.redirects import Redirects, Unavailable, secure
from mmeval.version import __version__

PAUSES = (1.0, 3.0, 10.0, 30.0)
"""Seconds before each new attempt after a connection broke, from the start again whenever something came."""
TIMEOUT = 30.0
"""Seconds without a byte after which a connection counts as broken."""
MEGABYTE = 1_000_000
BLOCK = 1024 * 1024


@dataclass(frozen=True)
class Address:
    """Where a file may be fetched."""

    url: str
    label: str
    """As messages name it."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """Sent to this host only, never on to where it redirects."""
    etag: str = ""
    """What tells the content from other content, where it is known beforehand."""


def transfer(address: Address, part: Part, *, name: str, size: int, trusted: bool) -> None:
    """Fetch the rest of ``part``.

    Args:
        address: where from.
        part: what has come so far, possibly nothing.
        name: of the file, for the bar.
        size: about how many bytes it has; other content is refused.
        trusted: a digest will judge the whole, so that what another address gave may be continued.

    Raises:
        Unavailable: the address doesn't give it, or the connection keeps breaking; what has come is kept.
        DataError: it can't be written.
    """
    best, pauses, connected = part.size, iter(PAUSES), False
    while True:
        try:
            with _open(address, part, trusted) as response:
                connected = True
                _receive(response, address, part, name, size, trusted)
                return
        except _Again:
            continue
        except urllib.error.HTTPError as error:
            error.close()
            # DatasetRequest to go on after the end: it is complete, or not what the server has.
            if error.code == 416 and part.size:
                if _total(error.headers) == part.size:
                    return
                part.set_aside()
                continue
            raise Unavailable(f"HTTP {error.code} {error.reason}") from error
        except (OSError, http.client.HTTPException) as error:
            if part.size > best:
                best, pauses = part.size, iter(PAUSES)
            pause = next(pauses, None)
            if pause is None or (isinstance(error, urllib.error.URLError) and not connected):
                raise Unavailable(_reason(error)) from error
            note(f"{name}: {_reason(error)}; trying again in {pause:.0f} s")
            time.sleep(pause)


class _Again(Exception):  # noqa: N818 - not an error
    """Ask once more: what had come is of other content and was forgotten."""


class _Cut(OSError):  # noqa: N818 - one of the reasons to go on
    """The connection ended before the content did."""


def _open(address: Address, part: Part, trusted: bool) -> http.client.HTTPResponse:
    if not secure(address.url):
        raise Unavailable("only https:// is used")
    request = urllib.request.Request(address.url, headers={"User-Agent": f"mmeval/{__version__}"})
    for key, value in address.headers.items():
        request.add_unredirected_header(key, value)
    was = part.origin
    if part.size and (trusted or was.url == address.url):
        request.add_header("Range", f"bytes={part.size}-")
        # A server whose content has changed then sends all of it at once. Weak validators are not for ranges, and an
        # ETag known beforehand is not of the host that it redirects to.
        if was.url == address.url and was.etag.startswith('"') and not address.etag:
            request.add_header("If-Range", was.etag)
    opener = urllib.request.build_opener(Redirects())
    response: http.client.HTTPResponse = opener.open(request, timeout=TIMEOUT)
    return response


def _receive(
    response: http.client.HTTPResponse, address: Address, part: Part, name: str, size: int, trusted: bool
) -> None:
    total = _total(response.headers)
    if total is not None and not near(total, size):
        raise Unavailable(f"it offers {decimal(total)} where {decimal(size)} are published")
    origin = Origin(address.url, address.etag or response.headers.get("ETag", ""), total)
    position = _start(response.headers) if response.status == 206 else 0
    if part.size and not part.continues_as(origin, trusted=trusted):
        note(f"{name}: what had come is not of the file at {address.label}; starting again")
        part.clear()
        if position:
            raise _Again
    have = part.size
    if position > have:
        raise Unavailable("it answers with another range than was asked for")
    if have > position:
        note(f"{name}: {address.label} can't go on after {decimal(have)}; they are received again")
    began, shown, pending = time.monotonic(), 0.0, 0
    with (
        part.append(origin) as write,
        progress(name, None if total is None else -(-total // MEGABYTE), "MB") as advance,
    ):
        advance(have / MEGABYTE)
        first = have
        while block := response.read1(BLOCK):
            # What had come already is passed over, so that nothing is lost if this connection breaks sooner.
            fresh = block[max(have - position, 0) :]
            position += len(block)
            write(fresh)
            have += len(fresh)
            pending += len(fresh)
            if (now := time.monotonic()) - shown > 0.2:
                advance(pending / MEGABYTE, rate=f"{decimal(int((have - first) / max(now - began, 1e-3)))}/s")
                shown, pending = now, 0
        advance(pending / MEGABYTE)
    if total is not None and have < total:
        raise _Cut(f"the connection ended after {decimal(have)} of {decimal(total)}")


def near(count: int, size: int) -> bool:
    """Whether a number of bytes may be the published one, which may be rounded."""
    return abs(count - size) <= size / 20


def _start(headers: Message) -> int:
    found = re.match(r"bytes (\d+)-", headers.get("Content-Range", ""))
    if found is None:
        raise Unavailable("it doesn't say which range it answers with")
    return int(found[1])


def _total(headers: Message) -> int | None:
    if content_range := headers.get("Content-Range"):
        after = content_range.rpartition("/")[2]
        return int(after) if after.isdecimal() else None
    length = headers.get("Content-Length", "")
    return int(length) if length.isdecimal() else None


def _reason(error: BaseException) -> str:
    if isinstance(error, urllib.error.URLError):
        inner = error.reason
        return f"no connection ({getattr(inner, 'strerror', None) or inner})"
    if isinstance(error, TimeoutError):
        return f"no answer within {TIMEOUT:.0f} s"
    if isinstance(error, _Cut):
        return str(error)
    return f"the connection broke ({getattr(error, 'strerror', None) or error})"

"""Resumable download of a file from an address over HTTPS.

It uses the standard library's client. The Hub's client changes its HTTP library between major versions, and restarts an
interrupted file from the beginning (huggingface_hub #4306), which is too costly for 11 GB.
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
from mmeval.fetch.part import Part, RemoteVersion
from mmeval.fetch.redirects import Redirects, Unavailable, secure
from mmeval.version import __version__

PAUSES = (1.0, 3.0, 10.0, 30.0)
"""Seconds before each new attempt after a broken connection; the list starts again whenever bytes were received."""
TIMEOUT = 30.0
"""Seconds without a byte after which a connection counts as broken."""
MEGABYTE = 1_000_000
BLOCK = 1024 * 1024


@dataclass(frozen=True)
class Address:
    """An address that may provide a file."""

    url: str
    label: str
    """The name of the address in messages."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """Headers for this host only; they are not sent to hosts that it redirects to."""
    etag: str = ""
    """The ETag of the content, if it is known beforehand."""


def transfer(address: Address, part: Part, *, name: str, size: int, trusted: bool) -> None:
    """Download the rest of a file.

    Args:
        address: the address.
        part: the partial file, possibly empty.
        name: the name of the file on the progress bar.
        size: the approximate size in bytes; content of another size is refused.
        trusted: whether a digest will check the whole file, so that bytes of another address may be continued.

    Raises:
        Unavailable: the address does not provide the file, or the connection keeps breaking; received bytes are kept.
        DataError: the file can't be written.
    """
    best, pauses, connected = part.size, iter(PAUSES), False
    while True:
        try:
            with _open(address, part, trusted) as response:
                connected = True
                _receive(response, address, part, name, size, trusted)
                return
        except _StartAgain:
            continue
        except urllib.error.HTTPError as error:
            error.close()
            # The requested range starts at the end: the file is complete, or differs from the server's.
            if error.code == 416 and part.size:
                if _total(error.headers) == part.size:
                    return
                part.reject()
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


class _StartAgain(Exception):  # noqa: N818 - not an error
    """The partial file belonged to other content and was deleted; the request must be repeated."""


class _ConnectionEnded(OSError):  # noqa: N818 - one of the reasons to try again
    """The connection ended before the content did."""


def _open(address: Address, part: Part, trusted: bool) -> http.client.HTTPResponse:
    if not secure(address.url):
        raise Unavailable("only https:// is used")
    request = urllib.request.Request(address.url, headers={"User-Agent": f"mmeval/{__version__}"})
    for key, value in address.headers.items():
        request.add_unredirected_header(key, value)
    before = part.version
    if part.size and (trusted or before.url == address.url):
        request.add_header("Range", f"bytes={part.size}-")
        # With If-Range, a server whose content has changed sends all of it. Weak ETags are not allowed there, and an
        # ETag that was known beforehand is not the one of the host that the address redirects to.
        if before.url == address.url and before.etag.startswith('"') and not address.etag:
            request.add_header("If-Range", before.etag)
    opener = urllib.request.build_opener(Redirects())
    response: http.client.HTTPResponse = opener.open(request, timeout=TIMEOUT)
    return response


def _receive(
    response: http.client.HTTPResponse, address: Address, part: Part, name: str, size: int, trusted: bool
) -> None:
    total = _total(response.headers)
    if total is not None and not near(total, size):
        raise Unavailable(f"it offers {decimal(total)} where {decimal(size)} are published")
    version = RemoteVersion(address.url, address.etag or response.headers.get("ETag", ""), total)
    position = _start(response.headers) if response.status == 206 else 0
    if part.size and not part.can_continue(version, trusted=trusted):
        note(f"{name}: the partial file differs from the file at {address.label}; starting again")
        part.clear()
        if position:
            raise _StartAgain
    have = part.size
    if position > have:
        raise Unavailable("it sent another range than the requested one")
    if have > position:
        note(f"{name}: {address.label} can't continue after {decimal(have)}; they are downloaded again")
    started, shown, pending = time.monotonic(), 0.0, 0
    with (
        part.append(version) as write,
        progress(name, None if total is None else -(-total // MEGABYTE), "MB") as advance,
    ):
        advance(have / MEGABYTE)
        first = have
        while block := response.read1(BLOCK):
            # Bytes that are in the part already are skipped, so that it only grows, even if this connection breaks.
            fresh = block[max(have - position, 0) :]
            position += len(block)
            write(fresh)
            have += len(fresh)
            pending += len(fresh)
            if (now := time.monotonic()) - shown > 0.2:
                advance(pending / MEGABYTE, rate=f"{decimal(int((have - first) / max(now - started, 1e-3)))}/s")
                shown, pending = now, 0
        advance(pending / MEGABYTE)
    if total is not None and have < total:
        raise _ConnectionEnded(f"the connection ended after {decimal(have)} of {decimal(total)}")


def near(count: int, size: int) -> bool:
    """Return whether a number of bytes agrees with the published size, which may be rounded."""
    return abs(count - size) <= size / 20


def _start(headers: Message) -> int:
    """Return the offset at which a partial response (HTTP 206) starts, from its ``Content-Range``.

    Raises:
        Unavailable: the header is missing or has another form.
    """
    match = re.match(r"bytes (\d+)-", headers.get("Content-Range", ""))
    if match is None:
        raise Unavailable("its response does not name the range")
    return int(match[1])


def _total(headers: Message) -> int | None:
    """Return the size of the whole content; None if the server does not tell."""
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
    if isinstance(error, _ConnectionEnded):
        return str(error)
    return f"the connection broke ({getattr(error, 'strerror', None) or error})"

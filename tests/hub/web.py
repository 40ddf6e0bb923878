"""A file server on 127.0.0.1 that can imitate the faults of real servers."""

from __future__ import annotations

import contextlib
import re
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Served:
    """The content at a path, and how the server sends it."""

    content: bytes = b""
    etag: str = '"one"'
    """The ETag; empty to send none."""
    ranges: bool = True
    """Whether range requests are supported; if not, the whole content is sent."""
    length: bool = True
    """Whether the response declares its length."""
    cut: int | None = None
    """Bytes after which each connection is closed."""
    cuts: int = 10**9
    """Number of connections that are closed early."""
    pace: float = 0.0
    """Seconds between blocks of 16 KiB."""
    status: int = 200
    hang_up: bool = False
    """Whether the connection is closed without any response."""
    redirect: str = ""
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class Request:
    """A request that the server received."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes = b""


class Web:
    """The server's address, its content by path, and the requests that it received."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.files: dict[str, Served] = {}
        self.requests: list[Request] = []

    def find(self, request: Request) -> Served:
        """Return the content at a path."""
        return self.files.get(request.path, Served(status=404))


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    web: Web

    def do_GET(self) -> None:
        headers = {key.lower(): value for key, value in self.headers.items()}
        request = Request(self.command, self.path, headers, self._body(headers))
        self.web.requests.append(request)
        try:
            self._give(self.web.find(request))
        except ConnectionError:
            self.close_connection = True

    do_HEAD = do_POST = do_PUT = do_GET  # noqa: N815

    def _body(self, headers: dict[str, str]) -> bytes:
        if headers.get("transfer-encoding", "") != "chunked":
            return self.rfile.read(int(headers.get("content-length", 0)))
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def _give(self, served: Served) -> None:
        if served.hang_up:
            self.close_connection = True
            return
        status, content, headers = served.status, served.content, dict(served.headers)
        if served.redirect:
            status, headers["Location"], content = 302, served.redirect, b""
        elif status == 200:
            if served.etag:
                headers.setdefault("ETag", served.etag)
            wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
            if wanted and served.ranges and self.headers.get("If-Range", served.etag) == served.etag:
                first, last = int(wanted[1]), min(int(wanted[2] or len(content)), len(content) - 1)
                if first >= len(content):
                    status, headers["Content-Range"], content = 416, f"bytes */{len(content)}", b""
                else:
                    status, headers["Content-Range"] = 206, f"bytes {first}-{last}/{len(content)}"
                    content = content[first : last + 1]
        self.send_response(status)
        for key, value in headers.items():
            self.send_header(key, value)
        if served.length:
            self.send_header("Content-Length", str(len(content)))
        else:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command == "HEAD":
            return
        if served.cut is not None and served.cuts > 0 and content:
            served.cuts -= 1
            content, self.close_connection = content[: served.cut], True
        for start in range(0, len(content), 16384):
            self.wfile.write(content[start : start + 16384])
            if served.pace:
                self.wfile.flush()
                time.sleep(served.pace)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class calls it so
        pass


@contextlib.contextmanager
def serve(kind: type[Web] = Web) -> Iterator[Any]:
    """Run the server within the block, and yield its :class:`Web`."""
    handler = type("Handler", (_Handler,), {})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    handler.web = web = kind(f"http://127.0.0.1:{server.server_address[1]}")  # type: ignore[attr-defined]
    # The interval is how long leaving the block may take.
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield web
    finally:
        server.shutdown()
        server.server_close()
        thread.join()

"""Rules for redirects of downloads."""

from __future__ import annotations

import http.client
import urllib.parse
import urllib.request
from typing import IO


class Unavailable(Exception):  # noqa: N818 - not an error by itself: another address may provide the file
    """An address that does not provide the file; the message is the reason."""


def secure(url: str) -> bool:
    """Return whether content can't be changed in transit: HTTPS, or this machine."""
    parsed = urllib.parse.urlsplit(url)
    return parsed.scheme == "https" or (parsed.scheme == "http" and parsed.hostname in ("127.0.0.1", "localhost"))


class Redirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects to secure addresses only, and does not send a host's headers to another host."""

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        """Return the request to the new address.

        Raises:
            Unavailable: the new address is not secure.
        """
        if not secure(newurl):
            raise Unavailable(f"it redirects to {newurl}, and only https:// is used")
        new = super().redirect_request(req, fp, code, msg, headers, newurl)
        if new is not None and new.host == req.host:
            for key, value in req.unredirected_hdrs.items():
                if key not in ("Host", "Content-length", "Cookie"):
                    new.add_unredirected_header(key, value)
        return new

"""Where a download may lead."""

from __future__ import annotations

import http.client
import urllib.parse
import urllib.request
from typing import IO


class Unavailable(Exception):  # noqa: N818 - it is told to the user with what the other addresses say
    """An address doesn't give the file; the message says why in a few words."""


def secure(url: str) -> bool:
    """Whether content can't be changed on its way: HTTPS, or this very machine."""
    parsed = urllib.parse.urlsplit(url)
    return parsed.scheme == "https" or (parsed.scheme == "http" and parsed.hostname in ("127.0.0.1", "localhost"))


class Redirects(urllib.request.HTTPRedirectHandler):
    """Follows to secure addresses only, and takes what is meant for one host to no other."""

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        """Make the request that follows.

        Raises:
            Unavailable: it leads away from HTTPS.
        """
        if not secure(newurl):
            raise Unavailable(f"it redirects to {newurl}, and only https:// is used")
        new = super().redirect_request(req, fp, code, msg, headers, newurl)
        if new is not None and new.host == req.host:
            for key, value in req.unredirected_hdrs.items():
                if key not in ("Host", "Content-length", "Cookie"):
                    new.add_unredirected_header(key, value)
        return new

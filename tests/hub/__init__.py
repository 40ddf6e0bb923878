"""A stand-in for the Hub, for use with its real client::

    with hub({"owner/name": folder}) as server:
        ...

It speaks the part of the Hub's protocol that reading data sets and models needs: repository information, file trees in
pages, `resolve` with its redirect to another host for large files (those that the Hub keeps in LFS), commits, and the
answers for what is missing, private, gated or forbidden. Nothing is in Xet storage, so the client takes plain HTTP. A
repository is here both a data set and a model.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import sys
import tempfile
import urllib.parse
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

import pytest

from tests.hub.web import Request, Served, Web, serve

__all__ = ["TOKEN", "HubServer", "hub"]

TOKEN = "hf_right"
"""The token for private and gated repositories."""
LFS = (".parquet", ".zip", ".jpg", ".png", ".arrow", ".h5", ".gz", ".tar", ".safetensors", ".bin")
PAGE = 50
"""Entries per page of a file list; the real Hub has 1,000."""


class HubServer(Web):
    """The stand-in's server; tests change its fields."""

    repos: Mapping[str, Path] = {}
    private: Collection[str] = ()
    """Repositories that exist only for clients with the token."""
    gated: Collection[str] = ()
    """Repositories whose files only clients with the token may read."""
    down = 0
    """HTTP status of every response; 0 for normal service."""

    def commit(self, name: str) -> str:
        """Return the only commit of a repository, a hash of its content."""
        sha = hashlib.sha1(name.encode())
        for path, content in self._contents(name):
            sha.update(f"{path}\0{hashlib.sha256(content).hexdigest()}\n".encode())
        return sha.hexdigest()

    def file_requests(self) -> list[Request]:
        """Return the requests for files, without those for metadata."""
        return [
            request for request in self.requests if re.match(r"/cdn/|(/datasets)?/[^/]+/[^/]+/resolve/", request.path)
        ]

    def find(self, request: Request) -> Served:
        """Respond as the Hub does."""
        address = urllib.parse.urlsplit(request.path)
        words = [urllib.parse.unquote(word) for word in address.path.strip("/").split("/")]
        if self.down:
            return Served(status=self.down)
        token = request.headers.get("authorization", "")
        match words:
            case ["cdn", digest]:
                return self._blob(digest)
            case _ if token not in ("", f"Bearer {TOKEN}"):
                return _no(401, message="Invalid credentials in Authorization header")
            case ["api", "datasets" | "models", owner, name, *rest]:
                repository = f"{owner}/{name}"
            case ["datasets", owner, name, "resolve", *rest] | [owner, name, "resolve", *rest]:
                repository = f"{owner}/{name}"
                rest = ["resolve", *rest]
            case _:
                return _no(404)
        if repository not in self.repos or (repository in self.private and not token):
            return _no(404 if token else 401, "RepoNotFound")
        if repository in self.gated and not token and rest[:1] == ["resolve"]:
            return _no(401, "GatedRepo")
        revision = rest[1] if len(rest) > 1 else "main"
        if revision not in ("main", self.commit(repository)):
            return _no(404, "RevisionNotFound")
        match rest:
            case [] | ["revision", _]:
                return _json({"id": repository, "sha": self.commit(repository), "private": False, "tags": []})
            case ["tree", _, *folder]:
                return self._tree(repository, address, "/".join(folder))
            case ["resolve", _, *path]:
                return self._resolve(repository, "/".join(path))
        return _no(404)

    def _contents(self, name: str) -> list[tuple[str, bytes]]:
        folder = self.repos[name]
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        return [(path.relative_to(folder).as_posix(), path.read_bytes()) for path in files]

    def _tree(self, name: str, address: urllib.parse.SplitResult, below: str) -> Served:
        query = dict(urllib.parse.parse_qsl(address.query))
        start = int(query.get("cursor", 0))
        entries = [_entry(path, content) for path, content in self._contents(name) if path.startswith(below)]
        served = _json(entries[start : start + PAGE])
        if start + PAGE < len(entries):
            more = urllib.parse.urlencode({**query, "cursor": start + PAGE})
            served.headers["Link"] = f'<{self.address}{address.path}?{more}>; rel="next"'
        return served

    def _resolve(self, name: str, path: str) -> Served:
        content = dict(self._contents(name)).get(path)
        commit = {"X-Repo-Commit": self.commit(name)}
        if content is None:
            served = _no(404, "EntryNotFound")
            served.headers |= commit
            return served
        if not path.endswith(LFS):
            return Served(content, f'"{_git(content)}"', headers=commit)
        digest = hashlib.sha256(content).hexdigest()
        linked = {"X-Linked-Etag": f'"{digest}"', "X-Linked-Size": str(len(content))}
        # Another host, so that a client that sends the token on is found out.
        elsewhere = self.address.replace("127.0.0.1", "localhost")
        return Served(redirect=f"{elsewhere}/cdn/{digest}", headers=commit | linked)

    def _blob(self, digest: str) -> Served:
        for name in self.repos:
            for _, content in self._contents(name):
                if hashlib.sha256(content).hexdigest() == digest:
                    return Served(content, f'"cdn-{digest[:8]}"')
        return Served(status=403)


def _entry(path: str, content: bytes) -> dict[str, object]:
    entry: dict[str, object] = {"type": "file", "path": path, "size": len(content), "oid": _git(content)}
    if path.endswith(LFS):
        digest = hashlib.sha256(content).hexdigest()
        entry["lfs"] = {"oid": digest, "size": len(content), "pointerSize": 134}
    return entry


def _git(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def _json(value: object) -> Served:
    return Served(json.dumps(value).encode(), etag="", ranges=False, headers={"Content-Type": "application/json"})


def _no(status: int, code: str = "", message: str = "") -> Served:
    headers = {"X-Error-Code": code, "X-Error-Message": message or code or "Not Found"}
    return Served(b"{}", status=status, headers={key: value for key, value in headers.items() if value})


@contextlib.contextmanager
def hub(repos: Mapping[str, Path], *, token: str | None = None) -> Iterator[HubServer]:
    """Direct the Hub's client, in this process and its subprocesses, to a stand-in with ``repos``.

    No token but ``token`` is seen. ``HF_HUB_OFFLINE`` is lifted within the block, since tests run with it.
    """
    with (
        serve(HubServer) as server,
        tempfile.TemporaryDirectory() as home,
        pytest.MonkeyPatch.context() as patch,
    ):
        server.repos = repos
        values = {
            "HF_ENDPOINT": server.address,
            "HF_HUB_OFFLINE": "0",
            "HF_HOME": home,
            "NO_PROXY": "*",
            "no_proxy": "*",
        }
        for key, value in values.items():
            patch.setenv(key, value)
        for key in ("TRANSFORMERS_OFFLINE", "HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_HUB_CACHE", "HF_TOKEN_PATH"):
            patch.delenv(key, raising=False)
        if token:
            patch.setenv("HF_TOKEN", token)
        # The client reads the environment once, when it is imported, and looks these up at each call.
        from huggingface_hub import constants

        patch.setattr(constants, "ENDPOINT", server.address)
        patch.setattr(
            constants, "HUGGINGFACE_CO_URL_TEMPLATE", server.address + "/{repo_id}/resolve/{revision}/{filename}"
        )
        patch.setattr(constants, "HF_HUB_OFFLINE", False)
        patch.setattr(constants, "HF_HUB_CACHE", f"{home}/hub")
        patch.setattr(constants, "HF_TOKEN_PATH", f"{home}/token")
        _forget_connections()
        try:
            yield server
        finally:
            _forget_connections()


def _forget_connections() -> None:
    """Connections kept open, and a client that transformers keeps, would meet another test's server."""
    with contextlib.suppress(ImportError):
        from huggingface_hub import close_session

        close_session()
    if kept := sys.modules.get("transformers.utils.hub"):
        kept._hf_api = None  # type: ignore[attr-defined]

"""A stand-in for the Hub, for use with its real client::

    with hub({"owner/name": folder}) as server:
        ...

It speaks the part of the Hub's protocol that reading and writing data sets and models needs: repository information,
file trees in pages, `resolve` with its redirect to another host for large files (those that the Hub keeps in LFS),
creation of repositories, upload (`preupload`, the LFS batch, its objects), commits, and the answers for what is
missing, private, gated or forbidden. Nothing is in Xet storage, so the client takes plain HTTP. A repository is here
both a data set and a model. `fail` injects internal errors, lost connections and rate limits.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import re
import sys
import tempfile
import time
import types
import urllib.parse
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.hub.web import Request, Served, Web, serve

__all__ = ["TOKEN", "HubServer", "hub"]

TOKEN = "hf_right"
"""The token for private and gated repositories."""
LFS = (".parquet", ".zip", ".jpg", ".png", ".arrow", ".h5", ".gz", ".tar", ".safetensors", ".bin")
PAGE = 50
"""Entries per page of a file list; the real Hub has 1,000."""
USER = "owner"
"""The user to whom the token belongs; repositories of others can't be written."""
HUB = "https://huggingface.co"


class HubServer(Web):
    """The stand-in's server; tests change its fields."""

    def __init__(self, address: str) -> None:
        super().__init__(address)
        self.repos: dict[str, Path] = {}
        self.room = Path()
        """The folder of repositories that clients create."""
        self.objects: dict[str, bytes] = {}
        """Uploaded large files by SHA-256; a commit may use them."""
        self.history: dict[str, dict[str, bytes]] = {}
        """The files of each commit."""
        self.commits: list[tuple[str, str, list[str]]] = []
        """Repository, summary and changed paths of each commit that a client has made."""
        self.waits: list[float] = []
        """Seconds for which the client would have waited before it tried again."""
        self._faults: list[tuple[re.Pattern[str], Served | None]] = []

    private: Collection[str] = ()
    """Repositories that exist only for clients with the token."""
    gated: Collection[str] = ()
    """Repositories whose files only clients with the token may read."""
    down = 0
    """HTTP status of every response; 0 for normal service."""
    expired = False
    """Whether the token has expired."""

    def fail(self, pattern: str, *answers: int | Served | None) -> None:
        """Answer the next requests whose ``METHOD /path`` matches with these statuses, one after the other.

        None serves a request as usual.
        """
        for answer in answers:
            served = Served(b"{}", status=answer) if isinstance(answer, int) else answer
            self._faults.append((re.compile(pattern), served))

    def commit(self, name: str) -> str:
        """Return the current commit of a repository, a hash of its content."""
        sha = hashlib.sha1(name.encode())
        contents = self._contents(name)
        for path, content in contents:
            sha.update(f"{path}\0{hashlib.sha256(content).hexdigest()}\n".encode())
        self.history[sha.hexdigest()] = dict(contents)
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
        for number, (pattern, served) in enumerate(self._faults):
            if pattern.match(f"{request.method} {request.path}"):
                del self._faults[number]
                if served is None:
                    break
                return served
        match words:
            case ["cdn", digest]:
                return self._blob(digest)
            case ["lfs", digest] if request.method == "PUT":
                if hashlib.sha256(request.body).hexdigest() != digest:
                    return _no(400)
                self.objects[digest] = request.body
                return Served(etag=f'"{digest}"')
            case _ if token not in ("", f"Bearer {TOKEN}") or (token and self.expired):
                return _no(401, message="Invalid credentials in Authorization header")
            case ["api", "validate-yaml"]:
                return _json({"errors": [], "warnings": []})
            case _ if (
                request.method == "POST" and words[-1] != "paths-info" and "paths-info" not in words and not token
            ):
                return _no(401, message="Invalid username or password.")
            case ["api", "repos", "create"]:
                return self._create(json.loads(request.body))
            case ["datasets", owner, name, "info", "lfs", "objects", "batch"]:
                return self._batch(f"{owner}/{name.removesuffix('.git')}", json.loads(request.body))
            case [owner, name, "info", "lfs", "objects", "batch"]:
                return self._batch(f"{owner}/{name.removesuffix('.git')}", json.loads(request.body))
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
        current = self.commit(repository)
        if revision not in ("main", *self.history):
            return _no(404, "RevisionNotFound")
        if rest[:1] in (["preupload"], ["commit"]):
            if repository.partition("/")[0] != USER:
                return _no(403, message="You don't have the rights to write here")
            write = self._preupload if rest[0] == "preupload" else self._commit
            return write(repository, request.body)
        contents = self.history[current if revision == "main" else revision]
        match rest:
            case ["paths-info", _]:
                wanted = urllib.parse.parse_qs(request.body.decode()).get("paths", [])
                if request.body[:1] == b"{":
                    wanted = json.loads(request.body)["paths"]
                return _json([entry for path in wanted if (entry := _entry_at(path, contents))])
            case [] | ["revision", _]:
                sha = current if revision == "main" else revision
                return _json({"id": repository, "sha": sha, "private": repository in self.private, "tags": []})
            case ["tree", _, *folder]:
                return self._tree(contents, address, "/".join(folder))
            case ["resolve", _, *path]:
                return self._resolve(contents, current if revision == "main" else revision, "/".join(path))
        return _no(404)

    def _contents(self, name: str) -> list[tuple[str, bytes]]:
        folder = self.repos[name]
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        return [(path.relative_to(folder).as_posix(), path.read_bytes()) for path in files]

    def _create(self, asked: Mapping[str, Any]) -> Served:
        owner, name = asked.get("organization") or USER, asked["name"]
        repository = f"{owner}/{name}"
        if owner != USER:
            return _no(403, message=f"You don't have the rights to create a model under the namespace {owner}")
        prefix = "datasets/" if asked.get("type") == "dataset" else ""
        answer = {"url": f"{self.address}/{prefix}{repository}", "name": repository, "id": repository}
        if repository in self.repos:
            served = _no(409, message="You already created this repo")
            served.content = json.dumps(answer).encode()
            return served
        self.repos[repository] = self.room / owner / name
        self.repos[repository].mkdir(parents=True)
        (self.repos[repository] / ".gitattributes").write_text("*.parquet filter=lfs\n")
        if asked.get("private") or asked.get("visibility") == "private":
            self.private = {*self.private, repository}
        return _json(answer)

    def _preupload(self, name: str, body: bytes) -> Served:
        contents = self.history[self.commit(name)]
        files = []
        for file in json.loads(body)["files"]:
            large, content = file["path"].endswith(LFS), contents.get(file["path"])
            oid = None
            if content is not None:
                oid = hashlib.sha256(content).hexdigest() if large else _git(content)
            mode = "lfs" if large else "regular"
            files.append({"path": file["path"], "uploadMode": mode, "shouldIgnore": False, "oid": oid})
        return _json({"files": files})

    def _batch(self, name: str, asked: Mapping[str, Any]) -> Served:
        known = {hashlib.sha256(content).hexdigest() for content in self.history[self.commit(name)].values()}
        objects = []
        for wanted in asked["objects"]:
            entry = {"oid": wanted["oid"], "size": wanted["size"]}
            if wanted["oid"] not in (known | self.objects.keys()):
                entry["actions"] = {"upload": {"href": f"{self.address}/lfs/{wanted['oid']}"}}
            objects.append(entry)
        return _json({"transfer": "basic", "objects": objects})

    def _commit(self, name: str, body: bytes) -> Served:
        folder, summary, changed = self.repos[name], "", []
        operations = [json.loads(line) for line in body.splitlines()]
        for operation in operations:
            value = operation["value"]
            if operation["key"] == "header":
                summary = value["summary"]
                if value.get("parentCommit", self.commit(name)) != self.commit(name):
                    return _no(412)
                continue
            path = folder / value["path"]
            changed.append(value["path"])
            if operation["key"] == "deletedFile":
                path.unlink()
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            known = {hashlib.sha256(content).hexdigest(): content for _, content in self._contents(name)}
            content = (
                base64.b64decode(value["content"])
                if operation["key"] == "file"
                else (self.objects | known)[value["oid"]]
            )
            path.write_bytes(content)
        self.commits.append((name, summary, changed))
        sha = self.commit(name)
        return _json({"commitUrl": f"{self.address}/{name}/commit/{sha}", "commitOid": sha})

    def _tree(self, contents: Mapping[str, bytes], address: urllib.parse.SplitResult, below: str) -> Served:
        query = dict(urllib.parse.parse_qsl(address.query))
        start = int(query.get("cursor", 0))
        inside = f"{below}/" if below else ""
        if below and not any(path.startswith(inside) for path in contents):
            return _no(404, "EntryNotFound")
        entries = [_entry(path, content) for path, content in contents.items() if path.startswith(inside)]
        if query.get("recursive", "false").lower() != "true":
            names = {path[len(inside) :].partition("/")[0] for path in contents if path.startswith(inside)}
            found = [_entry_at(inside + name, contents) for name in sorted(names)]
            entries = [entry for entry in found if entry]
        served = _json(entries[start : start + PAGE])
        if start + PAGE < len(entries):
            more = urllib.parse.urlencode({**query, "cursor": start + PAGE})
            served.headers["Link"] = f'<{self.address}{address.path}?{more}>; rel="next"'
        return served

    def _resolve(self, contents: Mapping[str, bytes], revision: str, path: str) -> Served:
        content = contents.get(path)
        commit = {"X-Repo-Commit": revision}
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
        for contents in self.history.values():
            for content in contents.values():
                if hashlib.sha256(content).hexdigest() == digest:
                    return Served(content, f'"cdn-{digest[:8]}"')
        return Served(status=403)


def _entry(path: str, content: bytes) -> dict[str, object]:
    entry: dict[str, object] = {"type": "file", "path": path, "size": len(content), "oid": _git(content)}
    if path.endswith(LFS):
        digest = hashlib.sha256(content).hexdigest()
        entry["lfs"] = {"oid": digest, "size": len(content), "pointerSize": 134}
    return entry


def _entry_at(path: str, contents: Mapping[str, bytes]) -> dict[str, object] | None:
    """Return the entry of a file or folder; None if there is neither."""
    if path in contents:
        return _entry(path, contents[path])
    if any(name.startswith(f"{path}/") for name in contents):
        return {"type": "directory", "path": path, "size": 0, "oid": _git(path.encode())}
    return None


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
        server.repos = dict(repos)
        server.room = Path(home) / "repositories"
        values = {
            "HF_ENDPOINT": server.address,
            "HF_HUB_OFFLINE": "0",
            "HF_HUB_DISABLE_XET": "1",
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
        patch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        # The client waits for seconds before it tries again.
        from huggingface_hub.utils import _http

        patch.setattr(_http, "time", types.SimpleNamespace(**vars(time) | {"sleep": server.waits.append}))
        _forget_connections()
        _direct_datasets(server.address)
        try:
            yield server
        finally:
            _forget_connections()
            _direct_datasets(HUB)


def _direct_datasets(address: str) -> None:
    """Set the address that the library ``datasets`` has read when it was imported."""
    if config := sys.modules.get("datasets.config"):
        config.HF_ENDPOINT = address  # type: ignore[attr-defined]


def _forget_connections() -> None:
    """Connections kept open, and a client that transformers keeps, would meet another test's server."""
    with contextlib.suppress(ImportError):
        from huggingface_hub import close_session

        close_session()
    if kept := sys.modules.get("transformers.utils.hub"):
        kept._hf_api = None  # type: ignore[attr-defined]

"""Distributions that are found as installed ones are."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

Put = Callable[..., None]


@pytest.fixture
def distribution(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Put]:
    """Puts a distribution ``acme-NAME`` with one entry point and some files on the path, as pip would."""
    before = set(sys.modules)

    def put(name: str, value: str, files: dict[str, str], group: str = "mmeval.models", folder: str = "") -> None:
        site = tmp_path / f"site of {folder or name}"
        info = site / f"acme_{folder or name}-1.0.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: acme-{folder or name}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[{group}]\n{name} = {value}\n")
        for path, text in files.items():
            (site / path).parent.mkdir(parents=True, exist_ok=True)
            (site / path).write_text(text, encoding="utf-8")
        monkeypatch.syspath_prepend(site)

    yield put
    for name in set(sys.modules) - before:
        if name.startswith(("acme_", "mmeval_file_")):
            del sys.modules[name]


@pytest.fixture
def install(distribution: Put) -> Put:
    """Installs a plugin ``NAME`` that is the module ``acme_NAME`` (None: a module that isn't there)."""

    def put(name: str, text: str | None, group: str = "mmeval.models", folder: str = "") -> None:
        files = {} if text is None else {f"acme_{folder or name}.py": text}
        distribution(name, f"acme_{folder or name}", files, group, folder)

    return put

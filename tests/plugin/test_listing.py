"""The listing: what is installed, told without importing any of it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from mmeval.plugin.listing import Listed, installed

Install = Callable[..., None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Puts a distribution with one plugin on the path, as pip would."""

    def put(name: str, module: str, files: dict[str, str], group: str = "mmeval.models") -> None:
        site = tmp_path / name
        info = site / f"acme_{name}-1.0.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: acme-{name}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[{group}]\n{name} = {module}\n")
        for path, text in files.items():
            (site / path).parent.mkdir(parents=True, exist_ok=True)
            (site / path).write_text(text, encoding="utf-8")
        monkeypatch.syspath_prepend(site)

    return put


def listed(name: str, *kinds: str) -> Listed:
    (found,) = [one for one in installed(*kinds) if one.name == name]
    return found


def test_the_plugins_that_mmeval_ships_are_listed() -> None:
    models, datasets = installed("model"), installed("dataset")
    assert [(one.name, one.status, one.distribution) for one in models] == [("embracenet", "ok", "mmeval-multilingual")]
    assert [(one.name, one.status, one.module) for one in datasets] == [("emoji14", "ok", "mmeval_emoji")]
    assert models[0].summary.startswith("EmbraceNet: ")
    assert installed() == [*installed("command"), *datasets, *models]


def test_a_plugin_is_described_by_its_docstring_and_not_imported(install: Install) -> None:
    """A broken or slow plugin must not cost those who don't use it."""
    install("bomb", "bomb_module", {"bomb_module.py": '"""Goes off.\n\nMore."""\nraise RuntimeError("imported")\n'})
    assert listed("bomb") == Listed("bomb", "model", "Goes off.", "acme-bomb", "1.0", "bomb_module", "ok")
    assert "bomb_module" not in sys.modules


def test_a_submodule_is_described_without_importing_its_package(install: Install) -> None:
    files = {
        "bomb_package/__init__.py": "raise RuntimeError('imported')",
        "bomb_package/deep/__init__.py": "",
        "bomb_package/deep/model.py": '"""Deep."""',
    }
    install("deep", "bomb_package.deep.model", files)
    assert (listed("deep").summary, listed("deep").status) == ("Deep.", "ok")
    assert "bomb_package" not in sys.modules


@pytest.mark.parametrize(
    ("module", "files", "status"),
    [
        ("not_there", {}, 'broken: no module "not_there"'),
        ("half.not_there", {"half/__init__.py": ""}, 'broken: no module "half.not_there"'),
        ("torn", {"torn.py": "def (\n"}, "broken: SyntaxError in torn.py"),
    ],
)
def test_what_is_wrong_stands_in_the_listing(install: Install, module: str, files: dict[str, str], status: str) -> None:
    """And the others are listed all the same."""
    install("wrong", module, files)
    assert (listed("wrong").status, listed("wrong").summary) == (status, "")
    assert listed("embracenet").status == "ok"


def test_a_plugin_without_docstring_is_listed(install: Install) -> None:
    install("terse", "terse_module", {"terse_module.py": "x = 1\n"})
    assert (listed("terse").summary, listed("terse").status) == ("", "ok")


def test_each_kind_has_its_own_group(install: Install) -> None:
    install("greet", "greet_module", {"greet_module.py": '"""Says hello."""'}, group="mmeval.commands")
    assert listed("greet").kind == "command"
    assert "greet" not in {one.name for one in installed("model", "dataset")}


def test_the_environment_can_restrict_what_is_seen(install: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a shared machine: only what was agreed on."""
    install("other", "other_module", {"other_module.py": ""})
    monkeypatch.setenv("MMEVAL_PLUGINS", "emoji14, other")
    assert [one.name for one in installed()] == ["emoji14", "other"]
    monkeypatch.setenv("MMEVAL_PLUGINS", "")
    assert installed() == []

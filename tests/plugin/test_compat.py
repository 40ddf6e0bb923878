"""The version of the plugin API: read without an import, and checked before the plugin is imported."""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st

from mmeval.errors import PluginError
from mmeval.plugin import compat
from mmeval.plugin.listing import Listed, installed, stated_api
from mmeval.plugin.manager import Manager
from mmeval.version import API_VERSION

Install = Callable[..., None]
# What a plugin that was made for another mmeval does first: it would fail if it were imported.
IMPORT = "from mmeval import NameOfAnotherVersion\n"
MODEL = """
import mmeval

@mmeval.hookimpl
def register_models(register):
    presets = {"tiny": {}}
    register(mmeval.ModelSpec(name="aged", summary="-", config=mmeval.ModelConfig, build=print,
        version="1", inputs=("text",), paper="none", licence="MIT", presets=presets))
"""
WRONGLY = 'states its API version wrongly: MMEVAL_API must be a string such as "1.2"'
NEWER = "was made for the plugin API {}, this mmeval has 1.2; upgrade mmeval-multilingual"
OLDER = "was made for the plugin API {}, this mmeval has 1.2; upgrade the plugin"
versions = st.tuples(st.integers(0, 30), st.integers(0, 30))


@pytest.fixture(autouse=True)
def _later(monkeypatch: pytest.MonkeyPatch) -> None:
    """Set a version with older and newer minor versions."""
    monkeypatch.setattr(compat, "API_VERSION", "1.2")


def listed(name: str) -> Listed:
    (entry,) = [candidate for candidate in installed() if candidate.name == name]
    return entry


def refusal(call: Callable[[], object]) -> str:
    with pytest.raises(PluginError) as caught:
        call()
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "stated"),
    [
        ("", None),
        ("mmeval_api = '1.0'", None),
        ("def f():\n    MMEVAL_API = '1.0'", None),
        ("MMEVAL_API = '1.0'", "1.0"),
        ("MMEVAL_API: str = '1.0'", "1.0"),
        ("MMEVAL_API: Final = ('1.0')  # as text", "1.0"),
        ("API = MMEVAL_API = '1.0'", "1.0"),
        ("raise SystemExit\nMMEVAL_API = '1.0'", "1.0"),
    ],
)
def test_the_stated_version_is_read_from_the_source(text: str, stated: str | None) -> None:
    assert compat.declared_version(ast.parse(text)) == stated


@pytest.mark.parametrize("stated", ["1.2", "1.1", "1.0", None])
def test_a_compatible_plugin_is_loaded(install: Install, stated: str | None) -> None:
    """The major version is equal and the minor one not newer; a plugin without a version is accepted."""
    install("aged", (f'MMEVAL_API = "{stated}"\n' if stated else "") + MODEL)
    assert listed("aged").status == "ok"
    assert Manager().model("aged").name == "aged"


NOT_TEXTS = ('"1"', "1.2", "1", "None", "b'1.2'", '"v1.2"', '"1.2.0"', '"1.-2"', '""', "str(1.2)")
REFUSED = {
    '"1.3"': NEWER.format("1.3"),
    '"1.10"': NEWER.format("1.10"),
    '"2.0"': NEWER.format("2.0"),
    '"0.9"': OLDER.format("0.9"),
} | dict.fromkeys(NOT_TEXTS, WRONGLY)


@pytest.mark.parametrize("stated", REFUSED)
def test_an_incompatible_plugin_is_refused_before_its_import(install: Install, stated: str) -> None:
    """The message and the listing say what to upgrade."""
    install("aged", f"MMEVAL_API = {stated}\n{IMPORT}")
    assert listed("aged").status == REFUSED[stated]
    assert refusal(lambda: Manager().model("aged")) == f"Plugin aged (acme-aged 1.0) {REFUSED[stated]}."
    assert "acme_aged" not in sys.modules


@pytest.mark.parametrize("stated", REFUSED)
def test_an_incompatible_file_is_refused_before_its_import(tmp_path: Path, stated: str) -> None:
    path = tmp_path / "aged.py"
    path.write_text(f"MMEVAL_API = {stated}\n{IMPORT}")
    assert refusal(lambda: Manager().model(str(path))) == f"Plugin {path} {REFUSED[stated]}."


@pytest.mark.parametrize("group", ["datasets", "metrics", "commands"])
def test_every_kind_of_plugin_states_a_version(install: Install, group: str) -> None:
    install("aged", f'MMEVAL_API = "2.0"\n{IMPORT}', f"mmeval.{group}")
    manager = Manager()
    find: Callable[[str], object] = {
        "datasets": manager.dataset,
        "metrics": manager.metric,
        "commands": lambda name: manager.add_commands(name, typer.Typer()),
    }[group]
    assert listed("aged").status == NEWER.format("2.0")
    assert refusal(lambda: find("aged")) == f"Plugin aged (acme-aged 1.0) {NEWER.format('2.0')}."


def test_a_submodule_states_its_own_version(distribution: Install) -> None:
    """The version of the entry point's module counts; its package is not imported."""
    files = {"bomb/__init__.py": "raise RuntimeError('imported')", "bomb/deep.py": 'MMEVAL_API = "3.0"'}
    distribution("deep", "bomb.deep", files)
    assert listed("deep").status == NEWER.format("3.0")
    assert "bomb" not in sys.modules


@pytest.mark.parametrize("kind", ["model", "dataset"])
def test_the_plugins_that_mmeval_ships_state_the_version(kind: str) -> None:
    """Authors copy from these plugins."""
    assert {stated_api(entry.module) for entry in installed(kind)} == {API_VERSION}


@given(stated=versions, core=versions)
def test_versions_are_ordered_as_numbers(stated: tuple[int, int], core: tuple[int, int]) -> None:
    """1.10 is newer than 1.9; the message asks to upgrade the older side."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compat, "API_VERSION", "{}.{}".format(*core))
        reason = compat.incompatibility("{}.{}".format(*stated))
    fits = stated[0] == core[0] and stated[1] <= core[1]
    assert (reason is None) is fits
    if reason:
        assert reason.endswith("; upgrade mmeval-multilingual" if stated > core else "; upgrade the plugin")


@given(st.text(max_size=8) | st.from_regex(r"\d{0,3}\.\d{0,3}", fullmatch=True))
def test_any_stated_version_is_understood_or_refused(stated: str) -> None:
    """A wrong constant must not break the listing."""
    reason = compat.incompatibility(stated)
    assert reason is None or reason.endswith(("; upgrade mmeval-multilingual", "; upgrade the plugin", 'such as "1.2"'))

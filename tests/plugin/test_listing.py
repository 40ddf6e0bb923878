"""The list of installed plugins, made without importing any."""

from __future__ import annotations

import sys
from collections.abc import Callable

import pytest

from mmeval.plugin.listing import Listed, installed

Install = Callable[..., None]


def listed(name: str, *kinds: str) -> Listed:
    (result,) = [entry for entry in installed(*kinds) if entry.name == name]
    return result


def test_the_plugins_that_mmeval_ships_are_listed() -> None:
    models, datasets = installed("model"), installed("dataset")
    assert {entry.name: entry.module for entry in models} == {
        "clip": "mmeval_clip",
        "cma-clip": "mmeval_cma_clip",
        "coca": "mmeval_coca",
        "embracenet": "mmeval_embracenet",
        "imagebert": "mmeval_imagebert",
        "kaleidobert": "mmeval_kaleidobert",
        "late-fusion": "mmeval_late_fusion",
        "mmbt": "mmeval_mmbt",
        "perceiver": "mmeval_perceiver",
        "tfidf": "mmeval_tfidf",
        "unimodal": "mmeval_unimodal",
    }
    assert {(entry.status, entry.distribution) for entry in models} == {("ok", "mmeval-multilingual")}
    assert {entry.name: entry.module for entry in datasets} == {
        "abo": "mmeval.datasets.abo",
        "art4apps": "mmeval_art4apps",
        "emoji14": "mmeval_emoji",
        "fashion-product-images": "mmeval.datasets.fashion_product_images",
        "fashiongen": "mmeval.datasets.fashiongen",
        "food101": "mmeval.datasets.food101",
        "glami1m": "mmeval.datasets.glami1m",
    }
    assert {entry.status for entry in datasets} == {"ok"}
    assert listed("embracenet").summary.startswith("EmbraceNet: ")
    assert installed() == [*installed("command"), *datasets, *models]


def test_a_plugin_is_described_by_its_docstring_and_not_imported(distribution: Install) -> None:
    """A broken or slow plugin must not affect the listing."""
    distribution(
        "bomb", "bomb_module", {"bomb_module.py": '"""Goes off.\n\nMore."""\nraise RuntimeError("imported")\n'}
    )
    assert listed("bomb") == Listed("bomb", "model", "Goes off.", "acme-bomb", "1.0", "bomb_module", "ok")
    assert "bomb_module" not in sys.modules


def test_a_submodule_is_described_without_importing_its_package(distribution: Install) -> None:
    files = {
        "bomb_package/__init__.py": "raise RuntimeError('imported')",
        "bomb_package/deep/__init__.py": "",
        "bomb_package/deep/model.py": '"""Deep."""',
    }
    distribution("deep", "bomb_package.deep.model", files)
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
def test_the_listing_says_what_is_wrong_with_a_plugin(
    distribution: Install, module: str, files: dict[str, str], status: str
) -> None:
    """Other plugins are listed too."""
    distribution("wrong", module, files)
    assert (listed("wrong").status, listed("wrong").summary) == (status, "")
    assert listed("embracenet").status == "ok"


def test_a_plugin_without_docstring_is_listed(distribution: Install) -> None:
    distribution("terse", "terse_module", {"terse_module.py": "x = 1\n"})
    assert (listed("terse").summary, listed("terse").status) == ("", "ok")


def test_each_kind_has_its_own_group(distribution: Install) -> None:
    distribution("greet", "greet_module", {"greet_module.py": '"""Says hello."""'}, group="mmeval.commands")
    assert listed("greet").kind == "command"
    assert "greet" not in {entry.name for entry in installed("model", "dataset")}


def test_the_environment_can_restrict_the_listing(distribution: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    """For a shared machine with an agreed set of plugins."""
    distribution("other", "other_module", {"other_module.py": ""})
    monkeypatch.setenv("MMEVAL_PLUGINS", "emoji14, other")
    assert [entry.name for entry in installed()] == ["emoji14", "other"]
    monkeypatch.setenv("MMEVAL_PLUGINS", "")
    assert installed() == []


def test_a_malformed_entry_point_is_one_broken_line(distribution: Install) -> None:
    """One broken package must not break the listing."""
    distribution("dash", "my-module", {})
    assert listed("dash").status == 'broken: "my-module" names no module'


def test_a_module_in_a_namespace_package_is_found(distribution: Install) -> None:
    distribution("space", "acme_space.models", {"acme_space/models.py": '"""Far out."""'})
    assert (listed("space").summary, listed("space").status) == ("Far out.", "ok")


def test_a_byte_order_mark_is_no_syntax_error(distribution: Install) -> None:
    distribution("marked", "acme_marked", {"acme_marked.py": '\ufeff"""Marked."""'})
    assert (listed("marked").summary, listed("marked").status) == ("Marked.", "ok")


def test_an_invalid_escape_is_no_syntax_error(distribution: Install) -> None:
    """Python only warns of an invalid escape, which concerns the plugin's author."""
    distribution("careless", "acme_careless", {"acme_careless.py": '"""Careless."""\nMMEVAL_API = "1.0"\nx = "\\d"\n'})
    assert (listed("careless").summary, listed("careless").status) == ("Careless.", "ok")

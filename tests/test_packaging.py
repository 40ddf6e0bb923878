"""The wheel: plugins and data cards inside, and a clean environment in which it works."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest

import mmeval

ROOT = Path(__file__).parents[1]
ENTRY_POINTS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["entry-points"]
DATASETS = sorted(ENTRY_POINTS["mmeval.datasets"])
MODELS = sorted(ENTRY_POINTS["mmeval.models"])
LIGHT = ("typer", "rich", "pluggy", "pydantic", "platformdirs")
"""All that listing plugins may need: that torch is not among them is part of the test."""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from this checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    call = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(call, cwd=ROOT, check=True, capture_output=True)
    (built,) = folder.glob("mmeval_multilingual-*.whl")
    return built


def test_the_wheel_holds_plugins_cards_and_templates(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {
        "mmeval/__init__.py",
        "mmeval/py.typed",
        *(f"mmeval/data_cards/{name}.md" for name in DATASETS),
        "mmeval/report/templates/report.html.jinja",
        "mmeval_emoji/source.py",
        *(f"mmeval_{name.replace('-', '_')}/{file}" for name in MODELS for file in ("model.py", "README.md")),
        "mmeval_clip/prompts/es.yaml",
    } <= names
    packages = {path.parent.name for path in (ROOT / "plugins").glob("*/__init__.py")}
    (metadata,) = {name.partition("/")[0] for name in names if ".dist-info/" in name}
    assert {name.partition("/")[0] for name in names} == {"mmeval", metadata, *packages}


@pytest.mark.slow  # makes a virtual environment and installs packages into it
def test_in_a_clean_environment_the_wheel_lists_its_plugins(wheel: Path, tmp_path: Path) -> None:
    home = tmp_path / "venv"
    venv.create(home, with_pip=True)
    python = home / ("Scripts" if sys.platform == "win32" else "bin") / "python"

    def pip(*arguments: str) -> None:
        call = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *arguments]
        subprocess.run(call, check=True)

    pip(*LIGHT)
    pip("--no-deps", str(wheel))
    command = python.with_name("mmeval")

    def listed(group: str) -> list[dict[str, str]]:
        call = [str(command), group, "--json"]
        return json.loads(subprocess.run(call, check=True, capture_output=True, text=True, cwd=tmp_path).stdout)

    assert {entry["name"]: entry["status"] for entry in listed("plugins")} == dict.fromkeys(MODELS, "ok")
    datasets = {entry["name"]: entry["status"] for entry in listed("data")}
    assert datasets == dict.fromkeys(DATASETS, "ok")
    shown = subprocess.run([str(command), "plugins", "show", "embracenet"], check=True, capture_output=True, text=True)
    assert "arXiv" in shown.stdout


def test_dir_shows_the_public_names_and_nothing_else() -> None:
    assert dir(mmeval) == sorted(mmeval.__all__)

"""The steps of CONTRIBUTING.md to add a model and a data set work, and change only the files that it names."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")

OWN_ENVIRONMENT = "python3 -m venv .venv\n. .venv/bin/activate\npip install --quiet -e ."
"""The copy is installed into a separate environment, because other tests share theirs."""


def section(heading: str) -> str:
    """Return the text of a section of CONTRIBUTING.md."""
    return TEXT.split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]


def commands(heading: str) -> str:
    """Return the commands of a section as a script."""
    blocks = re.findall(r"```console\n(.*?)```", section(heading), re.DOTALL)
    return "\n".join(line.removeprefix("$ ") for block in blocks for line in block.splitlines())


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Return a copy of the repository under git, so that changes can be listed."""
    copy = tmp_path / "mmeval"
    names = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    for name in names.splitlines():
        if (ROOT / name).is_file():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, copy / name)
    git(copy, "init", "--quiet")
    git(copy, "add", "--all")
    return copy


def git(folder: Path, *arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=folder, check=True, capture_output=True, text=True).stdout


def changed(folder: Path) -> set[str]:
    """Return the files that were changed or added; a new folder counts as one."""
    lines = git(folder, "status", "--porcelain").splitlines()
    return {line[3:] for line in lines if line[:2] != "A "}


@pytest.mark.slow  # installs the copy and trains two models
def test_adding_a_model_and_a_data_set_changes_only_the_named_files(shell: Callable[..., str], checkout: Path) -> None:
    """The test of the template runs the whole contract on the same model."""
    model = commands("Add a model").replace("plugins check my-model", "plugins check my-model --only metadata")
    model = model.replace("--dataset emoji14", "--dataset emoji14 --limit 60 --device cpu")
    output = shell(f"{OWN_ENVIRONMENT}\n{model}", checkout)
    assert "1 of 1 passed" in output
    added = {"plugins/mmeval_my_model/", "tests/plugins/test_my_model.py", "docs/models.md", "pyproject.toml"}
    assert changed(checkout) == added
    output = shell(f". .venv/bin/activate\n{commands('Add a data set')}", checkout)
    assert "my-data is ready: 60 examples in 2 languages" in output
    assert changed(checkout) == added | {"mmeval/datasets/my_data/", "data_cards/my-data.md"}

"""An environment outside the checkout in which mmeval is installed from its wheel, as users install it."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
OURS = ("mmeval", "_mmeval", "__editable__", "_editable_impl", "pip", "_virtualenv")

INSTALL = """\
python3 -m venv .venv
. .venv/bin/activate
pip install 'mmeval-multilingual[demo]'"""
"""The first commands of the tutorial. All tests share the environment that these commands create."""

collect_ignore = ["by_hand"]  # test_by_hand.py installs this package and runs its tests

Shell = Callable[..., str]


@pytest.fixture(scope="session")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Shell:
    """Return a function that runs a script in a folder outside the checkout and returns its standard output.

    A virtual environment with mmeval is active. No package index is used: mmeval is installed from its wheel, and its
    dependencies are links to the packages of the environment that runs these tests, without mmeval itself.
    """
    base = tmp_path_factory.mktemp("published")
    wheels, packages = base / "wheels", base / "packages"
    packages.mkdir()
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(wheels)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    for site in {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}:
        for entry in Path(site).iterdir():
            if not entry.name.startswith(OURS) and entry.suffix != ".pth":
                (packages / entry.name).symlink_to(entry)
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "PYTHON", "VIRTUAL"))
    }
    environment |= {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}",
        "PYTHONPATH": str(packages),
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": str(wheels),
        "PIP_NO_BUILD_ISOLATION": "0",  # "0" is how pip spells: without isolation
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "MMEVAL_HOME": str(tmp_path_factory.getbasetemp() / "home"),
        "MMEVAL_TRACEBACK": "1",
        "COLUMNS": "120",
    }

    def run(script: str, folder: Path, *, active: bool = True) -> str:
        activated = f". {shlex.quote(str(base / '.venv/bin/activate'))}\n{script}" if active else script
        call = ["bash", "-euo", "pipefail", "-c", activated]
        result = subprocess.run(call, cwd=folder, env=environment, capture_output=True, text=True, check=False)
        assert result.returncode == 0, f"{result.stdout}\n{result.stderr}"
        return result.stdout

    run(INSTALL, base, active=False)
    return run


@pytest.fixture
def installation() -> str:
    """Return the commands that created the environment of ``shell``."""
    return INSTALL

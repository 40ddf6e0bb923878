"""A package that was written with the reference only works without a checkout of mmeval."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from mmeval.runs.folder import RunFolder

COMMANDS = """
pip install './by_hand[test]'
mmeval plugins check lowrank --only metadata
mmeval run --plugin lowrank --dataset emoji14 --limit 150 --device cpu --output run
python -m pytest -q by_hand -k 'not rank_one or gradients or missing'
"""


@pytest.mark.slow  # trains a model, and runs the contract once, and a part of it on other options
def test_a_package_by_hand_passes_its_checks_and_runs(shell: Callable[..., str], tmp_path: Path) -> None:
    """The public names suffice for a paper's model in a third-party package."""
    shutil.copytree(Path(__file__).parent / "by_hand", tmp_path / "by_hand")
    output = shell(COMMANDS, tmp_path)
    assert "1 of 1 passed" in output
    assert " passed" in output.splitlines()[-1]
    assert RunFolder(tmp_path / "run").record.plan.plugin.name == "lowrank"

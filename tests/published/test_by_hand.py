"""A package that was written from the reference alone works, where there is no checkout of mmeval."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from mmeval.runs.folder import RunFolder

COMMANDS = """
pip install './by_hand[test]'
mmeval plugins check lowrank --only metadata
mmeval run --plugin lowrank --dataset emoji14 --limit 300 --device cpu --output run
python -m pytest -q by_hand
"""


@pytest.mark.slow  # trains a model, and twice those of the contract
def test_a_package_by_hand_is_checked_and_run(shell: Callable[..., str], tmp_path: Path) -> None:
    """The public names are enough for a paper's model with parameters of its own, in a package of its own."""
    shutil.copytree(Path(__file__).parent / "by_hand", tmp_path / "by_hand")
    said = shell(COMMANDS, tmp_path)
    assert "1 of 1 passed" in said
    assert "42 passed, 2 skipped" in said
    assert RunFolder(tmp_path / "run").record.plan.plugin.name == "lowrank"

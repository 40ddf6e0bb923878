"""A package that `mmeval plugins new` wrote works unchanged, without a checkout of mmeval."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from mmeval.runs.folder import RunFolder

FIVE_COMMANDS = """
mmeval plugins new my-model
cd my-model
pip install -e '.[test]'
mmeval plugins check my-model
mmeval run --plugin my-model --dataset emoji14 --limit 150 --device cpu --output ../run
"""


@pytest.mark.slow  # trains a model, and runs the contract once
def test_five_commands_lead_from_plugins_new_to_a_finished_run(shell: Callable[..., str], tmp_path: Path) -> None:
    output = shell(FIVE_COMMANDS, tmp_path)
    assert "21 of 22 passed, 1 not applicable" in output
    record = RunFolder(tmp_path / "run").record
    assert record.plan.signature.endswith("|my-model:0.1.0")
    installed = shell("python -c 'import mmeval, sys; print(mmeval.__file__.startswith(sys.prefix))'", tmp_path)
    assert installed == "True\n", "mmeval was imported from the checkout"
    tests = shell("cd my-model\npython -m pytest -q -k 'metadata or options'", tmp_path)
    assert "3 passed" in tests, "the whole contract was checked above; the tutorial runs all tests of such a package"

"""A package that `mmeval plugins new` wrote works as it stands, where there is no checkout of mmeval."""

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
mmeval run --plugin my-model --dataset emoji14 --limit 600 --device cpu --output ../run
"""


@pytest.mark.slow  # trains a model, and those of the contract
def test_from_plugins_new_to_a_finished_run_in_five_commands(shell: Callable[..., str], tmp_path: Path) -> None:
    said = shell(FIVE_COMMANDS, tmp_path)
    assert "20 of 21 passed, 1 not applicable" in said
    record = RunFolder(tmp_path / "run").record
    assert record.plan.signature.endswith("|my-model:0.1.0")
    home = shell("python -c 'import mmeval, sys; print(mmeval.__file__.startswith(sys.prefix))'", tmp_path)
    assert home == "True\n", "the checkout has no part in it"
    tested = shell("cd my-model\npython -m pytest -q -k 'metadata or options'", tmp_path)
    assert "3 passed" in tested, "the whole contract was checked above; the tutorial runs all tests of such a package"

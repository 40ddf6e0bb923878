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
mmeval run --plugin my-model --dataset emoji14 --device cpu --output ../run
"""


@pytest.mark.slow  # makes an environment, trains on emoji14 from nothing
def test_from_plugins_new_to_a_finished_run_in_five_commands(shell: Callable[..., str], tmp_path: Path) -> None:
    shell("python3 -m venv .venv && .venv/bin/pip install 'mmeval-multilingual[demo]'", tmp_path)
    said = shell(f". .venv/bin/activate\n{FIVE_COMMANDS}", tmp_path)
    assert "20 of 21 passed, 1 not applicable" in said
    record = RunFolder(tmp_path / "run").record
    assert record.plan.signature.endswith("|my-model:0.1.0")
    home = shell(". .venv/bin/activate\npython -c 'import mmeval; print(mmeval.__file__)'", tmp_path)
    assert home.startswith(str(tmp_path / ".venv")), "the checkout has no part in it"
    tested = shell(". .venv/bin/activate\ncd my-model\npython -m pytest -q", tmp_path)
    assert "21 passed, 1 skipped" in tested

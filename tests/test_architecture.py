"""The arrows between rooms, and what importing one drags in."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
HEAVY = ("torch", "transformers", "datasets", "accelerate", "pandas", "sklearn")


def test_dependencies_point_in_one_direction() -> None:
    """A circle between rooms would make every later change touch everything."""
    call = [str(Path(sys.executable).parent / "lint-imports"), "--no-cache"]
    result = subprocess.run(call, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize("arguments", [["--help"], ["plugins"], ["plugins", "--json"], ["data"], ["run", "--help"]])
def test_listing_and_help_import_nothing_heavy(arguments: list[str]) -> None:
    """Else a user waits seconds for help."""
    script = (
        "import sys\nfrom mmeval.cli.main import main\n"
        f"sys.argv = ['mmeval', *{arguments}]\n"
        f"try: main()\nexcept SystemExit as end: assert not end.code\nprint([m for m in {HEAVY} if m in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines()[-1] == "[]"


def test_metrics_and_report_run_without_torch() -> None:
    """Scores can be made again on a machine that can't run the model."""
    script = (
        "import sys\nsys.modules['torch'] = None\n"
        "import mmeval.metrics.scores, mmeval.metrics.mistakes, mmeval.report.html, mmeval.report.markdown\n"
        "import mmeval.report.terminal, mmeval.runs.scoring, mmeval.runs.folder"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_every_public_name_is_there() -> None:
    """`from mmeval import X` for each X that the package promises."""
    import mmeval

    for name in mmeval.__all__:
        assert getattr(mmeval, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'Nonsense'"):
        _ = mmeval.Nonsense

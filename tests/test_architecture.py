"""Import direction between packages, and the modules that an import loads."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
HEAVY = ("torch", "transformers", "datasets", "accelerate", "pandas", "sklearn")


def _plugin_packages() -> list[str]:
    """Return the import packages of plugins/ that entry points in pyproject.toml name."""
    groups = PYPROJECT["project"]["entry-points"].values()
    packages = {target.partition(".")[0] for group in groups for target in group.values()}
    return sorted(packages - {"mmeval"})


def _toml(table: dict[str, str | bool | list[str]]) -> str:
    """Return the lines of a TOML table; a JSON string, boolean or list of strings is also TOML."""
    return "".join(f"{key} = {json.dumps(value)}\n" for key, value in table.items())


def test_dependencies_point_in_one_direction(tmp_path: Path) -> None:
    """A circle between packages would make every later change touch everything."""
    options = dict(PYPROJECT["tool"]["importlinter"])
    contracts = [
        *options.pop("contracts"),
        {
            "name": "nothing in mmeval imports a plugin",
            "type": "forbidden",
            "source_modules": ["mmeval"],
            "forbidden_modules": _plugin_packages(),
        },
    ]
    options["root_packages"] += _plugin_packages()
    config = tmp_path / "contracts.toml"
    tables = [
        ("[tool.importlinter]", options),
        *(("[[tool.importlinter.contracts]]", contract) for contract in contracts),
    ]
    config.write_text("\n".join(f"{header}\n{_toml(table)}" for header, table in tables), encoding="utf-8")

    call = [str(Path(sys.executable).parent / "lint-imports"), "--no-cache", str(config)]
    result = subprocess.run(call, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    assert f"{len(contracts)} kept, 0 broken" in result.stdout


def test_entry_points_name_every_plugin_folder() -> None:
    """The entry points are the one list of plugins: wheel and import contracts follow from it."""
    folders = sorted(path.parent.name for path in (ROOT / "plugins").glob("*/__init__.py"))
    assert _plugin_packages() == folders


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
        "import mmeval.metrics.scores, mmeval.metrics.shown, mmeval.report.html, mmeval.report.markdown\n"
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

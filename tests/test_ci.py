"""`.ci/run`, the workflow and the commit hooks call existing commands."""

from __future__ import annotations

import configparser
import re
import shlex
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
TOX = configparser.ConfigParser()
TOX.read(ROOT / "tox.ini", encoding="utf-8")
WORKFLOW = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8"))
PAGES = yaml.safe_load((ROOT / ".github" / "workflows" / "docs.yml").read_text(encoding="utf-8"))
ACTION = re.compile(r"[\w-]+/[\w-]+@v\d+")
TRIGGERS = WORKFLOW[True]  # YAML 1.1 reads the key `on` as true
HOOKS = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))["repos"][0]["hooks"]


def _matrix(job: str) -> list[dict[str, str]]:
    """Return the combinations of a job's matrix: the product of its lists, then those of `include`."""
    matrix: dict[str, Any] = dict(WORKFLOW["jobs"][job]["strategy"]["matrix"])
    include = matrix.pop("include")
    combinations: list[dict[str, str]] = [{}] if matrix else []
    for key, values in matrix.items():
        combinations = [{**combination, key: value} for combination in combinations for value in values]
    return combinations + include


def test_ci_runs_the_test_command_of_the_readme() -> None:
    blocks = re.findall(r"^```console\n(.*?)^```", (ROOT / "README.md").read_text(encoding="utf-8"), re.M | re.S)
    assert "tox" in blocks[1]
    assert "README.md" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert TOX["tox"]["env_list"] == "checks"
    assert "testenv:checks" in TOX


def test_tox_checks_style_types_and_tests() -> None:
    commands = [shlex.split(line) for line in TOX["testenv:checks"]["commands"].splitlines() if line]
    assert [command[0] for command in commands] == ["ruff", "ruff", "mypy", "pytest"]
    groups = {*PROJECT["dependency-groups"]}
    assert {*TOX["testenv:checks"]["dependency_groups"].split()} <= groups
    assert {*TOX["testenv:checks"]["extras"].split(", ")} == {*PROJECT["project"]["optional-dependencies"]}


@pytest.mark.parametrize("job", WORKFLOW["jobs"])
def test_every_workflow_job_runs_the_ci_script(job: str) -> None:
    steps = WORKFLOW["jobs"][job]["steps"]
    assert all(set(step) <= {"uses", "with", "run", "env"} for step in steps)
    assert [step["run"] for step in steps if "run" in step][-1] == "bash .ci/run"
    assert (ROOT / ".ci" / "run").is_file()
    used = [step["uses"] for step in steps if "uses" in step]
    assert all(ACTION.fullmatch(action) for action in used), used
    assert all({"python"} <= set(combination) for combination in _matrix(job))


def test_the_workflow_covers_each_supported_python_and_macos() -> None:
    jobs = _matrix("tests")
    supported = [
        classifier.rpartition(" :: ")[2]
        for classifier in PROJECT["project"]["classifiers"]
        if re.search(r"Python :: 3\.\d+$", classifier)
    ]
    assert [combination["python"] for combination in jobs if combination["os"] == "ubuntu-latest"] == supported
    assert [combination["os"] for combination in jobs if combination["os"] != "ubuntu-latest"] == ["macos-latest"]
    assert PROJECT["project"]["requires-python"] == f">={supported[0]}"


def test_lowest_and_newest_dependencies_are_tested_each_week() -> None:
    ((key, cron),) = TRIGGERS["schedule"][0].items()
    assert key == "cron"
    minute, hour, day, month, weekday = cron.split()
    assert (day, month, weekday) == ("*", "*", "1")
    assert minute.isdecimal()
    assert hour.isdecimal()
    job = WORKFLOW["jobs"]["dependencies"]
    assert [combination["resolution"] for combination in _matrix("dependencies")] == ["lowest-direct", "highest"]
    (resolve, _) = [step["run"] for step in job["steps"] if "run" in step]
    words = shlex.split(resolve.replace("${{ matrix.resolution }}", "RESOLUTION"))
    assert words[:4] == ["uv", "pip", "compile", "pyproject.toml"]
    assert words[words.index("--resolution") + 1] == "RESOLUTION"
    assert words[words.index("--group") + 1] in PROJECT["dependency-groups"]
    assert job["env"] == {"PIP_CONSTRAINT": f"${{{{ github.workspace }}}}/{words[-1]}"}
    assert "PIP_*" in TOX["testenv:checks"]["pass_env"].split(), "tox hides it from pip otherwise"
    assert "schedule" in job["if"]


def test_commit_hooks_check_changed_files_only() -> None:
    assert [hook["id"] for hook in HOOKS] == ["ruff-format", "ruff", "mypy"]
    assert all(hook.get("pass_filenames", True) for hook in HOOKS)
    mypy = HOOKS[-1]
    checked = PROJECT["tool"]["mypy"]["files"]
    assert all(re.match(mypy["files"], f"{folder}/x.py") for folder in checked)
    folders = {path.name for path in ROOT.iterdir() if path.is_dir() and path.name not in checked}
    assert not [folder for folder in folders if re.match(mypy["files"], f"{folder}/x.py")]


def test_the_site_is_built_strictly_and_deployed_from_main_only() -> None:
    build, deploy = PAGES["jobs"]["build"], PAGES["jobs"]["deploy"]
    steps = [*build["steps"], *deploy["steps"]]
    assert all(ACTION.fullmatch(step["uses"]) for step in steps if "uses" in step)
    install, make = [step["run"] for step in build["steps"] if "run" in step]
    assert install.rpartition("--group ")[2] in PROJECT["dependency-groups"]
    assert make == "mkdocs build --strict"
    assert f"site_dir: {build['steps'][-1]['with']['path']}\n" in (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    assert deploy["needs"] == "build"
    assert "refs/heads/main" in deploy["if"]
    assert "pull_request" in PAGES[True], "a pull request is built, too"
    assert PAGES["permissions"] == {"contents": "read"}
    assert deploy["permissions"] == {"pages": "write", "id-token": "write"}

"""`mmeval plugins new`: creates a complete package, or nothing."""

from __future__ import annotations

import ast
import errno
import os
import re
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from mmeval import UserError
from mmeval.plugin import new
from mmeval.plugin.compat import declared_version
from mmeval.plugin.new import new_plugin
from mmeval.version import API_VERSION, __version__

Install = Callable[..., None]
FILES = {
    ".github/workflows/test.yml",
    ".gitignore",
    "README.md",
    "pyproject.toml",
    "src/mmeval_my_model2/__init__.py",
    "src/mmeval_my_model2/config.py",
    "src/mmeval_my_model2/model.py",
    "tests/test_contract.py",
    "tests/test_model.py",
}
PATTERN = "write small letters, digits and single dashes, e.g. my-model."


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to work in."""
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path / "work"


@pytest.fixture
def package() -> Path:
    return new_plugin("my-model2")


def refusal(name: str, folder: Path | None = None) -> str:
    with pytest.raises(UserError) as caught:
        new_plugin(name, folder)
    return str(caught.value)


def test_the_promised_files_are_written(package: Path, here: Path) -> None:
    """The package is in a folder called like the plugin."""
    assert package == Path("my-model2")
    assert list(here.iterdir()) == [here / "my-model2"]
    assert {path.relative_to(package).as_posix() for path in package.rglob("*") if path.is_file()} == FILES


def test_no_template_syntax_is_left(package: Path) -> None:
    """Only the workflow's own `${{ }}` remains."""
    for name in FILES:
        text = (package / name).read_text(encoding="utf-8").replace("${{ matrix.python }}", "")
        assert not re.search(r"\{\{|\{%|jinja", text), name
        assert text.endswith("\n"), name
    workflow = yaml.safe_load((package / ".github/workflows/test.yml").read_text())
    assert {"python-version": "${{ matrix.python }}", "cache": "pip"} in [
        step.get("with") for step in workflow["jobs"]["test"]["steps"]
    ]


def test_the_python_files_compile_and_state_the_api(package: Path) -> None:
    for path in package.rglob("*.py"):
        compile(path.read_text(encoding="utf-8"), path, "exec")
    assert declared_version(ast.parse((package / "src/mmeval_my_model2/__init__.py").read_text())) == API_VERSION
    classes = [node.name for node in ast.parse((package / "src/mmeval_my_model2/model.py").read_text()).body[-1:]]
    assert classes == ["MyModel2"]


def test_the_package_is_found_by_its_entry_point(package: Path) -> None:
    """Check the entry point, the packaged module and the required mmeval version."""
    read = tomllib.loads((package / "pyproject.toml").read_text())
    project = read["project"]
    assert project["name"] == "mmeval-my-model2"
    assert project["entry-points"] == {"mmeval.models": {"my-model2": "mmeval_my_model2"}}
    assert project["dependencies"] == [f"mmeval-multilingual[demo]>={__version__}"]
    assert read["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"] == ["src/mmeval_my_model2"]
    assert project["license"] == "Apache-2.0"


def test_folder_and_licence_can_be_chosen(here: Path) -> None:
    package = new_plugin("my-model2", Path("deep/down"), "MIT")
    assert package == Path("deep/down")
    assert tomllib.loads((here / package / "pyproject.toml").read_text())["project"]["license"] == "MIT"
    assert 'licence="MIT; ' in (here / package / "src/mmeval_my_model2/__init__.py").read_text()
    assert "| licence | MIT; " in (here / package / "README.md").read_text()


@pytest.mark.parametrize("name", ["", "My-Model", "my_model", "my--model", "-model", "model-", "2model", "a b", "a/b"])
def test_a_bad_name_is_refused(name: str, here: Path) -> None:
    """The name must be valid for a package, a module and a class."""
    assert refusal(name) == f'"{name}" can\'t name a plugin: {PATTERN}'
    assert list(here.iterdir()) == []


@pytest.mark.parametrize("name", ["embracenet", "emoji14"])
def test_a_taken_name_is_refused(name: str, here: Path) -> None:
    message = f'A plugin named "{name}" is installed; choose another name (`mmeval plugins` lists them).'
    assert refusal(name) == message
    assert list(here.iterdir()) == []


def test_a_taken_module_is_refused(here: Path) -> None:
    """mmeval_emoji is the module of the data set emoji14."""
    message = '"emoji" can\'t name a plugin: a module mmeval_emoji is installed already; choose another name.'
    assert refusal("emoji") == message
    assert list(here.iterdir()) == []


@pytest.mark.parametrize("name", ["none", "true", "heads", "batch", "torch-model"])
def test_a_name_whose_class_the_package_uses_is_refused(name: str, here: Path) -> None:
    """`class None` is invalid, and `class Heads` would recurse without end instead of using mmeval's Heads."""
    called = "".join(word.capitalize() for word in name.split("-"))
    message = f'"{name}" can\'t name a plugin: its class would be {called}, a name that the package uses.'
    assert refusal(name) == message
    assert list(here.iterdir()) == []


def test_every_name_that_the_template_imports_is_refused(package: Path) -> None:
    """Including later additions to the template."""
    files = [package / "src/mmeval_my_model2/model.py", package / "tests/test_model.py"]
    statements = [node for path in files for node in ast.walk(ast.parse(path.read_text()))]
    imported = {alias.name for node in statements if isinstance(node, ast.ImportFrom) for alias in node.names}
    classes = {name for name in imported if name[0].isupper() and not name.startswith("MyModel2")}
    assert {"Batch", "Heads", "Output", "Task"} <= classes
    for name in classes:
        typed = "-".join(part.lower() for part in re.findall("[A-Z][a-z0-9]*", name))
        assert f"its class would be {name}," in refusal(typed)


@pytest.mark.parametrize("existing", ["file", "empty folder", "folder"])
def test_an_existing_path_is_left_untouched(existing: str, here: Path) -> None:
    path = here / "my-model2"
    if existing == "file":
        path.write_text("precious")
    else:
        path.mkdir()
    if existing == "folder":
        (path / "README.md").write_text("precious")
    before = {file: file.read_text() for file in here.rglob("*") if file.is_file()}
    assert refusal("my-model2") == "my-model2 exists already; name another folder with --folder, or remove it."
    assert refusal("other", path) == f"{path} exists already; name another folder with --folder, or remove it."
    assert {file: file.read_text() for file in here.rglob("*") if file.is_file()} == before


def test_a_folder_that_can_not_be_created_is_named(here: Path) -> None:
    (here / "file").write_text("")
    assert refusal("my-model2", Path("file/deep/down")) == "--folder file/deep/down can't be created: Not a directory."


def test_a_failure_leaves_no_partial_package(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """For example a full disk."""
    plain, written = Path.write_text, []

    def full(self: Path, *text: str, **options: str) -> int:
        written.append(self)
        if len(written) == 4:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return plain(self, *text, **options)

    monkeypatch.setattr(new.Path, "write_text", full)
    with pytest.raises(OSError, match="No space left"):
        new_plugin("my-model2")
    assert len(written) == 4
    assert list(here.iterdir()) == []


def test_the_command_prints_the_next_steps(
    command: Callable[..., int], capsys: pytest.CaptureFixture[str], here: Path
) -> None:
    assert command("plugins", "new", "my-model2", "--folder", "mine", "--licence", "MIT") == 0
    first, *steps = capsys.readouterr().out.splitlines()
    assert first == "Created mine: a package with a small model, its tests and its model card."
    assert [step[2:38].strip() for step in steps] == [
        "cd mine",
        "pip install -e '.[test]'",
        "mmeval plugins check my-model2",
        "mmeval run --plugin my-model2",
    ]
    assert tomllib.loads((here / "mine/pyproject.toml").read_text())["project"]["license"] == "MIT"
    assert command("plugins", "new", "My Model") == 2
    assert capsys.readouterr().err == f'error: "My Model" can\'t name a plugin: {PATTERN}\n'


@pytest.mark.parametrize("licence", ['MIT"', "MIT\n", "", "{{ x }}"])
def test_a_licence_that_would_break_the_package_is_refused(licence: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"write an SPDX identifier, e\.g\. MIT or Apache-2\.0"):
        new_plugin("my-model", tmp_path / "new", licence)
    assert not (tmp_path / "new").exists()

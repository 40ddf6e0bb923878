"""Errors of the operating system print one sentence with path and remedy, without a traceback."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mmeval.home import home
from mmeval.system_errors import REASONS, system_error_message

Command = Callable[..., int]
Capture = pytest.CaptureFixture[str]
MAIN = "from mmeval.cli.main import main; main()"
EVEN = '''"""Gives every class the same share."""
import numpy as np

import mmeval

MMEVAL_API = "1.0"


class Even:
    def __init__(self, config, context):
        self.tasks = context.tasks

    def predict(self, examples, context):
        yield {t.name: np.full((len(examples), len(t.classes)), 1 / len(t.classes), np.float32) for t in self.tasks}

    def save(self, folder):
        pass

    def load(self, folder):
        pass


@mmeval.hookimpl
def register_models(register):
    register(mmeval.ModelSpec(name="even", summary="s", config=mmeval.ModelConfig, build=Even,
        version="1", inputs=("text",), paper="none", licence="MIT", presets={"tiny": {}}))
'''


@pytest.fixture
def words(tmp_path: Path, installed: None) -> list[object]:
    """Return a function that makes a short run in the folder ``run``."""
    (tmp_path / "even.py").write_text(EVEN, encoding="utf-8")
    return ["run", "--plugin", tmp_path / "even.py", "--dataset", "colours", "--output", tmp_path / "run"]


@pytest.fixture
def read_only() -> Iterator[Callable[[Path], None]]:
    """Return a function that makes a folder read-only: by its mode, or by a mount for the superuser."""
    changed: list[Path] = []

    def make(folder: Path) -> None:
        if os.geteuid() != 0:
            folder.chmod(0o555)
        else:
            mount = shutil.which("mount")
            calls = [[mount, "--bind", str(folder), str(folder)], [mount, "-o", "remount,bind,ro", str(folder)]]
            if not mount or any(subprocess.run(call, capture_output=True).returncode for call in calls):
                pytest.skip("the superuser needs the right to mount for a folder that it can't write")
        changed.append(folder)

    yield make
    for folder in changed:
        if os.geteuid() != 0:
            folder.chmod(0o755)
        else:
            subprocess.run(["umount", str(folder)], check=True)


def sentence(capsys: Capture) -> str:
    """Return the error message, without the progress bars."""
    err = capsys.readouterr().err
    assert "Traceback" not in err
    return err.splitlines()[-1]


@pytest.mark.parametrize("subcommand", ["score", "report"])
def test_a_read_only_run_folder_is_reported(
    subcommand: str,
    words: list[object],
    command: Command,
    capsys: Capture,
    read_only: Callable[[Path], None],
    tmp_path: Path,
) -> None:
    """As with a colleague's folder or a mounted archive."""
    assert command(*words) == 0
    read_only(tmp_path / "run")
    capsys.readouterr()
    assert command(subcommand, tmp_path / "run") == 1
    file = "scores.parquet" if subcommand == "score" else "report.html"
    message = sentence(capsys)
    assert message.startswith(f"error: {tmp_path / 'run' / file} can't be written: ")
    assert message.endswith("; make it writable, or use a copy that you may write.")


def test_a_read_only_home_is_reported_and_scoring_works(
    words: list[object],
    command: Command,
    capsys: Capture,
    read_only: Callable[[Path], None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert command(*words) == 0
    monkeypatch.setenv("MMEVAL_HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    read_only(tmp_path / "home")
    for subcommand in ("score", "report"):
        assert command(subcommand, tmp_path / "run") == 0
    capsys.readouterr()
    assert command(*words[:-1], tmp_path / "other") == 1
    message = sentence(capsys)
    assert message.startswith(f"error: {home()}")
    assert message.endswith(f"; set MMEVAL_HOME to a folder that you may write (it is {home()}).")


def test_a_home_that_is_a_file_is_reported(
    words: list[object], command: Command, capsys: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (file := tmp_path / "home").write_text("mine")
    monkeypatch.setenv("MMEVAL_HOME", str(file))
    for arguments in (words, ["data", "prepare", "colours"], ["data", "stats", "colours"]):
        assert command(*arguments) == 1
        message = sentence(capsys)
        assert "a file is in the place of a folder" in message
        assert message.endswith(f"; set MMEVAL_HOME to a folder that you may write (it is {file}).")
    assert file.read_text() == "mine"
    assert command("data") == command("plugins") == 0


@pytest.mark.parametrize("way", ["chattr", "simulated"])
def test_a_write_protected_report_is_reported(
    way: str, words: list[object], command: Command, capsys: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert command(*words) == 0
    report = tmp_path / "run" / "report.html"
    if way == "chattr":
        chattr = shutil.which("chattr")
        if not chattr or subprocess.run([chattr, "+i", str(report)], capture_output=True).returncode:
            pytest.skip("needs a file system that knows immutable files, and its superuser")
    else:
        real = Path.replace

        def replace(path: Path, target: Path) -> Path:
            if target == report:
                raise PermissionError(errno.EPERM, "Operation not permitted", str(path), None, str(target))
            return real(path, target)

        monkeypatch.setattr(Path, "replace", replace)
    try:
        capsys.readouterr()
        assert command("report", tmp_path / "run") == 1
    finally:
        if way == "chattr":
            subprocess.run(["chattr", "-i", str(report)], check=True)
    assert sentence(capsys) == (
        f"error: {report} can't be written: the operation is not permitted; "
        "make it writable, or use a copy that you may write."
    )
    assert not list((tmp_path / "run").glob(".*"))


@pytest.mark.parametrize(
    ("output", "why"),
    [("x" * 300, "the name is too long for the file system"), ("even.py/run", "Not a directory")],
)
def test_an_impossible_output_folder_is_reported(
    output: str, why: str, words: list[object], command: Command, capsys: Capture, tmp_path: Path
) -> None:
    assert command(*words[:-1], tmp_path / output) in (1, 2)
    message = sentence(capsys)
    assert str(tmp_path / output) in message
    assert why in message


@pytest.mark.parametrize("where", ["--set=text_encoder=", "--plugin=", "--output=", "--dataset=table:"])
def test_an_argument_that_is_not_valid_text_is_refused(where: str, command: Command, capsys: Capture) -> None:
    """The argument would be written into run.json, which is UTF-8, perhaps hours later."""
    assert command("run", f"{where}\udcff\udcfe") == 2
    assert capsys.readouterr().err == (
        f'error: "{where}\\udcff\\udcfe" is not valid text in the encoding of this system '
        f"({sys.getfilesystemencoding()}); write it in that encoding, or set PYTHONUTF8=1 if it is UTF-8.\n"
    )


ASCII = [
    {"PYTHONIOENCODING": "ascii"},
    {"PYTHONUTF8": "0", "LC_ALL": "C", "PYTHONCOERCECLOCALE": "0"},
]


@pytest.mark.parametrize("settings", ASCII, ids=["io", "locale"])
def test_an_ascii_terminal_gets_substitutes(
    settings: dict[str, str], words: list[object], command: Command, tmp_path: Path
) -> None:
    """Otherwise a run would end in a traceback after its training."""
    assert command(*words) == 0
    environment = {**os.environ, "PYTHONIOENCODING": "", **settings}
    # Two processes only, because each imports torch.
    for arguments in (["report", str(tmp_path / "run")], ["plugins", "--json"]):
        call = [sys.executable, "-c", MAIN, *arguments]
        done = subprocess.run(call, capture_output=True, check=False, env=environment)
        assert done.returncode == 0, done.stderr
        assert done.stdout.isascii()
        assert done.stderr.isascii()
        assert b"even on colours" in done.stdout or b'"name": "embracenet"' in done.stdout


def test_each_reason_has_its_remedy(tmp_path: Path) -> None:
    for number, (why, remedy) in REASONS.items():
        error = OSError(number, os.strerror(number), str(tmp_path / "x"))
        assert system_error_message(error) == f"{tmp_path / 'x'} can't be used: {why}; {remedy}."
    other = OSError(errno.ELOOP, "Too many levels of symbolic links", os.fsencode(tmp_path / "x"))
    assert system_error_message(other) == (
        f"{tmp_path / 'x'} can't be used: too many levels of symbolic links; fix the cause, then repeat the command."
    )


def test_the_message_names_the_final_file_not_the_temporary_one(tmp_path: Path) -> None:
    for suffix in (".partial", ".partial.lock"):
        error = PermissionError(errno.EACCES, "Permission denied", str(tmp_path / f".run.json.0a1b2c3d{suffix}"))
        assert str(system_error_message(error)).startswith(
            f"{tmp_path / 'run.json'} can't be written: permission denied; "
        )


@pytest.mark.parametrize("error", [ValueError("x"), OSError("x"), ConnectionError(111, "refused"), OSError(9, "x", 3)])
def test_a_defect_of_the_program_keeps_its_traceback(error: Exception) -> None:
    """A user can't repair an error without a path."""
    assert system_error_message(error) is None

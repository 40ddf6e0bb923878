"""Interrupted runs: finished seeds are kept, and a folder is never used for another run."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from mmeval import Task, files
from mmeval.errors import RunFolderError, Stopped, UserError
from mmeval.files import disk_full
from mmeval.metrics.predictions import write_predictions
from mmeval.plugin.manager import Manager
from mmeval.protocol import Inputs
from mmeval.runs.folder import RunFolder, State
from mmeval.runs.pipeline import run
from mmeval.runs.request import Request

Ask = Callable[..., Request]
ManagerWith = Callable[..., Manager]
START = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); from mmeval.cli.main import main; "


def make_unfinished(folder: RunFolder, *without: int) -> None:
    """Turn a finished run into what a killed process leaves: the plan and the finished seeds."""
    plan = folder.record.plan
    folder.record_file.unlink()
    for path in (folder.scores_file, folder.gallery_file, folder.report_path, folder.readme_file):
        path.unlink()
    for seed in without:
        folder.predictions_file(seed).unlink()
        shutil.rmtree(folder.model_folder(seed))
    folder.write_json(folder.plan_file, plan.model_dump(mode="json"))


def test_a_folder_that_is_not_a_run_is_not_touched(ask: Ask, manager_with: ManagerWith, tmp_path: Path) -> None:
    for name in ("thesis", "notes.txt"):
        path = tmp_path / name
        if name == "thesis":
            path.mkdir()
            (path / "chapter.tex").write_text("precious")
        else:
            path.write_text("precious")
        with pytest.raises(RunFolderError) as caught:
            run(ask(output=path), manager_with())
        assert str(caught.value) == f"--output {path} exists and is not a run folder; name another folder."
    assert (tmp_path / "thesis" / "chapter.tex").read_text() == (tmp_path / "notes.txt").read_text() == "precious"


@pytest.mark.parametrize("name", ["plan.json", "run.json", "README.md"])
def test_temporaries_of_a_killed_process_do_not_make_a_folder_foreign(
    name: str, ask: Ask, manager_with: ManagerWith, tmp_path: Path
) -> None:
    folder = RunFolder(tmp_path / "run")
    folder.path.mkdir()
    for suffix in ("partial", "partial.lock"):
        (folder.path / f".{name}.a1b2c3_4.{suffix}").write_text("")
    assert folder.state is State.EMPTY
    run(ask(), manager_with())
    assert folder.state is State.FINISHED
    assert not list(folder.path.rglob(".*"))


def test_temporaries_of_other_programs_are_kept(ask: Ask, manager_with: ManagerWith, tmp_path: Path) -> None:
    """Other programs may name their temporaries the same way."""
    for names in (["chapter.tex", ".plan.json.a1b2c3d4.partial"], [".film.mkv.a1b2c3d4.partial"]):
        folder = tmp_path / names[-1]
        folder.mkdir()
        for name in names:
            (folder / name).write_text("precious")
        with pytest.raises(RunFolderError, match="exists and is not a run folder"):
            run(ask(output=folder), manager_with())
        assert sorted(path.name for path in folder.iterdir()) == sorted(names)


@pytest.mark.parametrize("state", ["finished", "unfinished"])
def test_a_run_removes_temporaries_of_killed_processes_in_all_its_folders(
    finished: RunFolder, state: str, ask: Ask, manager_with: ManagerWith
) -> None:
    if state == "unfinished":
        make_unfinished(finished, 1)
    left = [
        finished.path / ".scores.parquet.a1b2c3d4.partial",
        finished.path / "models" / "seed-0" / ".best.safetensors.a1b2c3d4.partial",
        finished.path / "predictions" / ".seed-1.parquet.a1b2c3d4.partial",
    ]
    for path in left:
        path.write_text("")
    run(ask(seeds=2), manager_with())
    assert not any(path.exists() for path in left)


@pytest.mark.parametrize(
    "at", ["plan.json", "best.safetensors", "seed-0.parquet", "seed-0.validation.parquet", "report.html"]
)
def test_a_killed_run_continues_and_leaves_no_temporaries(
    at: str, installed: None, command: Callable[..., int], words: list[object], tmp_path: Path
) -> None:
    killed = (
        "import os, signal; from mmeval import files; flush = files._flush\n"
        f"files._flush = lambda path: os.kill(os.getpid(), signal.SIGKILL) if '{at}' in path.name else flush(path)\n"
    )
    call = [sys.executable, "-c", f"{START}{killed}main()", *map(str, words)]
    done = subprocess.run(call, capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert list((tmp_path / "run").rglob("*.partial"))
    assert command(*words) == 0
    assert (tmp_path / "run" / "run.json").is_file()
    assert not list((tmp_path / "run").rglob(".*"))


def test_a_finished_run_is_not_changed(
    finished: RunFolder, ask: Ask, manager_with: ManagerWith, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path: path.stat().st_mtime_ns for path in finished.path.rglob("*")}
    run(ask(seeds=2), manager_with())
    assert {path: path.stat().st_mtime_ns for path in finished.path.rglob("*")} == before
    assert capsys.readouterr().err == f"{finished.path} holds a finished run of this plan; nothing is computed again.\n"


def test_another_protocol_in_the_same_folder_is_refused(
    finished: RunFolder, ask: Ask, manager_with: ManagerWith
) -> None:
    with pytest.raises(RunFolderError) as caught:
        run(ask(seeds=2, inputs=Inputs.TEXT), manager_with())
    signature = finished.record.plan.signature
    assert str(caught.value) == (
        f"--output {finished.path} holds another run (finished): its signature is {signature}, "
        f"not {signature.replace('image+text', 'text')}; name another folder."
    )


@pytest.mark.parametrize("state", ["finished", "unfinished"])
def test_other_options_in_the_same_folder_are_refused(
    finished: RunFolder, state: str, ask: Ask, manager_with: ManagerWith
) -> None:
    if state == "unfinished":
        make_unfinished(finished, 1)
    with pytest.raises(RunFolderError) as caught:
        run(ask("width=8", seeds=2), manager_with())
    assert str(caught.value) == (
        f"--output {finished.path} holds another run ({state}): its config.width is 16, not 8; name another folder."
    )


def test_an_unfinished_run_continues_after_its_finished_seeds(
    finished: RunFolder, ask: Ask, manager_with: ManagerWith, capsys: pytest.CaptureFixture[str]
) -> None:
    """Finished seeds aren't trained again, and the scores equal those of an uninterrupted run."""
    whole = pq.read_table(finished.scores_file)
    make_unfinished(finished, 1)
    model = finished.model_folder(0) / "model.safetensors"
    before = model.stat().st_mtime_ns
    run(ask(seeds=2), manager_with())
    err = capsys.readouterr().err
    assert f"{finished.path} holds an unfinished run of this plan; it continues after seed 0.\n" in err
    assert "Training (seed 1)" in err
    assert "Training (seed 0)" not in err
    assert model.stat().st_mtime_ns == before
    again = pq.read_table(finished.scores_file)
    assert str(again.drop_columns("run").to_pylist()) == str(whole.drop_columns("run").to_pylist())


def test_a_run_without_a_finished_seed_starts_from_the_beginning(
    finished: RunFolder, ask: Ask, manager_with: ManagerWith, capsys: pytest.CaptureFixture[str]
) -> None:
    make_unfinished(finished, 1)
    finished.facts_file(0).unlink()
    run(ask(seeds=2), manager_with())
    err = capsys.readouterr().err
    assert (
        f"{finished.path} holds an unfinished run of this plan; it starts from the beginning: no seed is finished.\n"
        in err
    )
    assert "Training (seed 0)" in err


def test_scores_and_reports_are_written_without_training_if_all_seeds_are_finished(
    finished: RunFolder, ask: Ask, manager_with: ManagerWith, capsys: pytest.CaptureFixture[str]
) -> None:
    make_unfinished(finished)
    run(ask(seeds=2), manager_with())
    assert "Training" not in capsys.readouterr().err
    assert finished.report_path.is_file()


def test_ctrl_c_keeps_finished_seeds_and_says_how_to_continue(
    ask: Ask, manager_with: ManagerWith, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import mmeval.runs.train as module

    write = module.write_predictions
    # Seed 0 writes the predictions of the test and the validation split, and seed 1 is interrupted.
    interrupt = iter([False, False, True])

    def interrupted(*args: object) -> None:
        if next(interrupt):
            raise KeyboardInterrupt
        write(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(module, "write_predictions", interrupted)
    with pytest.raises(Stopped) as caught:
        run(ask(seeds=2), manager_with())
    folder = RunFolder(tmp_path / "run")
    assert str(caught.value) == (
        f"Stopped. Finished seeds are kept; repeat the command with --output {folder.path} to continue."
    )
    assert [bool(folder.facts(seed)) for seed in (0, 1)] == [True, False]
    assert not folder.record_file.exists()


def test_sigint_ends_in_one_sentence_and_the_next_call_finishes(
    installed: None, command: Callable[..., int], words: list[object], tmp_path: Path
) -> None:
    slow = [*words, "--set", "recipe.epochs=10", "--set", "recipe.patience=10"]
    call = [sys.executable, "-c", START + "main()", *map(str, slow)]
    folder = RunFolder(tmp_path / "run")
    process = subprocess.Popen(call, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        deadline = time.monotonic() + 100
        while not (folder.model_folder(0) / "best.safetensors").exists():
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130
    how = f"repeat the command with --output {folder.path} to continue."
    assert err.splitlines()[-1] == f"error: Stopped. Finished seeds are kept; {how}"
    assert "Traceback" not in err
    assert not folder.record_file.exists()
    assert command(*slow) == 0
    assert {path.name for path in folder.model_folder(0).iterdir()} == {"model.safetensors", "config.json", "fit.json"}
    assert not list(folder.path.rglob("*.partial"))


@pytest.mark.parametrize("there", [False, True])
def test_a_user_error_leaves_no_folder_behind(there: bool, ask: Ask, manager_with: ManagerWith, tmp_path: Path) -> None:
    if there:
        (tmp_path / "run").mkdir()
    with pytest.raises(UserError, match=r'^No image encoder is named "foo"'):
        run(ask("image_encoder=foo"), manager_with())
    assert not (tmp_path / "run" / "plan.json").exists()
    assert not (tmp_path / "run" / "models").exists()


@pytest.mark.parametrize(
    ("full_at", "complete"),
    [
        ("best.safetensors", []),
        ("seed-0.parquet", []),
        ("scores.parquet", ["gallery.parquet", "seed-0.parquet", "seed-0.validation.parquet"]),
    ],
)
def test_a_full_disk_leaves_only_complete_files(
    full_at: str,
    complete: list[str],
    installed: None,
    command: Callable[..., int],
    words: list[object],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def full(path: Path) -> None:
        if path.name.startswith(f".{full_at}."):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(files, "_flush", full)
        assert command(*words) == 1
    assert capsys.readouterr().err.splitlines()[-1] == (
        "error: The disk is full ([Errno 28] No space left on device). "
        "Free some space, then repeat the command; complete files are kept."
    )
    files_there = sorted(path.name for path in (tmp_path / "run").rglob("*.parquet"))
    assert files_there == complete
    assert not list((tmp_path / "run").rglob("*.partial"))
    assert not (tmp_path / "run" / "run.json").exists()
    assert command(*words) == 0
    assert (tmp_path / "run" / "run.json").is_file()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Mount a disk of 256 KiB."""
    path = tmp_path / "disk"
    path.mkdir()
    mount = shutil.which("mount")
    call = [mount, "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(path)]
    if not (sys.platform == "linux" and mount) or subprocess.run(call, capture_output=True).returncode:
        pytest.skip("mounting a small disk needs Linux and its superuser")
    yield path
    subprocess.run(["umount", str(path)], check=True)


def test_a_full_disk_is_recognized_for_every_library(small_disk: Path) -> None:
    """Each library raises another exception."""
    from safetensors.torch import save_file
    from torch import zeros

    rng = np.random.default_rng(0)
    n, task = 40_000, Task("t", tuple("abcdefgh"))
    columns = {name: ["x"] * n for name in ("id", "language", "cluster")}
    blocks = [{"t": rng.dirichlet(np.ones(8), n).astype(np.float32)}]
    for write in (
        lambda: save_file({"weights": zeros(500_000)}, str(small_disk / "model.safetensors")),
        lambda: write_predictions(small_disk / "p.parquet", (task,), columns, {"t": np.zeros(n, np.int64)}, blocks),
        lambda: files.write_text(small_disk / "run.json", "x" * 500_000),
    ):
        with pytest.raises(Exception) as caught:  # noqa: PT011 - the type differs by library
            write()
        assert disk_full(caught.value), caught.value
        assert list(small_disk.iterdir()) == []


def test_a_run_on_a_small_disk_ends_in_one_sentence(
    small_disk: Path,
    installed: None,
    command: Callable[..., int],
    words: list[object],
    capsys: pytest.CaptureFixture[str],
) -> None:
    where = ["--output", small_disk / "run"]
    assert command(*words, *where) == 1
    err = capsys.readouterr().err
    assert err.splitlines()[-1].startswith("error: The disk is full (")
    assert "Traceback" not in err
    assert not (small_disk / "run" / "run.json").exists()


@pytest.mark.parametrize(
    ("error", "full"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), True),
        (RuntimeError("Error while serializing: I/O error: No space left on device (os error 28)"), True),
        (OSError("Error writing bytes to file. Detail: [errno 28] No space left on device"), True),
        (OSError(errno.EACCES, "Permission denied"), False),
        (RuntimeError("os error 2"), False),
    ],
)
def test_disk_full_recognizes_only_a_full_disk(error: Exception, full: bool) -> None:
    assert disk_full(error) is full

"""Atomic writes, temporaries of killed processes, locks and digests."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmeval.files import atomic_folder, atomic_path, digest, lock, partial_of, scratch_folder, sweep, write_text

PARTS = st.lists(st.binary(max_size=9), max_size=5)


@pytest.fixture(params=[0o022, 0o077])
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


# Starts to write the file or folder sys.argv[2] with the function sys.argv[1], prints a line, and waits to be killed.
WRITER = """
import pathlib, sys, time
from mmeval import files
target = pathlib.Path(sys.argv[2])
if sys.argv[1] == "scratch_folder":
    folder, _ = files.scratch_folder(sys.argv[2])
    (folder / "half").write_text("half")
    print(folder, flush=True)
    time.sleep(600)
with getattr(files, sys.argv[1])(target) as temporary:
    (temporary if temporary.is_file() else temporary / "shard").write_text("half")
    print("writing", flush=True)
    time.sleep(600)
"""
Begun = tuple["subprocess.Popen[str]", str]
Writers = Callable[..., Begun]


@pytest.fixture
def writer() -> Iterator[Writers]:
    """Return a function that starts a writing process; the function returns the process and its first line."""
    started: list[subprocess.Popen[str]] = []

    def start(how: str, target: object) -> Begun:
        call = [sys.executable, "-c", WRITER, how, str(target)]
        process = subprocess.Popen(call, stdout=subprocess.PIPE, text=True)
        started.append(process)
        assert process.stdout is not None
        return process, process.stdout.readline().strip()

    yield start
    for process in started:
        process.kill()
        process.communicate()


def kill(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGKILL)
    process.wait(60)


def write_half(path: Path) -> None:
    path.write_text("ne")
    raise RuntimeError("half-way")


def test_a_failed_write_keeps_the_old_file_and_leaves_no_temporary(tmp_path: Path) -> None:
    """Otherwise a full disk would cost the user the result of the previous run."""
    path = tmp_path / "scores.txt"
    write_text(path, "old")
    with pytest.raises(RuntimeError, match="half-way"), atomic_path(path) as temporary:
        write_half(temporary)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_appears_only_when_it_is_complete(tmp_path: Path) -> None:
    """Otherwise another process could read half a file."""
    path = tmp_path / "new" / "scores.txt"
    with atomic_path(path) as temporary:
        temporary.write_text("Grüße 🐸", encoding="utf-8")
        assert not path.exists()
    assert path.read_text(encoding="utf-8") == "Grüße 🐸"
    assert list(path.parent.iterdir()) == [path]


def test_results_have_the_permissions_of_the_umask(tmp_path: Path, umask: int) -> None:
    """Temporary files are private, but colleagues must be able to open a report."""
    write_text(tmp_path / "file", "")
    with atomic_folder(tmp_path / "folder"):
        pass
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o666 & ~umask
    assert (tmp_path / "folder").stat().st_mode & 0o777 == 0o777 & ~umask


def test_a_failed_folder_is_removed(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="half-way"), atomic_folder(tmp_path / "store") as temporary:
        write_half(temporary / "shard")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_appears_complete_and_removes_leftovers_of_its_name(tmp_path: Path) -> None:
    """Otherwise each killed run would leave gigabytes behind."""
    left, other = tmp_path / ".store.abc.partial", tmp_path / ".another.abc.partial"
    for folder in (left, other):
        folder.mkdir()
        (folder / "shard").write_text("half")
    with atomic_folder(tmp_path / "store") as temporary:
        (temporary / "shard").write_text("whole")
        assert not (tmp_path / "store").exists()
    assert (tmp_path / "store" / "shard").read_text() == "whole"
    assert sorted(tmp_path.iterdir()) == [other, tmp_path / "store"]


@pytest.mark.parametrize("how", ["atomic_path", "atomic_folder"])
def test_sweep_removes_a_temporary_only_after_its_process_has_died(how: str, writer: Writers, tmp_path: Path) -> None:
    process, _ = writer(how, tmp_path / "result")
    assert {partial_of(path.name) for path in tmp_path.iterdir()} == {"result"}
    before = sorted(tmp_path.rglob("*"))
    sweep(tmp_path)
    assert sorted(tmp_path.rglob("*")) == before
    kill(process)
    assert sorted(tmp_path.rglob("*")) == before, "a killed process removes nothing"
    sweep(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_two_writers_of_one_file_do_not_interfere(writer: Writers, tmp_path: Path) -> None:
    process, _ = writer("atomic_path", tmp_path / "result")
    write_text(tmp_path / "result", "whole")
    assert len(list(tmp_path.glob(".result.*"))) == 2, "temporary and lock of the other process"
    kill(process)
    write_text(tmp_path / "result", "again")
    assert [path.name for path in tmp_path.iterdir()] == ["result"]


def test_sweep_removes_only_temporaries_and_descends_only_if_deep(tmp_path: Path) -> None:
    """Temporaries of older versions, which had no locks, are removed too."""
    keep = [tmp_path / name for name in ("notes.partial", ".notes", "a.partial.lock", ".partial", "models/[1]/w.txt")]
    gone = [tmp_path / ".run.json.a_8xk2zz.partial", tmp_path / ".x.abcdefgh.partial.lock"]
    below = tmp_path / "models" / "[1]" / ".w.txt.abcdefgh.partial"
    for path in (*keep, *gone, below):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")
    sweep(tmp_path, "other")
    assert all(path.exists() for path in (*keep, *gone, below))
    sweep(tmp_path)
    assert [path.exists() for path in gone] == [False, False]
    assert below.exists()
    sweep(tmp_path, deep=True)
    assert not below.exists()
    assert all(path.exists() for path in keep)


def test_sweep_ignores_temporaries_that_cannot_be_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder may belong to another user, or the disk may be read-only."""
    left = tmp_path / ".run.json.abcdefgh.partial"
    left.write_text("")
    monkeypatch.setattr(
        "mmeval.files._remove", lambda path: (_ for _ in ()).throw(PermissionError(13, "no", str(path)))
    )
    sweep(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [left.name]


def test_a_writer_takes_a_new_name_if_its_lock_was_swept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another process may remove the lock file between its creation and its locking."""
    import filelock

    acquire, seen = filelock.FileLock.acquire, []

    def late(lock: filelock.BaseFileLock, *arguments: object, **options: object) -> object:
        held = acquire(lock, *arguments, **options)  # type: ignore[arg-type]
        seen.append(lock.lock_file)
        if len(seen) == 1:
            Path(lock.lock_file).unlink()
        return held

    monkeypatch.setattr(filelock.FileLock, "acquire", late)
    with atomic_path(tmp_path / "result") as temporary:
        assert (tmp_path / f"{temporary.name}.lock").exists()
    assert len(set(seen)) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["result"]


def test_sweep_does_not_follow_links(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "precious").write_text("")
    (tmp_path / "folder" / ".run.abcdefgh.partial").symlink_to(tmp_path / "elsewhere")
    sweep(tmp_path / "folder", deep=True)
    assert list((tmp_path / "folder").iterdir()) == []
    assert (tmp_path / "elsewhere" / "precious").exists()


def test_the_next_scratch_folder_removes_those_of_killed_processes(
    writer: Writers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "scratch-link").symlink_to(tmp_path / "elsewhere")
    (dead, _), (_, alive) = (writer("scratch_folder", "scratch-") for _ in range(2))
    kill(dead)
    folder, remove = scratch_folder("scratch-")
    there = {path.name for path in tmp_path.iterdir()} - {"elsewhere", "scratch-link"}
    assert there == {folder.name, Path(alive).name}
    assert (tmp_path / "elsewhere").is_dir()
    assert (Path(alive) / "half").exists()
    remove()
    assert not folder.exists()


def test_a_second_process_waits_for_the_lock(tmp_path: Path) -> None:
    """Otherwise two runs could prepare the same data set at the same time."""
    path, started, held = tmp_path / "locks" / "a.lock", tmp_path / "started", tmp_path / "held"
    script = (
        "import sys\nfrom pathlib import Path\nfrom mmeval.files import lock\n"
        "Path(sys.argv[2]).touch()\nwith lock(Path(sys.argv[1])): Path(sys.argv[3]).touch()"
    )
    with lock(path):
        process = subprocess.Popen([sys.executable, "-c", script, str(path), str(started), str(held)])
        until = time.monotonic() + 60
        while not started.exists() and time.monotonic() < until:
            time.sleep(0.01)
        assert started.exists()
        time.sleep(0.2)
        assert not held.exists()
        assert process.poll() is None
    assert process.wait(60) == 0
    assert held.exists()


@given(PARTS, PARTS)
def test_digests_depend_on_the_boundaries_of_parts(left: list[bytes], right: list[bytes]) -> None:
    """Otherwise ("ab", "c") and ("a", "bc") would share a cache entry."""
    assert (digest(*left) == digest(*right)) == (left == right)


@given(PARTS, st.integers(0, 40))
def test_moving_a_boundary_changes_the_digest(parts: list[bytes], cut: int) -> None:
    whole = b"".join(parts)
    moved = [whole[:cut], whole[cut:]]
    assert (digest(*parts) == digest(*moved)) == (parts == moved)


def test_a_digest_is_the_same_on_every_machine() -> None:
    """Digests name Stores and cached embeddings."""
    assert digest() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert digest("é") == digest("é".encode())
    assert digest("a", b"bc") == "9a8acca1b6c6c0befd3fbc756aed625da998c998f7252e738c4ef061906b9b21"

"""Files are whole or not there, and one process writes at a time."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmeval.files import atomic_folder, atomic_path, digest, lock, write_text

PARTS = st.lists(st.binary(max_size=9), max_size=5)


@pytest.fixture(params=[0o022, 0o077])
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def write_half(path: Path) -> None:
    path.write_text("ne")
    raise RuntimeError("half-way")


def test_a_failed_write_leaves_the_old_file_and_nothing_beside_it(tmp_path: Path) -> None:
    """Else a full disk costs the user the result of the run before."""
    path = tmp_path / "scores.txt"
    write_text(path, "old")
    with pytest.raises(RuntimeError, match="half-way"), atomic_path(path) as temporary:
        write_half(temporary)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_takes_the_place_of_the_old_one_only_at_the_end(tmp_path: Path) -> None:
    """Else another process reads half a file."""
    path = tmp_path / "new" / "scores.txt"
    with atomic_path(path) as temporary:
        temporary.write_text("Grüße 🐸", encoding="utf-8")
        assert not path.exists()
    assert path.read_text(encoding="utf-8") == "Grüße 🐸"
    assert list(path.parent.iterdir()) == [path]


def test_results_are_as_readable_as_any_file_of_their_owner(tmp_path: Path, umask: int) -> None:
    """Temporary files are private; a report that colleagues can't open is no report."""
    write_text(tmp_path / "file", "")
    with atomic_folder(tmp_path / "folder"):
        pass
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o666 & ~umask
    assert (tmp_path / "folder").stat().st_mode & 0o777 == 0o777 & ~umask


def test_a_failed_folder_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="half-way"), atomic_folder(tmp_path / "store") as temporary:
        write_half(temporary / "shard")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_appears_whole_and_clears_what_a_killed_process_left(tmp_path: Path) -> None:
    """Else each killed run leaves gigabytes that nobody finds."""
    left, other = tmp_path / ".store.abc.partial", tmp_path / ".another.abc.partial"
    for folder in (left, other):
        folder.mkdir()
        (folder / "shard").write_text("half")
    with atomic_folder(tmp_path / "store") as temporary:
        (temporary / "shard").write_text("whole")
        assert not (tmp_path / "store").exists()
    assert (tmp_path / "store" / "shard").read_text() == "whole"
    assert sorted(tmp_path.iterdir()) == [other, tmp_path / "store"]


def test_a_second_process_waits_until_the_first_is_done(tmp_path: Path) -> None:
    """Else two runs build the same data set over each other."""
    path, asked, held = tmp_path / "locks" / "one.lock", tmp_path / "asked", tmp_path / "held"
    script = (
        "import sys\nfrom pathlib import Path\nfrom mmeval.files import lock\n"
        "Path(sys.argv[2]).touch()\nwith lock(Path(sys.argv[1])): Path(sys.argv[3]).touch()"
    )
    with lock(path):
        process = subprocess.Popen([sys.executable, "-c", script, str(path), str(asked), str(held)])
        until = time.monotonic() + 60
        while not asked.exists() and time.monotonic() < until:
            time.sleep(0.01)
        assert asked.exists()
        time.sleep(0.2)
        assert not held.exists()
        assert process.poll() is None
    assert process.wait(60) == 0
    assert held.exists()


@given(PARTS, PARTS)
def test_a_digest_knows_where_a_part_ends(one: list[bytes], other: list[bytes]) -> None:
    """Else ("ab", "c") and ("a", "bc") would share a cache entry."""
    assert (digest(*one) == digest(*other)) == (one == other)


@given(PARTS, st.integers(0, 40))
def test_moving_a_boundary_changes_the_digest(parts: list[bytes], cut: int) -> None:
    whole = b"".join(parts)
    moved = [whole[:cut], whole[cut:]]
    assert (digest(*parts) == digest(*moved)) == (parts == moved)


def test_a_digest_is_the_same_on_every_machine() -> None:
    """It names Stores and cached embeddings."""
    assert digest() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert digest("é") == digest("é".encode())
    assert digest("a", b"bc") == "9a8acca1b6c6c0befd3fbc756aed625da998c998f7252e738c4ef061906b9b21"

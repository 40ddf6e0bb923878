"""The embedding cache: intact parts are read, damaged parts are computed again."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from mmeval import Tuning
from mmeval.engine.cache import Embeddings, read_embeddings, write_part
from mmeval.engine.embeddings import text_embeddings
from mmeval.errors import DataError
from mmeval.files import lock
from mmeval.home import home
from mmeval.nn.encoders.name import EncoderName
from mmeval.nn.encoders.scratch.small_bert import build_text
from mmeval.nn.tuning import tuned

ROWS, WIDTH = 6, 4
DIGESTS = np.array([f"{number:064x}" for number in range(ROWS)], dtype="S64")
VECTORS = np.random.default_rng(0).normal(size=(ROWS, WIDTH)).astype(np.float32)
TOKENS = [np.full((number + 1, WIDTH), number, np.float16) for number in range(ROWS)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two parts with tokens."""
    path = tmp_path / "0123456789abcdef"
    for part in (slice(0, 3), slice(3, ROWS)):
        write_part(path, DIGESTS[part], VECTORS[part], TOKENS[part])
    return path


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def checked(embeddings: Embeddings) -> NDArray[np.bool_]:
    """Return which rows are cached, after comparing them with the written ones."""
    present = np.flatnonzero(embeddings.present)
    np.testing.assert_array_equal(embeddings.gather(present), VECTORS[present])
    tokens, mask = embeddings.gather_tokens(present)
    for number, row in enumerate(present):
        np.testing.assert_array_equal(tokens[number][mask[number]].numpy(), TOKENS[row])
    return embeddings.present


def test_written_parts_are_read(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = content(folder)
    assert checked(read_embeddings(folder, DIGESTS)).all()
    assert content(folder) == before
    assert capsys.readouterr().err == ""


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(position=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
@pytest.mark.parametrize("kind", ["part-*.npy", "tokens-*.npy", "part-*.json"])
def test_part_with_a_flipped_bit_is_removed(
    kind: str, position: float, bit: int, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A flipped bit would silently change predictions, or end every run with a traceback where it is in a header."""
    before = content(folder)
    path = sorted(folder.glob(kind))[0]
    data = bytearray(path.read_bytes())
    data[int(position * len(data))] ^= 1 << bit
    path.write_bytes(data)
    capsys.readouterr()
    present = checked(read_embeddings(folder, DIGESTS))
    stderr = capsys.readouterr().err
    assert present.sum() == 3 or (present.all() and kind == "part-*.json")
    assert present.all() or stderr.startswith(f"Embeddings: damaged parts in {folder} are computed again (part-")
    assert len(stderr.splitlines()) == (not present.all())
    assert present.all() or len(content(folder)) == 3, "all files of the damaged part are removed"
    shutil.rmtree(folder)
    folder.mkdir()
    for name, old in before.items():
        (folder / name).write_bytes(old)


@pytest.mark.parametrize("kind", ["part-*.npy", "tokens-*.npy", "part-*.json"])
@pytest.mark.parametrize("damage", ["truncated", "empty", "missing", "a file of the other part"])
def test_incomplete_part_is_not_used(kind: str, damage: str, folder: Path) -> None:
    """A truncated, empty, missing or exchanged file makes the part unusable, without a traceback."""
    path, other = sorted(folder.glob(kind))
    if damage == "missing":
        path.unlink()
    elif damage == "truncated":
        path.write_bytes(path.read_bytes()[:-5])
    else:
        path.write_bytes(b"" if damage == "empty" else other.read_bytes())
    for _ in range(2):
        assert checked(read_embeddings(folder, DIGESTS)).sum() == 3


def test_part_of_another_encoder_is_not_used(folder: Path, tmp_path: Path) -> None:
    """The part is intact, but holds other vectors of the same texts."""
    other = tmp_path / "fedcba9876543210"
    write_part(other, DIGESTS[:3], VECTORS[:3] + 1, TOKENS[:3])
    shutil.copytree(other, folder, dirs_exist_ok=True)
    assert checked(read_embeddings(folder, DIGESTS)).tolist() == [False] * 3 + [True] * 3


def test_damaged_part_is_computed_again_with_one_note(capsys: pytest.CaptureFixture[str]) -> None:
    torch.manual_seed(3)
    encoder = tuned(build_text(EncoderName.parse("small-bert:1x32"), frozen=False), Tuning(frozen=True))
    texts = [f"text {number} of a damaged part" for number in range(9)]
    first = text_embeddings(encoder, texts, torch.device("cpu")).gather(np.arange(9))
    part = max((home() / "embeddings").glob("*/part-*.npy"), key=lambda path: path.stat().st_mtime_ns)
    data = bytearray(part.read_bytes())
    data[-3] ^= 64
    part.write_bytes(data)
    capsys.readouterr()
    again = text_embeddings(encoder, texts, torch.device("cpu")).gather(np.arange(9))
    np.testing.assert_array_equal(again, first)
    note, embedded = capsys.readouterr().err.splitlines()
    assert note == f"Embeddings: damaged parts in {part.parent} are computed again ({part.stem})"
    assert "9 texts" in embedded
    text_embeddings(encoder, texts, torch.device("cpu"))
    assert capsys.readouterr().err == ""


def test_unreadable_disk_raises_data_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """Missing embeddings are gathered as zeros, which would otherwise be scored."""
    encoder = tuned(build_text(EncoderName.parse("small-bert:1x32"), frozen=False), Tuning(frozen=True))
    monkeypatch.setattr("mmeval.engine.embeddings.write_part", lambda *_: None)
    with pytest.raises(
        DataError,
        match=r"^Embeddings that mmeval writes into .* can't be read back; check that disk, or set MMEVAL_HOME",
    ):
        text_embeddings(encoder, ["a text that is lost"], torch.device("cpu"))


@pytest.mark.parametrize("name", [".part-a.npy.x1.partial", "tokens-a.npy", "part-a.npy"])
def test_leftover_files_are_removed_unless_the_cache_is_locked(
    name: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Interrupted processes leave partial files, older versions leave parts without a ``part-*.json``."""
    before = content(folder)
    (folder / name).write_bytes(b"half")
    with lock(folder.with_name(f"{folder.name}.lock")):
        assert checked(read_embeddings(folder, DIGESTS)).all()
        assert (folder / name).is_file()
    assert checked(read_embeddings(folder, DIGESTS)).all()
    assert content(folder) == before
    note = f"Embeddings: removed 1 leftover files of an interrupted or older mmeval from {folder}"
    assert capsys.readouterr().err.splitlines() == [note]


def test_large_parts_are_read_once(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Gigabytes of vectors are not read again: the second run trusts size, inode and times."""
    monkeypatch.setattr("mmeval.data.checksums.LARGE", 1)
    monkeypatch.setattr("mmeval.integrity.SETTLED_NS", -1)
    read = _count_reads(monkeypatch)
    for _ in range(3):
        monkeypatch.setattr("mmeval.integrity._digests", {})  # as in a new process
        assert checked(read_embeddings(folder, DIGESTS)).all()
    assert len(read) == 4
    path = sorted(folder.glob("part-*.npy"))[0]
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    assert checked(read_embeddings(folder, DIGESTS)).sum() == 3


def _count_reads(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    from mmeval import integrity

    read: list[Path] = []
    original: Callable[..., str] = integrity.file_digest

    def counted(path: Path, **options: object) -> str:
        read.append(path)
        return original(path, **options)

    monkeypatch.setattr(integrity, "file_digest", counted)
    return read

"""The cache of embeddings: a part is used as it was written, or computed again."""

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
from mmeval.engine.cache import Embeddings, find, write
from mmeval.engine.embeddings import text_embeddings
from mmeval.errors import DataError
from mmeval.files import lock
from mmeval.home import home
from mmeval.nn.encoders.name import Named
from mmeval.nn.encoders.scratch.small_bert import text
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
        write(path, DIGESTS[part], VECTORS[part], TOKENS[part])
    return path


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def right(found: Embeddings) -> NDArray[np.bool_]:
    """What was found, all of it as it was written."""
    has = np.flatnonzero(found.has)
    np.testing.assert_array_equal(found.gather(has), VECTORS[has])
    tokens, mask = found.gather_tokens(has)
    for number, row in enumerate(has):
        np.testing.assert_array_equal(tokens[number][mask[number]].numpy(), TOKENS[row])
    return found.has


def test_what_was_written_is_found(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = content(folder)
    assert right(find(folder, DIGESTS)).all()
    assert content(folder) == before
    assert capsys.readouterr().err == ""


@settings(max_examples=600, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
@pytest.mark.parametrize("kind", ["part-*.npy", "tokens-*.npy", "part-*.json"])
def test_a_part_with_a_flipped_bit_is_not_used(
    kind: str, place: float, bit: int, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """D3: a flipped bit gave other predictions, silently; in a header it was a traceback on every run."""
    before = content(folder)
    path = sorted(folder.glob(kind))[0]
    data = bytearray(path.read_bytes())
    data[int(place * len(data))] ^= 1 << bit
    path.write_bytes(data)
    capsys.readouterr()
    has = right(find(folder, DIGESTS))
    said = capsys.readouterr().err
    assert has.sum() == 3 or (has.all() and kind == "part-*.json")
    assert has.all() or said.startswith(f"Embeddings: what is damaged in {folder} is computed again (part-")
    assert len(said.splitlines()) == (not has.all())
    assert has.all() or len(content(folder)) == 3, "the damaged part is gone, with all its files"
    shutil.rmtree(folder)
    folder.mkdir()
    for name, old in before.items():
        (folder / name).write_bytes(old)


@pytest.mark.parametrize("kind", ["part-*.npy", "tokens-*.npy", "part-*.json"])
@pytest.mark.parametrize("how", ["cut", "empty", "gone", "a file of the other part"])
def test_a_part_that_lost_something_is_not_used(kind: str, how: str, folder: Path) -> None:
    """D3: a part that was cut short was a traceback, and never computed again."""
    path, other = sorted(folder.glob(kind))
    if how == "gone":
        path.unlink()
    elif how == "cut":
        path.write_bytes(path.read_bytes()[:-5])
    else:
        path.write_bytes(b"" if how == "empty" else other.read_bytes())
    for _ in range(2):
        assert right(find(folder, DIGESTS)).sum() == 3


def test_a_part_of_another_encoder_is_not_used(folder: Path, tmp_path: Path) -> None:
    """Whole in itself: other numbers of the same texts."""
    other = tmp_path / "fedcba9876543210"
    write(other, DIGESTS[:3], VECTORS[:3] + 1, TOKENS[:3])
    shutil.copytree(other, folder, dirs_exist_ok=True)
    assert right(find(folder, DIGESTS)).tolist() == [False] * 3 + [True] * 3


def test_a_damaged_part_is_computed_again_with_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    torch.manual_seed(3)
    encoder = tuned(text(Named.parse("small-bert:1x32"), frozen=False), Tuning(frozen=True))
    texts = [f"text {number} of a damaged part" for number in range(9)]
    first = text_embeddings(encoder, texts, torch.device("cpu")).gather(np.arange(9))
    part = max((home() / "embeddings").glob("*/part-*.npy"), key=lambda path: path.stat().st_mtime_ns)
    data = bytearray(part.read_bytes())
    data[-3] ^= 64
    part.write_bytes(data)
    capsys.readouterr()
    again = text_embeddings(encoder, texts, torch.device("cpu")).gather(np.arange(9))
    np.testing.assert_array_equal(again, first)
    said, embedded = capsys.readouterr().err.splitlines()
    assert said == f"Embeddings: what is damaged in {part.parent} is computed again ({part.stem})"
    assert "9 texts" in embedded
    text_embeddings(encoder, texts, torch.device("cpu"))
    assert capsys.readouterr().err == ""


def test_a_disk_that_keeps_nothing_is_an_error_and_not_zeros(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is lacking gathers as zeros, which would be scored."""
    encoder = tuned(text(Named.parse("small-bert:1x32"), frozen=False), Tuning(frozen=True))
    monkeypatch.setattr("mmeval.engine.embeddings.write", lambda *_: None)
    with pytest.raises(DataError, match="doesn't give back the embeddings"):
        text_embeddings(encoder, ["a text that is lost"], torch.device("cpu"))


@pytest.mark.parametrize("name", [".part-a.npy.x1.partial", "tokens-a.npy", "part-a.npy"])
def test_leftovers_are_swept_unless_somebody_writes(
    name: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """D4: what a kill left stayed for ever. Parts without a list are an older version's, too."""
    before = content(folder)
    (folder / name).write_bytes(b"half")
    with lock(folder.with_name(f"{folder.name}.lock")):
        assert right(find(folder, DIGESTS)).all()
        assert (folder / name).is_file()
    assert right(find(folder, DIGESTS)).all()
    assert content(folder) == before
    said = f"Embeddings: 1 files of no part in {folder} are removed (a killed or an older mmeval's)"
    assert capsys.readouterr().err.splitlines() == [said]


def test_large_parts_are_read_once(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Gigabytes of vectors of a million texts: the second run trusts size, inode and times."""
    monkeypatch.setattr("mmeval.data.checksums.LARGE", 1)
    monkeypatch.setattr("mmeval.integrity.SETTLED_NS", -1)
    read = _count_reads(monkeypatch)
    for _ in range(3):
        monkeypatch.setattr("mmeval.integrity._digests", {})  # as another process begins
        assert right(find(folder, DIGESTS)).all()
    assert len(read) == 4
    path = sorted(folder.glob("part-*.npy"))[0]
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    assert right(find(folder, DIGESTS)).sum() == 3


def _count_reads(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    from mmeval import integrity

    read: list[Path] = []
    plain: Callable[..., str] = integrity.file_digest

    def counted(path: Path, **options: object) -> str:
        read.append(path)
        return plain(path, **options)

    monkeypatch.setattr(integrity, "file_digest", counted)
    return read

"""Preparation of images in shards, which continues after a kill."""

from __future__ import annotations

import errno
import io
import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from mmeval import Task
from mmeval.data.prepare import images as module
from mmeval.data.prepare.images import PreparedImages, prepare_images
from mmeval.data.store import IMAGES_INFO
from mmeval.errors import DataError
from mmeval.files import disk_full

if TYPE_CHECKING:
    from mmeval.api.source import ImageData

KILLED = """
import sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from mmeval.data.prepare import images as module
from mmeval.data.prepare import shard
from tests.data.prepare.test_images import Given

folder = Path(sys.argv[2])
module.SHARD, shard.TASK = 10, 4


def wait(number):
    if number == 27:
        (folder / "in the middle").touch()
        time.sleep(600)


module.prepare_images(Given(45, wait), folder / "pictures", "given")
"""


def png(number: int) -> bytes:
    out = io.BytesIO()
    Image.fromarray(np.full((6, 8, 3), number % 256, np.uint8)).save(out, "PNG")
    return out.getvalue()


class Given:
    """Numbered images, read by functions; every tenth is a text, and every seventh is missing."""

    identity = {"given": "1"}  # noqa: RUF012
    tasks = (Task("t", ("a",)),)

    def __init__(self, count: int, when: Callable[[int], object] = lambda number: None, shift: int = 0) -> None:
        self.size, self.when, self.shift = count, when, shift
        self.called: list[int] = []

    def _read(self, number: int) -> bytes:
        self.called.append(number)
        self.when(number)
        if number % 10 == 3:
            return b"a text"
        if number % 7 == 5:
            raise FileNotFoundError(number)
        return png(number)

    def images(self) -> Iterator[tuple[str, ImageData | Callable[[], ImageData]]]:
        for number in range(self.size):
            yield f"k{number + self.shift}", lambda number=number: self._read(number)

    def examples(self) -> Iterator[Any]:
        return iter(())


@pytest.fixture(autouse=True)
def _small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SHARD", 10)


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def stop_at(stop: int, error: BaseException) -> Callable[[int], None]:
    def when(number: int) -> None:
        if number == stop:
            raise error

    return when


def images(count: int) -> list[int]:
    return [number for number in range(count) if number % 10 != 3 and number % 7 != 5]


def test_images_keep_their_order_and_rejected_ones_have_a_reason(tmp_path: Path) -> None:
    """Whatever order the threads finish in."""

    def slower_first(number: int) -> None:
        time.sleep(0.002 * (3 - number % 4))

    prepared = prepare_images(Given(45, slower_first), tmp_path / "p", "given")
    assert list(prepared.rows()) == [f"k{number}" for number in images(45)]
    assert list(prepared.rows().values()) == list(range(prepared.count)) == list(range(len(images(45))))
    assert prepared.rejected == {
        **{f"k{number}": "the image's file is missing" for number in range(5, 45, 7) if number % 10 != 3},
        **{f"k{number}": "not an image in a supported format" for number in range(3, 45, 10)},
    }
    assert sorted(content(tmp_path / "p")) == [*(f"images-0000{number}.arrow" for number in range(5)), IMAGES_INFO]


def test_the_digest_does_not_depend_on_shards_or_threads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is part of the fingerprint."""
    digests = {prepare_images(Given(45), tmp_path / "small", "given").digest}
    monkeypatch.setattr(module, "SHARD", 8192)
    monkeypatch.setattr("mmeval.data.prepare.shard.cores", lambda: 7)
    digests.add(prepare_images(Given(45), tmp_path / "large", "given").digest)
    assert len(digests) == 1


def test_prepared_images_are_not_read_again(tmp_path: Path) -> None:
    first = prepare_images(Given(12), tmp_path / "p", "given")
    again = Given(12)
    assert prepare_images(again, tmp_path / "p", "given") == first
    assert again.called == []


def test_after_a_kill_preparation_continues_with_the_incomplete_shard(tmp_path: Path) -> None:
    """And the result is the same, byte by byte."""
    root = Path(__file__).parents[3]
    process = subprocess.Popen([sys.executable, "-c", KILLED, str(root), str(tmp_path)])
    until = time.monotonic() + 60
    begun = tmp_path / "pictures.unfinished"
    # Images are converted ahead of the shard that is being written, so the second shard is complete a little later.
    while not (tmp_path / "in the middle").exists() or len(list(begun.iterdir())) < 6:
        assert time.monotonic() < until
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait(60)
    left = {path.name for path in (tmp_path / "pictures.unfinished").iterdir()}
    assert {name for name in left if not name.startswith(".")} == {
        f"images-0000{number}.{kind}" for number in (0, 1) for kind in ("arrow", "json")
    }
    assert len(left) == 6, "and a part of the third shard with its lock"
    again = Given(45)
    prepare_images(again, tmp_path / "pictures", "given")
    assert min(again.called) == 20
    prepare_images(Given(45), tmp_path / "at once", "given")
    assert content(tmp_path / "pictures") == content(tmp_path / "at once")
    assert not (tmp_path / "pictures.unfinished").exists()


@pytest.mark.parametrize("stop", [0, 9, 10, 44])
def test_preparation_continues_after_an_interruption_anywhere(stop: int, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        prepare_images(Given(45, stop_at(stop, KeyboardInterrupt())), tmp_path / "p", "given")
    again = Given(45)
    prepare_images(again, tmp_path / "p", "given")
    assert sorted(again.called) == list(range(stop // 10 * 10, 45))
    prepare_images(Given(45), tmp_path / "at once", "given")
    assert content(tmp_path / "p") == content(tmp_path / "at once")


@pytest.mark.parametrize("when", ["before the list is written", "after", "while it clears up"])
@pytest.mark.parametrize("count", [0, 20])
def test_preparation_continues_after_an_interruption_of_its_last_steps(
    when: str, count: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also for a source without images, and for one whose last shard is full."""
    with monkeypatch.context() as patch:
        if when == "before the list is written":
            patch.setattr(module, "_sum_up", stop)
        elif when == "after":
            patch.setattr(Path, "replace", stopped_replace(Path.replace, "p.unfinished"))
        else:
            patch.setattr(Path, "unlink", stopped_unlink(Path.unlink))
        with pytest.raises(KeyboardInterrupt):
            prepare_images(Given(count), tmp_path / "p", "given")
    again = Given(count)
    prepare_images(again, tmp_path / "p", "given")
    assert again.called == []
    prepare_images(Given(count), tmp_path / "at once", "given")
    assert content(tmp_path / "p") == content(tmp_path / "at once")


def stop(*_: object) -> None:
    raise KeyboardInterrupt


def stopped_replace(replace: Callable[..., Any], name: str) -> Callable[..., Any]:
    def stopped(path: Path, target: Path) -> Any:
        if path.name == name:
            raise KeyboardInterrupt
        return replace(path, target)

    return stopped


def stopped_unlink(unlink: Callable[..., Any]) -> Callable[..., Any]:
    def stopped(path: Path, missing_ok: bool = False) -> Any:
        unlink(path, missing_ok=missing_ok)
        if path.suffix == ".json":
            raise KeyboardInterrupt

    return stopped


@pytest.mark.parametrize("other", [Given(45, shift=1), Given(15), Given(0)], ids=["other keys", "fewer", "none"])
def test_a_source_that_changed_after_an_interruption_is_refused_once(other: Given, tmp_path: Path) -> None:
    """Old and new images must not be mixed."""
    with pytest.raises(KeyboardInterrupt):
        prepare_images(Given(45, stop_at(27, KeyboardInterrupt())), tmp_path / "p", "given")
    with pytest.raises(DataError) as caught:
        prepare_images(other, tmp_path / "p", "given")
    assert (
        str(caught.value)
        == "given has changed since its preparation began; the unfinished files are removed: run again."
    )
    assert prepare_images(other, tmp_path / "p", "given").count == len(images(other.size))


def test_a_source_may_have_no_images(tmp_path: Path) -> None:
    """A data set of texts."""
    prepared = prepare_images(Given(0), tmp_path / "p", "given")
    assert (prepared.count, prepared.rows(), prepared.rejected) == (0, {}, {})


def test_all_images_may_be_rejected(tmp_path: Path) -> None:
    """The preparation of the examples then decides."""

    class AllBad(Given):
        def images(self) -> Iterator[tuple[str, ImageData]]:
            yield from ((f"k{number}", b"") for number in range(25))

    prepared = prepare_images(AllBad(25), tmp_path / "p", "given")
    assert (prepared.count, set(prepared.rejected.values())) == (0, {"the image has no bytes"})


def test_a_name_that_is_not_utf_8_is_rejected(tmp_path: Path) -> None:
    """Linux allows any bytes in a file name."""

    class Named(Given):
        def images(self) -> Iterator[tuple[str, ImageData]]:
            yield from (("b\udcff.png", png(1)), ("Gr\xfc\xdfe.png", png(2)))

    prepared = prepare_images(Named(2), tmp_path / "p", "given")
    assert prepared.rejected == {"b\udcff.png": "its name is not valid UTF-8"}
    assert list(prepared.rows()) == ["Gr\xfc\xdfe.png"]


def test_an_error_of_the_source_stops_the_preparation(tmp_path: Path) -> None:
    """A bug of a plugin is not a bad image; complete shards are kept, and all threads end."""
    before = threading.active_count()
    with pytest.raises(ZeroDivisionError):
        prepare_images(Given(45, lambda number: 1 / (27 - number)), tmp_path / "p", "given")
    assert threading.active_count() == before
    again = Given(45)
    prepare_images(again, tmp_path / "p", "given")
    assert min(again.called) == 20


def test_a_full_disk_keeps_the_complete_shards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written = []

    class Full:
        """Accepts two shards, and no byte of a third."""

        def __new__(cls, path: str, mode: str) -> Any:
            written.append(path)
            if len(written) == 3:
                raise OSError(errno.ENOSPC, "[Errno 28] Error writing bytes to file")
            return opened(path, mode)

    opened = pa.OSFile
    with monkeypatch.context() as patch:
        patch.setattr(pa, "OSFile", Full)
        with pytest.raises(OSError, match="28") as caught:
            prepare_images(Given(45), tmp_path / "p", "given")
    assert disk_full(caught.value)
    assert not list((tmp_path / "p.unfinished").glob(".*"))
    again = Given(45)
    prepare_images(again, tmp_path / "p", "given")
    assert min(again.called) == 20


def test_pixels_of_a_shard_are_not_all_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """8,192 images of 256 x 256 pixels are 1.6 GB."""
    monkeypatch.setattr(module, "SHARD", 8192)
    monkeypatch.setattr("mmeval.data.prepare.shard.cores", lambda: 2)
    alive, most = [0], [0]

    class Counted(np.ndarray):
        def __del__(self) -> None:
            if self.base is None:
                alive[0] -= 1

    class Pixels(Given):
        def images(self) -> Iterator[tuple[str, ImageData]]:
            for number in range(self.size):
                pixels = Counted((8, 8, 3), np.uint8)
                pixels[:] = number % 256
                alive[0] += 1
                most[0] = max(most[0], alive[0])
                yield f"k{number}", pixels

    assert prepare_images(Pixels(1500), tmp_path / "p", "given").count == 1500
    assert most[0] < 400


def test_a_folder_of_images_without_its_list_is_refused(tmp_path: Path) -> None:
    prepared = prepare_images(Given(12), tmp_path / "p", "given")
    (prepared.folder / IMAGES_INFO).unlink()
    with pytest.raises(DataError) as caught:
        prepare_images(Given(12), tmp_path / "p", "given")
    assert str(caught.value) == f"{tmp_path / 'p'} lacks its {IMAGES_INFO}; remove the folder and run again."


def test_the_progress_bar_ends_with_the_number_of_rejected_images(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Including those of an earlier attempt."""
    with pytest.raises(KeyboardInterrupt):
        prepare_images(Given(45, stop_at(27, KeyboardInterrupt())), tmp_path / "p", "given")
    capsys.readouterr()
    prepared = prepare_images(Given(45), tmp_path / "p", "given")
    assert isinstance(prepared, PreparedImages)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("Preparing given: 45 images in ")
    assert line.endswith(f" s, rejected {len(prepared.rejected)}")
    assert json.loads((prepared.folder / IMAGES_INFO).read_text())["count"] == prepared.count

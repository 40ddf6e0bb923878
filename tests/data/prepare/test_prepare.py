"""Preparation of Stores: atomic, once, compared with the card, and identified by content."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import simplejpeg

from mmeval import DatasetSpec, Example, Source, Task
from mmeval.data.prepare.prepare import prepare, store_folder
from mmeval.data.store import INFO, Store
from mmeval.errors import DataError

CONFTEST = Path(__file__).parents[2] / "conftest.py"
PROCESS = """
import runpy, sys, time
from pathlib import Path
from mmeval import DatasetSpec
from mmeval.data.prepare.prepare import prepare

shared, card, signals, name = runpy.run_path(sys.argv[1]), *map(Path, sys.argv[2:4]), sys.argv[4]


class Slow(shared["ColourSource"]):
    def images(self):
        for number, image in enumerate(super().images()):
            if number == 3:
                (signals / f"{name} is half-way").touch()
                while not (signals / "go").exists():
                    time.sleep(0.01)
            yield image


(signals / f"{name} starts").touch()
source = lambda: Slow({"train": 24, "validation": 6, "test": 14})
print(prepare(DatasetSpec(name="colours", summary="-", card=card, source=source)).fingerprint)
"""


@pytest.fixture
def fresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home folder."""
    monkeypatch.setenv("MMEVAL_HOME", str(tmp_path / "fresh"))
    return tmp_path / "fresh"


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[[str], subprocess.Popen[str]]]:
    """Start processes that prepare the small data set and wait half-way for the file `go`."""
    running = []

    def launch(name: str) -> subprocess.Popen[str]:
        call = [sys.executable, "-c", PROCESS, str(CONFTEST), str(tmp_path / "colours.md"), str(tmp_path), name]
        running.append(process := subprocess.Popen(call, stdout=subprocess.PIPE, text=True))
        return process

    yield launch
    for process in running:
        process.kill()
        process.communicate()


def wait_for(path: Path) -> None:
    until = time.monotonic() + 60
    while not path.exists():
        assert time.monotonic() < until, f"{path.name}: never"
        time.sleep(0.01)


def changed(spec: DatasetSpec, **fields: Any) -> DatasetSpec:
    """Return the spec of a data set whose third example has other fields."""
    source = spec.source()

    class Changed(type(source)):
        def examples(self) -> Iterator[Example]:
            for number, example in enumerate(super().examples()):
                yield replace(example, **fields) if number == 2 else example

    def make() -> Source:
        return Changed(source.per_split)

    return spec.model_copy(update={"source": make})


def inside(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if path.suffix != ".lock"}


def test_a_prepared_store_is_not_prepared_again(fresh: Path, colours: Callable[..., DatasetSpec]) -> None:
    first = prepare(colours())
    times = {path: path.stat().st_mtime_ns for path in first.folder.iterdir()}
    assert prepare(colours()).folder == first.folder
    assert {path: path.stat().st_mtime_ns for path in first.folder.iterdir()} == times


@pytest.mark.parametrize(
    ("card", "message"),
    [
        ({"train": 71}, "examples in train: the card says 71, the data has 72"),
        (
            {"validation": 9, "images": 45},
            "examples in validation: the card says 9, the data has 18; images: the card says 45, the data has 44",
        ),
    ],
)
def test_a_mismatch_with_the_card_leaves_no_store(
    fresh: Path, colours: Callable[..., DatasetSpec], card: dict[str, int], message: str
) -> None:
    with pytest.raises(DataError) as caught:
        prepare(colours(**card))
    assert str(caught.value) == f"colours differs from its data card (colours.md): {message}."
    assert inside(fresh / "stores" / "colours") == {"pictures"}, "the images are kept"
    assert prepare(colours()).image_count == 44


def test_an_unknown_label_is_rejected_and_counted(fresh: Path, colours: Callable[..., DatasetSpec]) -> None:
    with pytest.raises(DataError) as caught:
        prepare(changed(colours(), labels={"colour": "mauve"}))
    (kept,) = (fresh / "stores" / "colours").glob("*.rejected.parquet")
    assert str(caught.value) == (
        "colours differs from its data card (colours.md): examples in train: the card says 72, the data has 71; rows "
        'rejected: the card allows 0, there are 1; rejected rows: train0/ja: "mauve" is not a class of colour '
        f"(all in {kept})."
    )
    rows = pq.read_table(kept).to_pylist()
    assert rows == [{"where": "train0/ja", "id": "train0/ja", "reason": '"mauve" is not a class of colour'}]


def test_the_same_data_has_the_same_fingerprint_everywhere(
    tmp_path: Path, colours: Callable[..., DatasetSpec], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Scores are comparable only on the same data."""
    stores = []
    for home in ("one", "other"):
        monkeypatch.setenv("MMEVAL_HOME", str(tmp_path / home))
        stores.append(prepare(colours()))
    assert stores[0].folder != stores[1].folder
    assert stores[0].fingerprint == stores[1].fingerprint
    assert len(stores[0].fingerprint) == 64


@pytest.mark.parametrize(
    "fields",
    [
        {"text": "red dark"},
        {"language": "en"},
        {"labels": {"colour": "blue", "shade": "dark"}},
        {"labels": {"colour": "red"}},
        {"image": "train1"},
        {"image": None},
        {"cluster": "train1"},
        {"slices": {"number": "odd"}},
    ],
)
def test_different_data_has_a_different_fingerprint(
    fresh: Path, store: Store, colours: Callable[..., DatasetSpec], fields: dict[str, Any]
) -> None:
    assert store.folder.is_relative_to(fresh)
    spec = changed(colours(), **fields)
    store.folder.rename(fresh / "elsewhere")
    assert prepare(spec).fingerprint != store.fingerprint


def test_a_different_image_gives_a_different_fingerprint(fresh: Path, colours: Callable[..., DatasetSpec]) -> None:
    spec = colours()
    source = spec.source()

    class Repainted(type(source)):
        def images(self) -> Iterator[tuple[str, bytes]]:
            encoded = dict(super().images())
            yield from (encoded | {"train0": encoded["train1"]}).items()

    plain = prepare(spec)
    (fresh / "stores").rename(fresh / "elsewhere")
    repainted = spec.model_copy(update={"source": lambda: Repainted(source.per_split)})
    assert prepare(repainted).fingerprint != plain.fingerprint


def test_a_different_identity_gives_a_different_store(fresh: Path, colours: Callable[..., DatasetSpec]) -> None:
    """A new version of a package must not use the Store of the old one."""
    spec = colours()
    source, other = spec.source(), spec.source()
    other.identity["colours"] = "2"
    assert store_folder(spec, source) != store_folder(spec, other)
    assert store_folder(spec, source) == store_folder(spec, spec.source())


def test_two_processes_build_one_store(
    fresh: Path, tmp_path: Path, colours: Callable[..., DatasetSpec], start: Callable[[str], subprocess.Popen[str]]
) -> None:
    """One builds, the other waits."""
    spec = colours()
    first = start("one")
    wait_for(tmp_path / "one is half-way")
    second = start("other")
    wait_for(tmp_path / "other starts")
    time.sleep(0.3)
    assert (first.poll(), second.poll()) == (None, None)
    (tmp_path / "go").touch()
    outputs = [process.communicate(timeout=60)[0] for process in (first, second)]
    assert (first.returncode, second.returncode) == (0, 0)
    assert not (tmp_path / "other is half-way").exists(), "both built"
    store = prepare(spec)
    assert outputs == [f"{store.fingerprint}\n"] * 2
    assert inside(fresh / "stores" / "colours") == {store.folder.name, "pictures"}


def test_a_killed_process_leaves_no_incomplete_store(
    fresh: Path, tmp_path: Path, colours: Callable[..., DatasetSpec], start: Callable[[str], subprocess.Popen[str]]
) -> None:
    """The next call removes its files and builds the Store."""
    spec = colours()
    process = start("one")
    wait_for(tmp_path / "one is half-way")
    process.send_signal(signal.SIGKILL)
    process.wait(60)
    folder = store_folder(spec, spec.source())
    assert not folder.exists()
    assert inside(folder.parent) != set(), "it was killed before it wrote anything"
    store = prepare(spec)
    assert store.folder == folder
    assert (folder / INFO).is_file()
    assert inside(folder.parent) == {folder.name, "pictures"}
    assert inside(folder.parent / "pictures") == {store.images_folder.name}
    assert store.image_count == len(store.images) == 44


IMAGE = simplejpeg.encode_jpeg(np.zeros((8, 8, 3), np.uint8))


class Odd:
    """A source of two images and two examples, which tests corrupt."""

    identity = {"odd": "1"}  # noqa: RUF012
    tasks = (Task("t", ("a", "b")),)
    size = 2

    def __init__(self, **corrupted: Any) -> None:
        self.corrupted = corrupted

    def images(self) -> Iterator[tuple[str, bytes]]:
        yield from self.corrupted.get("images", [("x", IMAGE), ("y", IMAGE)])

    def examples(self) -> Iterator[Example]:
        good = [Example(key, "text", "de", "train", {"t": "a"}, key, slices={"s": "1"}) for key in ("x", "y")]
        yield from self.corrupted.get("examples", lambda _: good)(good)


@pytest.mark.parametrize(
    ("corrupted", "message"),
    [
        ({"images": [("x", IMAGE), ("x", IMAGE), ("y", IMAGE)]}, 'odd: the image "x" occurs twice.'),
        (
            {"examples": lambda good: [replace(good[0], image="z")]},
            'Example x names the image "z", which the source does not have.',
        ),
        ({"examples": lambda good: []}, "The source has no examples."),
        (
            {"examples": lambda good: [good[0], replace(good[1], slices={})]},
            "Example y has the slices [], but others have ['s'].",
        ),
        (
            {"examples": lambda good: [replace(good[0], labels={"t": "c"})]},
            'All rows of the source were rejected, for example x: "c" is not a class of t.',
        ),
    ],
)
def test_an_inconsistent_source_is_refused(corrupted: dict[str, Any], message: str, fresh: Path) -> None:
    spec = DatasetSpec(name="odd", summary="odd", card=Path("no-card.md"), source=lambda: Odd(**corrupted))
    with pytest.raises(DataError) as caught:
        prepare(spec)
    assert str(caught.value) == message
    assert not store_folder(spec, Odd()).exists()


def test_partial_files_of_killed_processes_are_removed(fresh: Path, colours: Callable[..., DatasetSpec]) -> None:
    """Also those of another version of the data set."""
    folder = prepare(colours()).folder
    (left := folder.with_name(".0123456789abcdef.a1b2c3d4.partial")).mkdir()
    (left / "examples-00000.arrow").write_text("half")
    prepare(colours())
    assert left.exists(), "opening a Store removes nothing"
    shutil.rmtree(folder)
    prepare(colours())
    assert not left.exists()


def test_a_folder_that_is_no_store_is_refused_before_the_preparation(fresh: Path) -> None:
    spec = DatasetSpec(name="odd", summary="odd", card=Path("no-card.md"), source=Odd)
    folder = store_folder(spec, Odd())
    folder.mkdir(parents=True)
    (folder / "something").write_text("")
    with pytest.raises(DataError) as caught:
        prepare(spec)
    assert str(caught.value) == f"{folder} holds no prepared data set; remove the folder and run again."


@pytest.mark.parametrize("allowed", [0, 1])
def test_more_rejected_rows_than_the_card_allows_are_an_error(
    allowed: int, fresh: Path, colours: Callable[..., DatasetSpec]
) -> None:
    spec = changed(colours(train=71), labels={"colour": "mauve"})
    assert spec.card
    spec.card.write_text(spec.card.read_text().replace("  images:", f"  rejected: {allowed}\n  images:"))
    if allowed:
        assert prepare(spec).rejected_count == 1
    else:
        with pytest.raises(DataError, match="rows rejected: the card allows 0, there are 1"):
            prepare(spec)


def test_accepted_mismatches_are_recorded(
    fresh: Path, colours: Callable[..., DatasetSpec], capsys: pytest.CaptureFixture[str]
) -> None:
    """So that the scores are not taken for those of the release."""
    spec = changed(colours(train=71), labels={"colour": "mauve"})
    store = prepare(spec, released=False)
    difference = "rows rejected: the card allows 0, there are 1"
    assert (store.name, store.released, store.split_sizes["train"]) == ("colours-mismatched", False, 71)
    assert store.info["differences"] == [difference]
    assert f"Differs from the card: {difference}\n" in capsys.readouterr().err
    assert store.folder != store_folder(spec, spec.source())


def test_opening_a_checked_store_does_not_read_the_data(fresh: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """40 MB are on disk, and less than 1 MB is read."""
    io = Path("/proc/self/io")
    if not io.exists():
        pytest.skip("only Linux counts what a process reads")

    class Big(Odd):
        def examples(self) -> Iterator[Example]:
            for number in range(20_000):
                yield Example(str(number), "text " * 400, "de", "train", {"t": "a"}, "x", slices={"s": "1"})

    spec = DatasetSpec(name="big", summary="-", card=None, source=Big)
    folder = prepare(spec).folder

    def read() -> int:
        return int(io.read_text().split()[1])

    assert sum(path.stat().st_size for path in folder.iterdir()) > 40_000_000
    monkeypatch.setattr("mmeval.data.checksums.LARGE", 1)
    monkeypatch.setattr("mmeval.integrity.SETTLED_NS", -1)
    _ = Store(folder).examples, Store(folder).images
    monkeypatch.setattr("mmeval.integrity._digests", {})  # as another process begins
    before = read()
    store = Store(folder)
    assert (store.split_sizes, store.slices, store.image_count) == ({"train": 20_000}, ("s",), 2)
    assert store.examples["id"][19_999].as_py() == "19999"
    assert store.image(1) == IMAGE
    assert read() - before < 1_000_000


def test_a_store_of_an_older_version_is_prepared_again_with_a_note(
    colours: Callable[..., DatasetSpec], fresh: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    older = fresh / "stores" / "colours" / "0123456789abcdef"
    older.mkdir(parents=True)
    (older / INFO).write_text('{"schema": 2, "name": "colours"}')
    prepare(colours())
    message = (
        f"colours is prepared again: {older.name} in {older.parent} was written by an older version of mmeval and can "
        "be removed"
    )
    assert capsys.readouterr().err.splitlines().count(message) == 1

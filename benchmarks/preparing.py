"""`mmeval data prepare` at the full shape of GLAMI-1M, against a bare loop over the same images.

    python benchmarks/preparing.py [ROWS]

Writes an archive of ROWS rows (1,108,532) in the exact published format, prepares it, again with a kill half-way, and
prints: peak memory, images/s beside a bare loop that decodes, resizes and encodes with the same library on the same
cores, what was lost by the kill, how long the Store takes to open, and the time and memory of an audit of it. Then the
same ratio where images are as large as the real ones (an eighth of the rows), and where they must be made smaller.
Needs 15 GB of disk and a quarter of an hour.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import simplejpeg
import torch
import torch.nn.functional as F
from PIL import Image

ROOT = Path(__file__).parents[1]
MMEVAL = str(Path(sys.executable).parent / "mmeval")
ROWS, CORES, SAMPLE, LARGE, DIFFERENT = 1_108_532, 2, 20_000, 15_000, 200
SIDE = 256


def main() -> None:
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:CORES])
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else ROWS
    with home(rows) as (folder, archive):
        seconds = whole_way(archive)
        (folder / "home").rename(folder / "first")
        interrupted(archive, folder, seconds)
        opening()
        seconds, peak, _ = timed([MMEVAL, "data", "audit", "glami1m", "--output", str(folder / "audit")])
        print(f"audited in {seconds:.0f} s, peak memory {peak / 2**30:.2f} GiB, of which the mapped Store is a part")
    with home(rows // 8, grain=6) as (_, archive):
        whole_way(archive)
    larger_images()


@contextlib.contextmanager
def home(rows: int, grain: int = 0) -> Iterator[tuple[Path, Path]]:
    """A folder that is removed afterwards, and an archive in it."""
    sys.path.insert(0, str(ROOT))
    from tests.archives import glami

    with tempfile.TemporaryDirectory(dir=os.environ.get("BENCHMARK_FOLDER")) as name:
        os.environ["MMEVAL_HOME"] = f"{name}/home"
        archive = glami.write(Path(name), rows=rows, number_of_classes=191, traps=False, grain=grain)
        yield Path(name), archive


def command(archive: Path) -> list[str]:
    return [MMEVAL, "data", "prepare", "glami1m", "--source", str(archive), "--allow-mismatch"]


def whole_way(archive: Path) -> float:
    """Prepare in one go, beside a bare loop over a sample of the same images; returns seconds."""
    with zipfile.ZipFile(archive) as found:
        names = [name for name in found.namelist() if name.endswith(".jpg")]
        sample = [found.read(name) for name in names[:: max(1, len(names) // SAMPLE)][:SAMPLE]]
    size = sum(map(len, sample)) / len(sample) / 1000
    seconds, peak, _ = timed(command(archive))
    print(f"{len(names):,} images of {size:.1f} kB: {seconds:.0f} s, peak memory {peak / 2**30:.2f} GiB")
    rate, bare = len(names) / seconds, bare_rate(sample)
    print(f"{rate:,.0f} images/s, start and all work on the rows included; bare loop {bare:,.0f}: {rate / bare:.2f}")
    return seconds


def interrupted(archive: Path, folder: Path, seconds: float) -> None:
    """Prepare again with a kill half-way; what comes out must be the same."""
    timed(command(archive), kill_after=seconds / 2)
    again, _, said = timed(command(archive))
    print(f"killed after {seconds / 2:.0f} s, the next call took {again:.0f} s: {seconds / 2 + again - seconds:+.0f} s")
    assert "ready" in said
    infos = [json.loads(path.read_text()) for path in folder.glob("*/stores/glami1m/*/store.json")]
    assert len(infos) == 2
    assert len({info["fingerprint"] for info in infos}) == 1


def timed(call: list[str], kill_after: float | None = None) -> tuple[float, int, str]:
    """Seconds, peak resident bytes and standard output of a command."""
    start = time.perf_counter()
    process = subprocess.Popen(call, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    if kill_after:
        time.sleep(kill_after)
        process.send_signal(signal.SIGKILL)
    said = process.stdout.read() if process.stdout else ""
    _, _, used = os.wait4(process.pid, 0)
    return time.perf_counter() - start, used.ru_maxrss * 1024, said


def bare_rate(images: Sequence[bytes]) -> float:
    """Images/s of two threads that decode, resize (where need be) and encode what is in memory already."""

    def work(part: Sequence[bytes]) -> None:
        for data in part:
            pixels = simplejpeg.decode_jpeg(data, colorspace="RGB")
            scale = SIDE / min(pixels.shape[:2])
            if scale < 1:
                size = [round(one * scale) for one in pixels.shape[:2]]
                tensor = torch.from_numpy(pixels)[None].permute(0, 3, 1, 2)
                pixels = F.interpolate(tensor, size, mode="bilinear", antialias=True)[0].permute(1, 2, 0).numpy()
            simplejpeg.encode_jpeg(np.ascontiguousarray(pixels), quality=95, colorsubsampling="420")

    start = time.perf_counter()
    with ThreadPoolExecutor(CORES) as pool:
        list(pool.map(work, [images[core::CORES] for core in range(CORES)]))
    return len(images) / (time.perf_counter() - start)


def opening() -> None:
    """Seconds until a Store can be read, in a process of its own that has imported all."""
    code = """
import sys, time
from pathlib import Path
from mmeval.data.store import Store
import mmeval.data.examples
start = time.perf_counter()
store = Store(Path(sys.argv[1]))
len(store.examples), len(store.images), store.image(store.image_count - 1)
print(f"{time.perf_counter() - start:.3f}")
"""
    (folder,) = {one.parent for one in Path(os.environ["MMEVAL_HOME"]).glob("stores/glami1m/*/store.json")}
    call = [sys.executable, "-c", code, str(folder)]
    said = subprocess.run(call, check=True, capture_output=True, text=True).stdout.strip()
    print(f"opening the Store: {said} s")


def larger_images() -> None:
    """The same ratio where images must be made smaller: 600 x 800 pixels, in a table of one's own."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["MMEVAL_HOME"] = str(folder / "home")
        (folder / "photos").mkdir()
        rng = np.random.default_rng(0)
        made = []
        for _ in range(DIFFERENT):
            coarse = Image.fromarray(rng.integers(0, 256, (16, 12, 3)).astype(np.uint8))
            file = io.BytesIO()
            coarse.resize((600, 800), Image.Resampling.BICUBIC).save(file, "JPEG", quality=88)
            made.append(file.getvalue())
        lines = ["image,text,label"]
        for number in range(LARGE):
            # Bytes behind the end make a file of its own of the same image.
            (folder / "photos" / f"{number}.jpg").write_bytes(made[number % DIFFERENT] + str(number).encode())
            lines.append(f"photos/{number}.jpg,a{number},{number % 3}")
        (folder / "shop.csv").write_text("\n".join(lines))
        bare = bare_rate([made[number % DIFFERENT] for number in range(LARGE)])
        seconds, _, _ = timed([MMEVAL, "data", "prepare", f"table:{folder / 'shop.csv'}"])
        rate = LARGE / seconds
        print(f"a table of {LARGE:,} photos, 600 x 800 px: {rate:,.0f}/s, bare loop {bare:,.0f}: {rate / bare:.2f}")


if __name__ == "__main__":
    main()

"""Measure `mmeval data prepare` at the full size of GLAMI-1M, against a bare loop over the same images.

    python benchmarks/preparing.py [ROWS]

The script writes an archive of ROWS rows (1,108,532) in the exact published format and prepares it, once in one go and
once with a kill half-way. It prints the peak memory, images/s relative to a bare loop that decodes, resizes and encodes
with the same library on the same cores, the time lost by the kill, the time to open the Store, and the time and memory
of an audit. It then measures the same ratio for images as large as the real ones (an eighth of the rows), and for
images that must be reduced. It needs 15 GB of disk and a quarter of an hour.
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
    """Run all measurements and print them."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:CORES])
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else ROWS
    with home(rows) as (folder, archive):
        seconds = uninterrupted(archive)
        (folder / "home").rename(folder / "first")
        interrupted(archive, folder, seconds)
        opening()
        seconds, peak, _ = timed([MMEVAL, "data", "audit", "glami1m", "--output", str(folder / "audit")])
        print(f"audited in {seconds:.0f} s, peak memory {peak / 2**30:.2f} GiB including the mapped Store")
    with home(rows // 8, grain=6) as (_, archive):
        uninterrupted(archive)
    larger_images()


@contextlib.contextmanager
def home(rows: int, grain: int = 0) -> Iterator[tuple[Path, Path]]:
    """Yield a temporary folder with an archive in it; the folder is also ``MMEVAL_HOME``'s parent."""
    sys.path.insert(0, str(ROOT))
    from tests.archives import glami

    with tempfile.TemporaryDirectory(dir=os.environ.get("BENCHMARK_FOLDER")) as name:
        os.environ["MMEVAL_HOME"] = f"{name}/home"
        archive = glami.write(Path(name), rows=rows, number_of_classes=191, traps=False, grain=grain)
        yield Path(name), archive


def command(archive: Path) -> list[str]:
    """Return the command that prepares ``archive``."""
    return [MMEVAL, "data", "prepare", "glami1m", "--source", str(archive), "--allow-mismatch"]


def uninterrupted(archive: Path) -> float:
    """Prepare in one go, run the bare loop over a sample of the images, and print the ratio; return seconds."""
    with zipfile.ZipFile(archive) as opened:
        names = [name for name in opened.namelist() if name.endswith(".jpg")]
        sample = [opened.read(name) for name in names[:: max(1, len(names) // SAMPLE)][:SAMPLE]]
    size = sum(map(len, sample)) / len(sample) / 1000
    seconds, peak, _ = timed(command(archive))
    print(f"{len(names):,} images of {size:.1f} kB: {seconds:.0f} s, peak memory {peak / 2**30:.2f} GiB")
    rate, bare = len(names) / seconds, bare_rate(sample)
    print(
        f"{rate:,.0f} images/s, including start-up and all work on the rows; bare loop {bare:,.0f}: {rate / bare:.2f}"
    )
    return seconds


def interrupted(archive: Path, folder: Path, seconds: float) -> None:
    """Prepare with a kill half-way, repeat, print the time lost, and check that the fingerprint is the same."""
    timed(command(archive), kill_after=seconds / 2)
    again, _, output = timed(command(archive))
    print(f"killed after {seconds / 2:.0f} s, the next call took {again:.0f} s: {seconds / 2 + again - seconds:+.0f} s")
    assert "ready" in output
    infos = [json.loads(path.read_text()) for path in folder.glob("*/stores/glami1m/*/store.json")]
    assert len(infos) == 2
    assert len({info["fingerprint"] for info in infos}) == 1


def timed(call: list[str], kill_after: float | None = None) -> tuple[float, int, str]:
    """Run a command, and kill it after ``kill_after`` seconds; return seconds, peak resident bytes and its output."""
    start = time.perf_counter()
    process = subprocess.Popen(call, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    if kill_after:
        time.sleep(kill_after)
        process.send_signal(signal.SIGKILL)
    output = process.stdout.read() if process.stdout else ""
    _, _, usage = os.wait4(process.pid, 0)
    return time.perf_counter() - start, usage.ru_maxrss * 1024, output


def bare_rate(images: Sequence[bytes]) -> float:
    """Return images/s of two threads that decode, resize (if necessary) and encode images in memory."""

    def work(part: Sequence[bytes]) -> None:
        for data in part:
            pixels = simplejpeg.decode_jpeg(data, colorspace="RGB")
            scale = SIDE / min(pixels.shape[:2])
            if scale < 1:
                size = [round(length * scale) for length in pixels.shape[:2]]
                tensor = torch.from_numpy(pixels)[None].permute(0, 3, 1, 2)
                pixels = F.interpolate(tensor, size, mode="bilinear", antialias=True)[0].permute(1, 2, 0).numpy()
            simplejpeg.encode_jpeg(np.ascontiguousarray(pixels), quality=95, colorsubsampling="420")

    start = time.perf_counter()
    with ThreadPoolExecutor(CORES) as pool:
        list(pool.map(work, [images[core::CORES] for core in range(CORES)]))
    return len(images) / (time.perf_counter() - start)


def opening() -> None:
    """Print the seconds to open a Store and read one image, in a new process after its imports."""
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
    (folder,) = {file.parent for file in Path(os.environ["MMEVAL_HOME"]).glob("stores/glami1m/*/store.json")}
    call = [sys.executable, "-c", code, str(folder)]
    seconds = subprocess.run(call, check=True, capture_output=True, text=True).stdout.strip()
    print(f"opening the Store: {seconds} s")


def larger_images() -> None:
    """Print the ratio for images that must be reduced: a table with images of 600 x 800 pixels."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["MMEVAL_HOME"] = str(folder / "home")
        (folder / "photos").mkdir()
        rng = np.random.default_rng(0)
        photos = []
        for _ in range(DIFFERENT):
            coarse = Image.fromarray(rng.integers(0, 256, (16, 12, 3)).astype(np.uint8))
            file = io.BytesIO()
            coarse.resize((600, 800), Image.Resampling.BICUBIC).save(file, "JPEG", quality=88)
            photos.append(file.getvalue())
        lines = ["image,text,label"]
        for number in range(LARGE):
            # Bytes after the end of a JPEG make a different file with the same image.
            (folder / "photos" / f"{number}.jpg").write_bytes(photos[number % DIFFERENT] + str(number).encode())
            lines.append(f"photos/{number}.jpg,a{number},{number % 3}")
        (folder / "shop.csv").write_text("\n".join(lines))
        bare = bare_rate([photos[number % DIFFERENT] for number in range(LARGE)])
        seconds, _, _ = timed([MMEVAL, "data", "prepare", f"table:{folder / 'shop.csv'}"])
        rate = LARGE / seconds
        print(f"a table of {LARGE:,} photos, 600 x 800 px: {rate:,.0f}/s, bare loop {bare:,.0f}: {rate / bare:.2f}")


if __name__ == "__main__":
    main()

"""`mmeval data prepare` at the full shape of GLAMI-1M, against a bare loop over the same pictures.

    python benchmarks/preparing.py [ROWS]

Writes an archive of ROWS rows (1,108,532) in the exact published format, kills its preparation half-way, goes on with
it, and prints: peak memory, what was lost by the kill, pictures/s beside a bare loop that decodes, resizes and encodes
with the same library on the same cores, how long the Store takes to open, and the time and memory of an audit of it.
Needs 25 GB of disk and half an hour.
"""

from __future__ import annotations

import io
import itertools
import os
import signal
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import simplejpeg
import torch
import torch.nn.functional as F
from PIL import Image

ROOT = Path(__file__).parents[1]
MMEVAL = str(Path(sys.executable).parent / "mmeval")
ROWS, CORES, SAMPLE, LARGE = 1_108_532, 2, 20_000, 6_000
SIDE = 256
TASK = 32


def main() -> None:
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:CORES])
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else ROWS
    with tempfile.TemporaryDirectory(dir=os.environ.get("BENCHMARK_FOLDER")) as name:
        home = Path(name)
        os.environ["MMEVAL_HOME"] = str(home / "home")
        archive, pictures = written(home, rows)
        print(f"{rows:,} rows, {pictures:,} pictures, {archive.stat().st_size / 1e9:.1f} GB")
        whole_way(archive, home, pictures)
        opening()
        seconds, peak, _ = timed([MMEVAL, "data", "audit", "glami1m", "--output", str(home / "audit")])
        print(f"audited in {seconds:.0f} s, peak memory {peak / 2**30:.2f} GiB, of which the mapped Store is a part")
    larger_pictures()


def written(folder: Path, rows: int) -> tuple[Path, int]:
    """The archive, and how many pictures it holds."""
    sys.path.insert(0, str(ROOT))
    from tests.archives import glami

    archive = glami.write(folder, rows=rows, number_of_classes=191, traps=False)
    with zipfile.ZipFile(archive) as found:
        return archive, sum(name.endswith(".jpg") for name in found.namelist())


def whole_way(archive: Path, home: Path, pictures: int) -> None:
    """Prepare once in one go, and once with a kill half-way."""
    command = [MMEVAL, "data", "prepare", "glami1m", "--source", str(archive), "--not-the-release"]
    seconds, peak, _ = timed(command)
    print(f"prepared in {seconds:.0f} s, peak memory {peak / 2**30:.2f} GiB")
    rate = pictures / seconds
    bare = bare_rate(lambda: zip_members(archive))
    print(f"{rate:,.0f} pictures/s, all work on the rows included; bare loop {bare:,.0f}: ratio {rate / bare:.2f}")
    (home / "home").rename(home / "first")
    timed(command, kill_after=seconds / 2)
    again, _, said = timed(command)
    print(f"killed after {seconds / 2:.0f} s, the next call took {again:.0f} s: {seconds / 2 + again - seconds:+.0f} s")
    assert "ready" in said
    prints = {path.read_text().split('"fingerprint": "')[1][:64] for path in home.glob("*/stores/glami1m/*/store.json")}
    print("fingerprints of both:", *sorted(prints))


def timed(command: list[str], kill_after: float | None = None) -> tuple[float, int, str]:
    """Seconds, peak resident bytes and standard output of a command."""
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    if kill_after:
        time.sleep(kill_after)
        process.send_signal(signal.SIGKILL)
    said = process.stdout.read() if process.stdout else ""
    _, _, used = os.wait4(process.pid, 0)
    return time.perf_counter() - start, used.ru_maxrss * 1024, said


def zip_members(archive: Path) -> Iterator[bytes]:
    with zipfile.ZipFile(archive) as found:
        names = [name for name in found.namelist() if name.endswith(".jpg")]
        for name in names[:: max(1, len(names) // SAMPLE)][:SAMPLE]:
            yield found.read(name)


def bare_rate(read: Callable[[], Iterator[bytes]]) -> float:
    """Pictures/s of two threads that decode, resize (where need be) and encode what one generator reads."""

    def work(part: list[bytes]) -> int:
        for data in part:
            pixels = simplejpeg.decode_jpeg(data, colorspace="RGB")
            scale = SIDE / min(pixels.shape[:2])
            if scale < 1:
                size = [round(one * scale) for one in pixels.shape[:2]]
                tensor = torch.from_numpy(pixels).permute(2, 0, 1)[None]
                pixels = F.interpolate(tensor, size, mode="bilinear", antialias=True)[0].permute(1, 2, 0).numpy()
            simplejpeg.encode_jpeg(np.ascontiguousarray(pixels), quality=95, colorsubsampling="420")
        return len(part)

    start, source = time.perf_counter(), read()
    parts = iter(lambda: list(itertools.islice(source, TASK)), [])
    with ThreadPoolExecutor(CORES) as pool:
        count = 0
        # A few parts ahead, so that reading and work go on together.
        waiting = [pool.submit(work, part) for part in itertools.islice(parts, 2 * CORES)]
        while waiting:
            count += waiting.pop(0).result()
            waiting += [pool.submit(work, part) for part in itertools.islice(parts, 1)]
    return count / (time.perf_counter() - start)


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


def larger_pictures() -> None:
    """The same ratio where pictures must be made smaller: 600 x 800 pixels, in a table of one's own."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["MMEVAL_HOME"] = str(folder / "home")
        (folder / "photos").mkdir()
        rng = np.random.default_rng(0)
        lines = ["image,text,label"]
        for number in range(LARGE):
            coarse = Image.fromarray(rng.integers(0, 256, (16, 12, 3)).astype(np.uint8))
            file = io.BytesIO()
            coarse.resize((600, 800), Image.Resampling.BICUBIC).save(file, "JPEG", quality=88)
            (folder / "photos" / f"{number}.jpg").write_bytes(file.getvalue())
            lines.append(f"photos/{number}.jpg,a,{number % 3}")
        (folder / "shop.csv").write_text("\n".join(lines))
        files = sorted((folder / "photos").iterdir())
        bare = bare_rate(lambda: (path.read_bytes() for path in files))
        seconds, _, _ = timed([MMEVAL, "data", "prepare", f"table:{folder / 'shop.csv'}"])
        rate = LARGE / seconds
        print(f"600 x 800 px: {rate:,.0f} pictures/s with start-up, bare loop {bare:,.0f}: ratio {rate / bare:.2f}")


if __name__ == "__main__":
    main()

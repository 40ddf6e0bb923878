"""Measure the reading of image batches (decode, resize to 224, collate) against a bare loop and the usual recipe.

    python benchmarks/reading.py
    python benchmarks/reading.py --buffers    # compares reading with and without ``mmeval.data.buffers``

All three use the same images and the same two cores, in turn, for several rounds.
"""

from __future__ import annotations

import io
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import simplejpeg
import torch
from PIL import Image

from mmeval import DatasetSpec, Example, Examples, Task
from mmeval.console import quiet
from mmeval.data import images
from mmeval.data.images import decode_batch
from mmeval.data.loader import batches
from mmeval.data.prepare.prepare import prepare

IMAGES, SIDE, BATCH, ROUNDS, CORES = 4096, 224, 64, 7, 2
BUFFER_ROUNDS, BUFFER_BATCHES = 15, (64, 256)
"""Rounds and batch sizes of ``--buffers``, whose two sides differ by a few per cent."""


class Images:
    """A source of photo-like JPEGs of 256 x 341 pixels, about 20 kB each, which a Store keeps unchanged."""

    identity = {"benchmark": "reading-1"}  # noqa: RUF012
    tasks = (Task("t", ("a", "b")),)
    size = IMAGES

    def images(self) -> Iterator[tuple[str, bytes]]:
        rng = np.random.default_rng(0)
        for number in range(IMAGES):
            coarse = Image.fromarray(rng.integers(0, 256, (16, 12, 3)).astype(np.uint8))
            pixels = np.asarray(coarse.resize((256, 341), Image.Resampling.BICUBIC)) + rng.normal(0, 10, (341, 256, 3))
            file = io.BytesIO()
            Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(file, "JPEG", quality=80)
            yield str(number), file.getvalue()

    def examples(self) -> Iterator[Example]:
        for number in range(IMAGES):
            yield Example(str(number), "", "de", "train", {"t": "a"}, str(number))


def ours(examples: Examples, size: int = BATCH) -> int:
    """Read all images in batches from the Store, as the engine does; return their number."""

    def make(rows: np.ndarray[Any, Any]) -> torch.Tensor:
        return decode_batch(examples.encoded_images(examples.image_rows[rows]), (SIDE, SIDE))

    return sum(len(batch) for batch in batches(np.arange(len(examples)), size, make, workers=CORES))


def bare(files: list[Path]) -> int:
    """Read, decode (simplejpeg) and resize (v2) all files in two threads, without collating; return their number."""
    from torchvision.transforms import v2

    resize = v2.Resize((SIDE, SIDE), antialias=True)

    def work(part: list[Path]) -> int:
        for path in part:
            pixels = simplejpeg.decode_jpeg(path.read_bytes(), colorspace="RGB")
            resize(torch.from_numpy(pixels).permute(2, 0, 1))
        return len(part)

    with ThreadPoolExecutor(CORES) as pool:
        return sum(pool.map(work, [files[core::CORES] for core in range(CORES)]))


def usual_loader(files: list[Path]) -> torch.utils.data.DataLoader[torch.Tensor]:
    """Return the usual recipe: `datasets` with its Image feature, torchvision's Pillow transforms, two workers."""
    import datasets
    from torchvision import transforms

    transform = transforms.Compose([transforms.Resize((SIDE, SIDE)), transforms.ToTensor()])
    table = datasets.Dataset.from_dict({"image": [str(path) for path in files]}).cast_column("image", datasets.Image())
    table = table.with_transform(lambda rows: {"image": [transform(image.convert("RGB")) for image in rows["image"]]})

    def collate(rows: list[dict[str, torch.Tensor]]) -> torch.Tensor:
        return torch.stack([row["image"] for row in rows])

    return torch.utils.data.DataLoader(table, BATCH, num_workers=CORES, collate_fn=collate, persistent_workers=True)


class NewMemory:
    """A replacement for ``Buffers`` that allocates new memory for every batch."""

    def take(self, *shape: int) -> torch.Tensor:
        return torch.empty(shape, dtype=torch.uint8)


def compare_buffers(examples: Examples) -> None:
    """Print the time that reusing memory saves: wall time, and CPU time, which other processes disturb less."""
    memories: dict[str, Any] = {"buffers": images._BUFFERS, "new memory": NewMemory()}
    for size in BUFFER_BATCHES:
        wall: dict[str, list[float]] = {name: [] for name in memories}
        cpu: dict[str, list[float]] = {name: [] for name in memories}
        for round_ in range(BUFFER_ROUNDS + 1):
            for name in sorted(memories, reverse=round_ % 2 == 1):
                images._BUFFERS = memories[name]
                started, used = time.perf_counter(), time.process_time()
                assert ours(examples, size) == IMAGES
                if round_:  # the first round warms up
                    wall[name].append(time.perf_counter() - started)
                    cpu[name].append(time.process_time() - used)
        for kind, seconds in (("wall time", wall), ("CPU time", cpu)):
            median = {name: statistics.median(values) for name, values in seconds.items()}
            ratio = median["new memory"] / median["buffers"]
            print(f"batches of {size:>3}, {kind}, new memory / buffers  {ratio:.3f}", flush=True)


def main() -> None:
    """Measure all three ways and print images/s and ratios."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:CORES])
    with tempfile.TemporaryDirectory() as name:
        os.environ["MMEVAL_HOME"] = name
        with quiet():
            store = prepare(DatasetSpec(name="reading", summary="-", card=None, source=Images))
        examples = Examples(store, "train")
        if "--buffers" in sys.argv[1:]:
            compare_buffers(examples)
            return
        files = []
        for row in range(IMAGES):
            files.append(Path(name) / f"{row}.jpg")
            files[-1].write_bytes(store.image(row))
        loader = usual_loader(files)
        ways: dict[str, Callable[[], int]] = {
            "bare loop": lambda: bare(files),
            "ours": lambda: ours(examples),
            "usual recipe": lambda: sum(len(batch) for batch in loader),
        }
        rates: dict[str, list[float]] = {way: [] for way in ways}
        for round_ in range(ROUNDS + 1):
            for way, run in ways.items():
                start = time.perf_counter()
                assert run() == IMAGES
                # The first round warms up: pages, worker processes.
                rates[way] += [IMAGES / (time.perf_counter() - start)] if round_ else []
        median = {way: statistics.median(values) for way, values in rates.items()}
        for way, rate in median.items():
            print(f"{way:<14}{rate:>8,.0f} images/s   ({min(rates[way]):,.0f} to {max(rates[way]):,.0f})")
        print(f"ours / bare loop     {median['ours'] / median['bare loop']:.2f}")
        print(f"ours / usual recipe  {median['ours'] / median['usual recipe']:.2f}")


if __name__ == "__main__":
    main()

"""Measure `mmeval predict` against the bare loop of the same model, its memory, and `predict_one` against the forward.

    python benchmarks/predicting.py                # about ten minutes on two cores
    python benchmarks/predicting.py --quick        # about a minute: fewer rows and repetitions

Goals: `predict` at least 0.9 of the rows per second of the bare loop; the same peak memory for 10,000 and for 1,000,000
rows; `predict_one` in a warm process under 3 times the bare forward.

The bare loop reads the same Parquet file, decodes and resizes the images, tokenizes the texts, runs the model on
batches of the same size, and keeps the probabilities: plain pyarrow, simplejpeg and torch, without checks, calibration,
output file or threads of its own. All figures are ratios of series in one process, the median of several.
"""

from __future__ import annotations

import argparse
import io
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import simplejpeg
import torch
import torch.nn.functional as F
from PIL import Image

import mmeval
from benchmarks.small_table import CLASSES, LANGUAGES, write_table
from mmeval.data.batch import Batch
from mmeval.engine.runner import TorchRunner
from mmeval.inference.predict import predict_file
from mmeval.nn import TorchModel

FEW, MANY = 10_000, 1_000_000
BATCH = 64


def train(folder: Path, *, small: bool) -> Path:
    """Train the preset tiny of EmbraceNet for an epoch, or a model that is ten times smaller; return the run folder."""
    table = write_table(folder / "shop")
    changes: dict[str, Any] = {"recipe.epochs": 1, "recipe.batch_size": 64}
    if small:
        changes |= {
            "image_encoder": "small-cnn:32",
            "image_tuning.frozen": False,
            "text_encoder": "char-ngrams:8192x16",
        }
    output = folder / ("small" if small else "run")
    return mmeval.run(dataset=f"table:{table}", set=changes, output=output, device="cpu").path


def write_products(path: Path, rows: int, *, images: bool) -> Path:
    """Write a Parquet file of products, each with a JPEG of 256 x 256 pixels of its own unless ``images`` is false."""
    rng = np.random.default_rng(1)
    vocabulary = [f"word{number}" for number in range(5000)]
    names = [word for words in LANGUAGES.values() for word in words]
    schema = pa.schema({"id": pa.string(), "text": pa.string(), "language": pa.string(), "image": pa.binary()})
    with pq.ParquetWriter(str(path), schema) as writer:
        for start in range(0, rows, 5000):
            count = min(5000, rows - start)
            words = rng.integers(len(vocabulary), size=(count, 3))
            texts = [
                f"{names[(start + n) % len(names)]} " + " ".join(vocabulary[word] for word in words[n])
                for n in range(count)
            ]
            columns = {
                "id": [f"p{start + n}" for n in range(count)],
                "text": texts,
                "language": [tuple(LANGUAGES)[(start + n) % 3] for n in range(count)],
                "image": [_jpeg(rng) if images else None for _ in range(count)],
            }
            writer.write_table(pa.table(columns, schema=schema))
    return path


def _jpeg(rng: np.random.Generator) -> bytes:
    coarse = Image.fromarray(rng.integers(0, 255, (16, 16, 3), np.uint8))
    file = io.BytesIO()
    coarse.resize((256, 256), Image.Resampling.BICUBIC).save(file, "JPEG", quality=85)
    return file.getvalue()


def torch_model(classifier: mmeval.Classifier) -> TorchModel:
    """Return the torch model of a classifier."""
    runner = classifier.members[0].model
    assert isinstance(runner, TorchRunner)
    return runner.model


def bare_loop(model: TorchModel, path: Path) -> int:
    """Read, decode, collate and predict in a plain loop; return the number of rows."""
    done = 0
    for records in pq.ParquetFile(path).iter_batches(BATCH):
        batch = bare_batch(model, records.to_pylist())
        with torch.inference_mode():
            logits = model(batch).logits
        done += len([values.softmax(-1).numpy() for values in logits.values()].pop())
    return done


def bare_batch(model: TorchModel, rows: list[dict[str, Any]]) -> Batch:
    """Return the batch of rows, as few lines of code as possible; frozen encoders run within the model."""
    texts = [row["text"] for row in rows]
    assert model.image_encoder
    assert model.text_encoder
    ids, mask = model.text_encoder.tokenize(texts)
    size = (model.image_encoder.input.height, model.image_encoder.input.width)
    images = torch.zeros(len(rows), 3, *size, dtype=torch.uint8)
    for place, row in enumerate(rows):
        if row["image"] is not None:
            pixels = torch.from_numpy(simplejpeg.decode_jpeg(row["image"], colorspace="RGB"))
            images[place] = F.interpolate(pixels[None].permute(0, 3, 1, 2), size, mode="bilinear", antialias=True)[0]
    return Batch(
        has_image=torch.tensor([row["image"] is not None for row in rows]),
        has_text=torch.ones(len(rows), dtype=torch.bool),
        languages=tuple(row["language"] for row in rows),
        labels={},
        seeds=torch.zeros(len(rows), dtype=torch.int64),
        images=images,
        text_ids=ids,
        text_mask=mask,
    )


def throughput(run: Path, table: Path, series: int) -> list[tuple[float, float]]:
    """Return for each series the rows per second of `predict` as a multiple of those of the bare loop.

    Both by wall time and by the processor time of all threads, which a busy machine disturbs less.
    """
    classifier = mmeval.load(run, device="cpu")
    model = torch_model(classifier)
    output = table.with_suffix(".out.parquet")
    ratios = []
    bare_loop(model, table)
    for _ in range(series):
        clocks = [(time.perf_counter(), time.process_time())]
        bare_loop(model, table)
        clocks.append((time.perf_counter(), time.process_time()))
        predict_file(classifier, table, output)
        clocks.append((time.perf_counter(), time.process_time()))
        (wall, cpu), (own_wall, own_cpu) = (
            (after[0] - before[0], after[1] - before[1]) for before, after in itertools.pairwise(clocks)
        )
        ratios.append((wall / own_wall, cpu / own_cpu))
    return ratios


def single(run: Path, row: dict[str, Any], repeats: int) -> float:
    """Return the duration of `predict_one` as a multiple of the forward pass on a batch that is ready."""
    classifier = mmeval.load(run, device="cpu")
    model = torch_model(classifier)
    batch = bare_batch(model, [row])
    bare, whole = [], []
    for _ in range(repeats):
        started = time.perf_counter()
        with torch.inference_mode():
            model(batch)
        bare.append(time.perf_counter() - started)
        started = time.perf_counter()
        classifier.predict_one(image=row["image"], text=row["text"], language=row["language"])
        whole.append(time.perf_counter() - started)
    return statistics.median(whole) / statistics.median(bare)


CHILD = """
import sys
from pathlib import Path
import mmeval
from mmeval.inference.predict import predict_file
from mmeval.runs.environment import peak_memory_bytes
predict_file(mmeval.load(sys.argv[1], device="cpu"), Path(sys.argv[2]), Path(sys.argv[3]))
print(peak_memory_bytes())
"""


def peak(run: Path, table: Path) -> int:
    """Return the peak resident memory in bytes of a process that predicts a table."""
    words = [sys.executable, "-c", CHILD, str(run), str(table), str(table.with_suffix(".csv"))]
    # The kernel's figure for a child would include the memory of this process before it starts the other program.
    return int(subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True).stdout)


def main() -> None:
    """Measure, and print the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer rows and repetitions")
    parser.add_argument("--only", choices=["throughput", "memory", "single"], help="measure one figure")
    options = parser.parse_args()
    images, series, repeats = (256, 3, 20) if options.quick else (2048, 5, 100)
    many = 50_000 if options.quick else MANY
    figures: dict[str, Any] = {"threads": torch.get_num_threads(), "classes": len(CLASSES)}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ.setdefault("MMEVAL_HOME", str(folder / "home"))
        run, small = train(folder, small=False), train(folder, small=True)
        if options.only in (None, "throughput"):
            ratios = throughput(run, write_products(folder / "images.parquet", images, images=True), series)
            for number, clock in enumerate(("wall time", "processor time")):
                own = [ratio[number] for ratio in ratios]
                figures[f"predict / bare loop, {clock}"] = {"median": statistics.median(own), "series": own}
        if options.only in (None, "single"):
            row = pq.read_table(write_products(folder / "one.parquet", 1, images=True)).to_pylist()[0]
            figures["predict_one / forward"] = single(run, row, repeats)
            figures["predict_one / forward, small model"] = single(small, row, repeats)
        if options.only in (None, "memory"):
            peaks = {
                rows: peak(small, write_products(folder / f"{rows}.parquet", rows, images=False))
                for rows in (FEW, many)
            }
            figures["peak memory, MiB"] = {f"{rows:,} rows": round(own / 2**20) for rows, own in peaks.items()}
            figures["peak memory, ratio"] = peaks[many] / peaks[FEW]
    print(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()

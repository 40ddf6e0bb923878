"""Measure the report of a run at the size of GLAMI-1M's test split: time to make, size, and time to open in Chromium.

    python -m benchmarks.pages                  # 116,004 rows, 191 classes, 13 languages, 166 examples with images
    python -m benchmarks.pages --output report.html

Predictions are those of ``benchmarks/scoring.py``; the images of the gallery are noise, which compresses worst. The
time to make covers reading the predictions, the analysis and the page, not the scores. The page is opened three times
in a new window; the time ends when it is laid out.
"""

from __future__ import annotations

import argparse
import io
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmarks.scoring import LANGUAGES, SLICES, write
from mmeval.metrics.predictions import read_predictions
from mmeval.metrics.scores import RunColumns, score
from mmeval.protocol import Protocol
from mmeval.record import Plan, PluginRecord, Record
from mmeval.report.analysis import analyse
from mmeval.report.content import Content
from mmeval.report.html import html
from mmeval.runs.gallery import IMAGE_BYTES, MISTAKES, thumbnail

CHROMIUM = ("chromium", "chromium-browser", "google-chrome")


def main() -> None:
    """Write predictions, make the report, open it, and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=116_004)
    parser.add_argument("--classes", type=int, default=191)
    parser.add_argument("--output", type=Path, help="keep the page here")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        predictions = Path(folder) / "seed-0.parquet"
        write(predictions, arguments.rows, arguments.classes, SLICES)
        run = RunColumns(run="benchmark", model="random", dataset="random", split="test", inputs="image+text")
        scores = score(run, {0: read_predictions(predictions)}, resamples=50)
        rows = gallery(arguments.classes)
        start = time.perf_counter()
        page = html(Content(record(), scores, rows), analyse([read_predictions(predictions)]))
        made = time.perf_counter() - start
        path = arguments.output or Path(folder) / "report.html"
        path.write_text(page, encoding="utf-8")
        print(f"{arguments.rows:,} rows, {arguments.classes} classes, {len(LANGUAGES)} languages, {len(rows)} images")
        print(f"to make  {made:6.2f} s")
        print(f"size     {len(page.encode()) / 1e6:6.2f} MB")
        print(f"to open  {opening_seconds(path):6.2f} s")


def gallery(classes: int) -> list[dict[str, Any]]:
    """Return as many examples as a run shows, each with an image of noise."""
    rng = np.random.default_rng(0)
    rows = []
    for number in range(MISTAKES + 2 * len(LANGUAGES)):
        file = io.BytesIO()
        Image.fromarray(rng.integers(0, 255, (300, 300, 3), dtype=np.uint8)).save(file, "PNG")
        true, predicted = (f"class {index}" for index in rng.integers(classes, size=2))
        rows.append(
            {"id": f"{number}", "language": LANGUAGES[number % len(LANGUAGES)], "text": "a product " * 60, "true": true}
            | {"predicted": predicted, "confidence": 0.9, "kind": "mistake", "task": "category"}
            | {"image": thumbnail(file.getvalue(), IMAGE_BYTES // (MISTAKES + 2 * len(LANGUAGES)))}
        )
    return rows


def record() -> Record:
    """Return the record of a run with three training seeds of 20 epochs."""
    protocol = Protocol(dataset="random", fingerprint="0" * 64)
    plugin = PluginRecord(name="random", version="1", paper="none", licence="none")
    plan = Plan(signature="benchmark", protocol=protocol, plugin=plugin, preset="tiny", config={})
    history = [{"epoch": epoch, "loss": 1 / epoch, "validation": 1 - 1 / epoch} for epoch in range(1, 21)]
    facts: dict[str, Any] = {
        "name": "benchmark",
        "plan": plan,
        "data": {"name": "random", "summary": "noise", "licence": "none"},
        "seeds": {"0": {"epochs": 20, "best_epoch": 20, "seconds": 1.0, "history": history}},
        "versions": {},
        "device": "none",
        "started": "2026-01-01T00:00:00+00:00",
        "wall_seconds": 1,
        "device_seconds": 1,
        "peak_memory_bytes": None,
        "git_commit": None,
        "command": "mmeval run",
        "plugin": "random",
    }
    return Record(**facts)


def opening_seconds(path: Path) -> float:
    """Return the median time of three openings in Chromium, until the page is laid out; NaN without Chromium."""
    from playwright.sync_api import sync_playwright

    executable = next(filter(None, map(shutil.which, CHROMIUM)), None)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, chromium_sandbox=False)
        seconds = []
        for _ in range(3):
            page = browser.new_page(viewport={"width": 1280, "height": 900})
            start = time.perf_counter()
            page.goto(path.absolute().as_uri(), wait_until="load")
            page.evaluate("document.body.getBoundingClientRect().height")
            seconds.append(time.perf_counter() - start)
            page.close()
        browser.close()
    return sorted(seconds)[1]


if __name__ == "__main__":
    main()

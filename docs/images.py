"""Takes the pictures of the documentation: the pages that mmeval writes, opened in a headless Chromium.

``python docs/images.py runs/A runs/B`` writes ``docs/images/*.png`` from finished runs of one data set: the report of
the first run, the comparison of the first two, and the leaderboard of all.
"""

from __future__ import annotations

import argparse
import io
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, sync_playwright

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
WIDTH, HEIGHT = 1180, 940
LARGEST = 150_000
"""Most bytes of a picture, because every clone of the repository gets it."""
COLOURS = (256, 128, 64, 32)
IMAGES = Path(__file__).parent / "images"


def pages(runs: list[Path], folder: Path) -> Iterator[tuple[str, Path]]:
    """Yield name and file of each page, written to ``folder``."""
    _mmeval("report", runs[0], "--output", folder / "report.html")
    yield "report", folder / "report.html"
    if len(runs) > 1:
        _mmeval("compare", *runs[:2], "--output", folder / "comparison")
        yield "comparison", folder / "comparison" / "comparison.html"
        _mmeval("leaderboard", *runs, "--output", folder / "site")
        yield "leaderboard", folder / "site" / "index.html"


def take(browser: Browser, page: Path) -> bytes:
    """Return the upper part of a page as a PNG of at most :data:`LARGEST` bytes."""
    window = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT}, color_scheme="light")
    window.goto(page.resolve().as_uri())
    window.wait_for_timeout(500)
    image = Image.open(io.BytesIO(window.screenshot())).convert("RGB")
    window.close()
    for colours in COLOURS:
        file = io.BytesIO()
        image.quantize(colours, dither=Image.Dither.NONE).save(file, "PNG", optimize=True)
        if file.tell() <= LARGEST:
            return file.getvalue()
    raise SystemExit(f"The picture of {page} has more than {LARGEST:,} bytes; make it smaller.")


def _mmeval(*words: object) -> None:
    subprocess.run([sys.executable, "-c", "from mmeval.cli.main import main; main()", *map(str, words)], check=True)


def main() -> None:
    """Take a picture of each page of the runs that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="+", help="finished run folders, the best model first")
    parser.add_argument("--output", type=Path, default=IMAGES)
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        # Chromium has no sandbox for root, as in a container.
        browser = playwright.chromium.launch(executable_path=path, chromium_sandbox=os.geteuid() != 0)
        for name, page in pages(arguments.runs, Path(folder)):
            picture = arguments.output / f"{name}.png"
            picture.write_bytes(take(browser, page))
            print(f"{picture}: {picture.stat().st_size:,} bytes")
        browser.close()


if __name__ == "__main__":
    main()

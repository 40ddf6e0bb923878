"""Take the screenshot of a report that the README shows, with a headless Chromium.

``python docs/report_image.py runs/NAME`` writes ``docs/images/report.png``.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import tempfile
from pathlib import Path

import mmeval

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
WIDTH, HEIGHT = 1180, 730


def main() -> None:
    """Take a screenshot of the report of the run folder that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="a finished run folder")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "images" / "report.png")
    arguments = parser.parse_args()
    browser = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if browser is None:
        raise SystemExit(f"No browser was found: install one of {', '.join(BROWSERS)}.")
    report = mmeval.open_run(arguments.run).report_path.resolve()
    with tempfile.TemporaryDirectory() as profile:
        options = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", f"--user-data-dir={profile}"]
        screenshot = [f"--window-size={WIDTH},{HEIGHT}", f"--screenshot={arguments.output.resolve()}"]
        subprocess.run([browser, *options, *screenshot, report.as_uri()], check=True, capture_output=True, timeout=120)
    print(arguments.output)


if __name__ == "__main__":
    main()

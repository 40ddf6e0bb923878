"""Measure `mmeval --help`, `mmeval plugins` and `mmeval data` against `python -c "import typer"`.

python benchmarks/start_up.py
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from pathlib import Path

MMEVAL = str(Path(sys.executable).parent / "mmeval")
TIMES = 15


def main() -> None:
    """Measure all commands and print milliseconds and ratios."""
    base = seconds([sys.executable, "-c", "import typer"])
    print(f'python -c "import typer": {base * 1000:.0f} ms')
    for arguments in (["--help"], ["plugins"], ["data"]):
        median = seconds([MMEVAL, *arguments])
        print(f"mmeval {' '.join(arguments)}: {median * 1000:.0f} ms, ratio {median / base:.2f}")


def seconds(command: list[str]) -> float:
    """Return the median seconds of a command, after a warm-up call."""
    durations = []
    for _ in range(TIMES + 1):
        start = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        durations.append(time.perf_counter() - start)
    return statistics.median(durations[1:])


if __name__ == "__main__":
    main()

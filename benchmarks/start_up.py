"""How long `mmeval --help` and `mmeval plugins` take, against `python -c "import typer"`.

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
    base = seconds([sys.executable, "-c", "import typer"])
    print(f'python -c "import typer": {base * 1000:.0f} ms')
    for arguments in (["--help"], ["plugins"], ["data"]):
        taken = seconds([MMEVAL, *arguments])
        print(f"mmeval {' '.join(arguments)}: {taken * 1000:.0f} ms, ratio {taken / base:.2f}")


def seconds(command: list[str]) -> float:
    """The median time of a command, after one call that isn't counted."""
    taken = []
    for _ in range(TIMES + 1):
        start = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        taken.append(time.perf_counter() - start)
    return statistics.median(taken[1:])


if __name__ == "__main__":
    main()

"""Import times of plugins, each measured in a new process."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator

from mmeval.plugin.listing import Listed

HEAVY = ("torch", "transformers", "datasets", "sklearn", "pandas", "tensorflow", "jax")
LIMIT = 60
MARK = "mmeval timing: "
_SCRIPT = f"""
import importlib, json, sys, time
import mmeval, pluggy
started = time.perf_counter()
importlib.import_module(sys.argv[1])
seconds = time.perf_counter() - started
result = json.dumps([seconds, [name for name in {HEAVY} if name in sys.modules]])
print("\\n{MARK}" + result, flush=True)
"""


def timings(plugins: list[Listed]) -> Iterator[str]:
    """Yield the import time of each plugin (``0.12 s``, ``2.31 s (torch)``), or why the import fails.

    Heavy libraries that the import loads stand in parentheses; a broken plugin has ``-``.
    """
    for plugin in plugins:
        yield _timing(plugin.module) if plugin.status == "ok" else "-"


def _timing(module: str) -> str:
    call = [sys.executable, "-c", _SCRIPT, module]
    try:
        done = subprocess.run(call, capture_output=True, text=True, errors="replace", check=False, timeout=LIMIT)
    except subprocess.TimeoutExpired:
        return f"over {LIMIT} s"
    # A plugin may print text before and after, or end the process with status 0.
    measured = [line.removeprefix(MARK) for line in done.stdout.splitlines() if line.startswith(MARK)]
    if not measured:
        return f"fails: {(done.stderr.strip().splitlines() or ['it ended the process'])[-1]}"
    seconds, heavy = json.loads(measured[-1])
    return f"{seconds:.2f} s" + (f" ({', '.join(heavy)})" if heavy else "")

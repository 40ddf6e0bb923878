"""Software versions, device, commit and peak memory of a run, for its record."""

from __future__ import annotations

import contextlib
import importlib.metadata
import platform
import subprocess
import sys
from pathlib import Path

from mmeval.record import Environment

PROC = Path("/proc/self")
PACKAGES = ("mmeval-multilingual", "torch", "accelerate", "numpy", "pyarrow", "pillow", "simplejpeg", "safetensors")


def environment(device: str) -> Environment:
    """Return the software environment and the name of the device."""
    return Environment(versions=versions(), device=device, git_commit=git_commit())


def versions() -> dict[str, str]:
    """Return the platform and the versions of Python and of the packages that scores can depend on."""
    installed = {"python": platform.python_version(), "platform": platform.platform()}
    for package in PACKAGES:
        try:
            installed[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            installed[package] = "not installed"
    return installed


def reset_peak_memory() -> None:
    """Start measuring the peak anew, since a process may do several runs; only Linux can do that."""
    with contextlib.suppress(OSError):
        (PROC / "clear_refs").write_text("5")


def peak_memory_bytes() -> int | None:
    """Return the peak resident memory of this process; None on systems without ``resource`` (Windows).

    On Linux it is the peak since :func:`reset_peak_memory`.
    """
    with contextlib.suppress(OSError, ValueError, StopIteration):
        lines = (PROC / "status").read_text().splitlines()
        return int(next(line for line in lines if line.startswith("VmHWM:")).split()[1]) * 1024
    try:
        import resource
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(peak if sys.platform == "darwin" else peak * 1024)


def git_commit() -> str | None:
    """Return the commit of mmeval's checkout, with ``+changes`` if files differ from it; None outside a checkout."""
    root = Path(__file__).parents[2]
    if not (root / ".git").exists():
        return None
    try:
        commit = _git(root, "rev-parse", "--short=12", "HEAD").strip()
        return commit + ("+changes" if _git(root, "status", "--porcelain").strip() else "")
    except (OSError, subprocess.SubprocessError):
        return None


def _git(root: Path, *arguments: str) -> str:
    call = ["git", "-C", str(root), *arguments]
    return subprocess.run(call, check=True, capture_output=True, text=True, timeout=10).stdout

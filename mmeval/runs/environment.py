"""What a run's numbers can depend on outside of its options."""

from __future__ import annotations

import importlib.metadata
import platform
import subprocess
import sys
from pathlib import Path

from mmeval.record import Environment

PACKAGES = ("mmeval-multilingual", "torch", "accelerate", "numpy", "pyarrow", "pillow", "simplejpeg", "safetensors")


def environment(device: str) -> Environment:
    """Describe the software, and the device of that name."""
    return Environment(versions=versions(), device=device, git_commit=git_commit())


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that matter, and the platform."""
    found = {"python": platform.python_version(), "platform": platform.platform()}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = "not installed"
    return found


def peak_memory_bytes() -> int | None:
    """Largest resident memory of this process so far; None where the system doesn't tell."""
    try:
        import resource
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(peak if sys.platform == "darwin" else peak * 1024)


def git_commit() -> str | None:
    """Commit of the checkout that mmeval runs from, with ``+changes`` where files differ; None outside a checkout."""
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

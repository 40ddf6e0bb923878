"""Energy that a device uses, by its own counters: NVML for NVIDIA's GPUs, RAPL for CPUs under Linux."""

from __future__ import annotations

import importlib
import threading
import warnings
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import torch

POWERCAP = Path("/sys/class/powercap")
"""Where Linux shows the counters of RAPL; most systems let only the superuser read them."""
POLL_SECONDS = 60.0
"""Time between two readings of RAPL, whose counters start again at zero after some minutes of full load."""
Counter = Callable[[], float]
"""A function that returns the joules that a device has used since some moment in the past."""


class EnergyMeter:
    """A context that measures the energy of a device between its start and its end.

    The counters belong to the whole device, so that other processes on it count too. Nothing here raises an error: the
    energy stays unknown if no counter can be read.
    """

    def __init__(self, device: str) -> None:
        """Measure ``cpu`` or ``cuda:N``."""
        self.joules: float | None = None
        """Energy in joules, known after the block; None if the device does not report it."""
        self.source = ""
        """The counter, such as ``RAPL, CPU packages``; empty if the device has none."""
        self._device = torch.device(device)
        self._counter: Counter | None = None
        self._start = 0.0
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        """Read the counter for the first time."""
        if self._device.type == "cuda":
            self._counter, self.source = nvml_counter(self._device), "NVML, GPU"
        else:
            self._counter, self.source = rapl_counter(POWERCAP), "RAPL, CPU packages"
        start = self._read()
        if start is None:
            self._counter, self.source = None, ""
            return self
        self._start = start
        if self._device.type == "cpu":
            self._thread = threading.Thread(target=self._poll, name="mmeval-energy", daemon=True)
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Read the counter for the last time."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        end = self._read()
        self.joules = None if end is None else max(end - self._start, 0.0)

    def _read(self) -> float | None:
        try:
            return None if self._counter is None else self._counter()
        except Exception:  # a driver's own errors
            return None

    def _poll(self) -> None:
        while not self._stop.wait(POLL_SECONDS):
            self._read()


def nvml_counter(device: torch.device) -> Counter | None:
    """Return the energy counter of a GPU; None without the package ``nvidia-ml-py`` or on a GPU that has none."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            nvml: Any = importlib.import_module("pynvml")
        nvml.nvmlInit()
        # By UUID, because CUDA_VISIBLE_DEVICES changes torch's numbers and not NVML's.
        handle = nvml.nvmlDeviceGetHandleByUUID(f"GPU-{torch.cuda.get_device_properties(device).uuid}")
        nvml.nvmlDeviceGetTotalEnergyConsumption(handle)
    except Exception:  # ImportError, or one of NVML's own errors
        return None
    return lambda: float(nvml.nvmlDeviceGetTotalEnergyConsumption(handle)) / 1000


def rapl_counter(folder: Path) -> Counter | None:
    """Return the energy counter of all CPU packages, from the zones in ``folder``; None if none can be read.

    A zone counts microjoules up to its ``max_energy_range_uj`` and then starts again, so that the counter must be read
    more often than that.
    """
    try:
        zones = [
            zone for zone in sorted(folder.glob("intel-rapl:*")) if (zone / "name").read_text().startswith("package")
        ]
        ranges = [_microjoules(zone / "max_energy_range_uj") for zone in zones]
        last = [_microjoules(zone / "energy_uj") for zone in zones]
    except (OSError, ValueError):
        return None
    if not zones:
        return None
    total = 0

    def joules() -> float:
        nonlocal total
        for number, zone in enumerate(zones):
            now = _microjoules(zone / "energy_uj")
            total += (now - last[number]) % (ranges[number] + 1)
            last[number] = now
        return total / 1e6

    return joules


def _microjoules(path: Path) -> int:
    return int(path.read_text())

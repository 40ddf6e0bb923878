"""Energy counters: RAPL as Linux shows it, NVML as its package has it, and devices without either."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from mmeval.engine import energy
from mmeval.engine.energy import EnergyMeter, nvml_counter, rapl_counter


@pytest.fixture
def powercap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two CPU packages, a zone inside one of them, and a zone of the whole platform."""
    zones = {"intel-rapl:0": "package-0", "intel-rapl:1": "package-1", "intel-rapl:0:0": "core", "intel-rapl:2": "psys"}
    for zone, name in zones.items():
        (tmp_path / zone).mkdir()
        (tmp_path / zone / "name").write_text(f"{name}\n")
        (tmp_path / zone / "max_energy_range_uj").write_text("9999999\n")
        count(tmp_path / zone, 5_000_000)
    monkeypatch.setattr(energy, "POWERCAP", tmp_path)
    return tmp_path


def count(zone: Path, microjoules: int) -> None:
    (zone / "energy_uj").write_text(f"{microjoules}\n")


def test_packages_are_summed_and_their_parts_are_not_counted_again(powercap: Path) -> None:
    with EnergyMeter("cpu") as meter:
        for zone in powercap.iterdir():
            count(zone, 6_500_000)
    assert meter.joules == pytest.approx(3.0)
    assert meter.source == "RAPL, CPU packages"


def test_a_counter_that_starts_again_at_zero_goes_on(powercap: Path) -> None:
    counter = rapl_counter(powercap)
    assert counter is not None
    assert counter() == 0
    count(powercap / "intel-rapl:0", 1_000_000)
    assert counter() == pytest.approx(6.0)
    count(powercap / "intel-rapl:0", 2_000_000)
    assert counter() == pytest.approx(7.0)


def test_the_counter_is_read_before_it_can_start_again_twice(powercap: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(energy, "POLL_SECONDS", 0.001)
    counts = iter(range(6_000_000, 10**9, 1_000_000))
    read = energy._microjoules

    def advancing(path: Path) -> int:
        return next(counts) % 10_000_000 if path.parent.name == "intel-rapl:0" and path.name[0] == "e" else read(path)

    monkeypatch.setattr(energy, "_microjoules", advancing)
    with EnergyMeter("cpu") as meter:
        while next(counts) < 60_000_000:
            pass
        assert meter._thread is not None
    assert not meter._thread.is_alive()


def test_without_a_counter_energy_is_unknown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(energy, "POWERCAP", tmp_path / "none")
    with EnergyMeter("cpu") as meter:
        pass
    assert (meter.joules, meter.source) == (None, "")


def test_a_counter_that_only_the_superuser_may_read_is_no_error(
    powercap: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path) -> int:
        raise PermissionError(path)

    monkeypatch.setattr(energy, "_microjoules", refuse)
    with EnergyMeter("cpu") as meter:
        pass
    assert (meter.joules, meter.source) == (None, "")


def test_a_gpu_is_found_by_its_uuid(monkeypatch: pytest.MonkeyPatch) -> None:
    """CUDA_VISIBLE_DEVICES changes the numbers of torch, not those of NVML."""
    used = iter([1_000, 2_500, 7_500])
    asked: list[str] = []
    nvml = SimpleNamespace(
        nvmlInit=lambda: None,
        nvmlDeviceGetHandleByUUID=lambda uuid: asked.append(uuid) or "handle",
        nvmlDeviceGetTotalEnergyConsumption=lambda _: next(used),
    )
    monkeypatch.setitem(sys.modules, "pynvml", nvml)  # type: ignore[arg-type]
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: SimpleNamespace(uuid="ab-1"))
    with EnergyMeter("cuda:0") as meter:
        pass
    assert asked == ["GPU-ab-1"]
    assert (meter.joules, meter.source) == (5.0, "NVML, GPU")


def test_a_gpu_without_the_package_or_the_counter_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert nvml_counter(torch.device("cuda", 0)) is None

    def unsupported() -> Any:
        raise RuntimeError("not supported")

    monkeypatch.setitem(sys.modules, "pynvml", SimpleNamespace(nvmlInit=unsupported))  # type: ignore[arg-type]
    with EnergyMeter("cuda:0") as meter:
        pass
    assert (meter.joules, meter.source) == (None, "")

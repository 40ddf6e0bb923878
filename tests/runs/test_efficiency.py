"""The efficiency of a run: measured per seed, summarised for the record."""

from __future__ import annotations

import mmap
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mmeval.engine.cost import Cost
from mmeval.engine.embeddings import USE
from mmeval.plugin.manager import Manager
from mmeval.runs import environment
from mmeval.runs.efficiency import Measurements, summarized
from mmeval.runs.environment import peak_memory_bytes, reset_peak_memory
from mmeval.runs.folder import RunFolder
from mmeval.runs.pipeline import run
from mmeval.runs.request import Request

Ask = Callable[..., Request]
ManagerWith = Callable[..., Manager]


def test_a_run_records_size_cost_speed_and_memory(finished: RunFolder) -> None:
    record = finished.record
    measured = record.efficiency
    assert measured is not None
    assert measured.parameters == measured.trained_parameters
    assert measured.flops_per_example
    assert measured.train_examples_per_second
    assert measured.predict_examples_per_second
    assert measured.predict_examples_per_second == measured.predict_examples_per_second_cached
    assert measured.device_seconds == record.device_seconds
    assert record.peak_memory_bytes is not None
    assert measured.peak_memory_bytes is not None
    assert 10**7 < measured.peak_memory_bytes <= record.peak_memory_bytes


def test_only_the_first_seed_counts_operations(finished: RunFolder) -> None:
    first, second = (finished.record.seeds[seed]["efficiency"] for seed in ("0", "1"))
    assert first["flops_per_example"] is not None
    assert second["flops_per_example"] is None
    assert second["train_examples_per_second"] == pytest.approx(finished.record.seeds["1"]["examples_per_second"])


def test_a_plain_model_is_timed_by_examples_and_seconds(ask: Ask, even: Path, manager_with: ManagerWith) -> None:
    measured = run(ask(plugin=str(even)), manager_with()).record.efficiency
    assert measured is not None
    assert measured.train_examples_per_second
    assert measured.predict_examples_per_second == measured.predict_examples_per_second_cached
    assert measured.parameters is None


def test_speeds_leave_out_the_consumer_and_the_computing_of_embeddings() -> None:
    def blocks() -> Iterator[int]:
        for number in range(2):
            time.sleep(0.01)
            USE.calls += 1
            USE.seconds += 100.0
            yield number

    with Measurements("cpu") as measurements:
        start = USE.seconds
        try:
            for _ in measurements.timed_items(blocks(), "predict", 10):
                time.sleep(0.2)
        finally:
            measurements._seconds["predict"] += USE.seconds - start
            USE.seconds = start
    seconds = measurements._seconds["predict"]
    assert 0.02 <= seconds < 0.15
    result = measurements.result(Cost(encoder_seconds=0.5))
    assert result.predict_examples_per_second_cached == pytest.approx(10 / seconds)
    assert result.encoder_seconds_per_example == 0.5


def test_a_model_without_frozen_encoders_has_one_speed() -> None:
    with Measurements("cpu") as measurements:
        list(measurements.timed_items(iter([1]), "predict", 1))
    assert measurements.result(Cost()).encoder_seconds_per_example == 0


def seed(**efficiency: Any) -> dict[str, Any]:
    return {"seconds": 2.0, "efficiency": efficiency}


def test_seeds_are_summarised() -> None:
    first = seed(
        parameters=7, predict_examples_per_second_cached=10.0, encoder_seconds_per_example=0.4, peak_memory_bytes=5
    )
    second = seed(predict_examples_per_second_cached=30.0, peak_memory_bytes=9)
    for number, facts in enumerate((first, second)):
        facts["efficiency"] |= {"energy_joules": 1.0 + number, "energy_source": "NVML, GPU"}
    whole = summarized([first, second])
    assert (whole.parameters, whole.peak_memory_bytes, whole.device_seconds) == (7, 9, 4.0)
    assert (whole.energy_joules, whole.energy_source) == (3.0, "NVML, GPU")
    assert whole.predict_examples_per_second_cached == pytest.approx(15.0)
    assert whole.predict_examples_per_second == pytest.approx(1 / (1 / 15 + 0.4))


def test_seeds_of_an_older_version_leave_numbers_unknown() -> None:
    """The energy of some seeds would pass for the energy of all."""
    whole = summarized([{"seconds": 1.0}, seed(energy_joules=1.0, energy_source="NVML, GPU", parameters=3)])
    assert (whole.energy_joules, whole.energy_source, whole.parameters) == (None, "", 3)
    assert whole.device_seconds == 3.0
    assert summarized([{"seconds": 1.0}]).predict_examples_per_second is None


def test_the_peak_of_an_earlier_run_in_the_process_does_not_count() -> None:
    """A benchmark does many runs in one process."""
    # A mapping of its own: the system gets it back at once, whatever memory the process has kept for itself.
    with mmap.mmap(-1, 300 << 20) as block:
        for page in range(0, len(block), 4096):
            block[page] = 1
        high = peak_memory_bytes()
    reset_peak_memory()
    low = peak_memory_bytes()
    if high == low:
        pytest.skip("this system can't reset the peak")
    assert high is not None
    assert low is not None
    assert low < high - (200 << 20)


def test_systems_without_proc_report_the_peak_of_the_process(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(environment, "PROC", tmp_path / "none")
    reset_peak_memory()
    assert (peak_memory_bytes() or 0) > 10**7

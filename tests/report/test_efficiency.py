"""Efficiency as text."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from mmeval.record import Efficiency
from mmeval.report import efficiency as text
from mmeval.report.content import Content


def measured(**facts: Any) -> Efficiency:
    return Efficiency(device_seconds=1234.4, **facts)


FULL = measured(
    parameters=48_400_000,
    trained_parameters=300_000,
    flops_per_example=1.2e9,
    flops_per_example_cached=3.6e6,
    train_examples_per_second=2724.2,
    predict_examples_per_second=34.21,
    predict_examples_per_second_cached=911.0,
    peak_device_memory_bytes=3 << 29,
    energy_joules=12_345.0,
    energy_source="NVML, GPU",
)


def test_a_table_has_a_dash_for_an_unknown_number() -> None:
    assert text.cells(FULL) == ("48.4 M (0.3 M trained)", "1.2 G", "34.2", "1,234")
    assert text.cells(measured()) == ("–", "–", "–", "1,234")
    assert text.cells(None) == ("–",) * 4
    assert len(text.HEADINGS) == 4


@pytest.mark.parametrize(
    ("total", "trained", "expected"),
    [
        (48_400_000, 48_400_000, "48.4 M"),
        (48_400_000, 0, "48.4 M (0 trained)"),
        (117_500_000, 42_000, "117.5 M (42.0 k trained)"),
        (1_500_000_000, 90_000_000, "1.5 G (0.1 G trained)"),
        (850, 850, "850"),
        (0, 0, "0"),
        (7, None, "7"),
        (None, None, ""),
    ],
)
def test_parameters(total: int | None, trained: int | None, expected: str) -> None:
    """A non-zero number never rounds to zero."""
    assert text.parameters(measured(parameters=total, trained_parameters=trained)) == expected


def test_cached_numbers_are_shown_only_where_they_differ() -> None:
    assert text.flops(FULL) == "1.2 GFLOPs per example (3.6 MFLOPs with cached embeddings)"
    assert text.flops(measured(flops_per_example=900, flops_per_example_cached=900)) == "900 FLOPs per example"
    assert text.speed(FULL) == ("training 2,724 examples/s, prediction 34.2 examples/s (911 with cached embeddings)")
    assert text.speed(measured(predict_examples_per_second_cached=0.5)) == (
        "prediction 0.5 examples/s with cached embeddings"
    )
    assert text.flops(measured()) == text.speed(measured()) == text.energy(measured()) == ""


def test_energy_names_its_counter() -> None:
    assert text.energy(FULL) == "12.3 kJ (NVML, GPU)"
    assert text.device_memory(FULL) == "1.50 GiB"


def test_a_report_shows_what_is_known(content: Callable[..., Content]) -> None:
    shown = dict(content(efficiency=FULL).provenance)
    assert shown["parameters"] == "48.4 M (0.3 M trained)"
    assert shown["energy"] == "12.3 kJ (NVML, GPU)"
    assert "parameters" not in dict(content(efficiency=measured()).provenance)
    assert "parameters" not in dict(content().provenance)

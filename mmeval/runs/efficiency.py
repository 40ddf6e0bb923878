"""Efficiency of a run: the measurements of each training seed, and their summary for the record."""

from __future__ import annotations

import contextlib
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from statistics import harmonic_mean
from types import TracebackType
from typing import Any, Self, TypeVar

import torch

from mmeval.engine.cost import Cost
from mmeval.engine.embeddings import USE
from mmeval.engine.energy import EnergyMeter
from mmeval.record import Efficiency, SeedEfficiency, SeedFacts
from mmeval.runs.environment import peak_memory_bytes

T = TypeVar("T")


class Measurements:
    """A context that measures time, memory and energy of one training seed.

    The time in which frozen encoders compute embeddings counts for no speed, because another run would find the
    embeddings in the cache.
    """

    def __init__(self, device: str) -> None:
        """Measure on ``cpu`` or ``cuda:N``."""
        self._device, self._meter = device, EnergyMeter(device)
        self._examples, self._seconds = defaultdict[str, int](int), defaultdict[str, float](float)
        self._embeds = False
        self._peaks: dict[str, int | None] = {}

    def __enter__(self) -> Self:
        """Start measuring."""
        if self._device.startswith("cuda"):
            torch.cuda.init()  # type: ignore[no-untyped-call] # else there are no statistics to reset
            torch.cuda.reset_peak_memory_stats(self._device)
        self._meter.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop measuring."""
        self._meter.__exit__(kind, error, trace)
        self._peaks = {"peak_memory_bytes": peak_memory_bytes()}
        if self._device.startswith("cuda"):
            self._peaks["peak_device_memory_bytes"] = torch.cuda.max_memory_allocated(self._device)

    @contextlib.contextmanager
    def timed(self, name: str, examples: int) -> Iterator[None]:
        """Add the block's duration and number of examples to the speed ``name``."""
        started, embedding, calls = time.perf_counter(), USE.seconds, USE.calls
        yield
        self._seconds[name] += time.perf_counter() - started - (USE.seconds - embedding)
        self._examples[name] += examples
        self._embeds |= name == "predict" and USE.calls > calls

    def timed_items(self, items: Iterable[T], name: str, examples: int) -> Iterator[T]:
        """Yield ``items``; only the time of their producer counts, not that of the loop that takes them."""
        iterator, end = iter(items), object()
        item: T | object = None
        while item is not end:
            with self.timed(name, 0):
                item = next(iterator, end)
            if item is not end:
                yield item  # type: ignore[misc]
        self._examples[name] += examples

    def result(self, cost: Cost, train_rate: float | None = None) -> SeedEfficiency:
        """Return the measurements.

        Args:
            cost: the cost of the model.
            train_rate: examples per second in training, if the model itself has measured them over its epochs.
        """
        rates = {name: self._examples[name] / self._seconds[name] for name in self._seconds if self._seconds[name] > 0}
        return SeedEfficiency(
            parameters=cost.parameters,
            trained_parameters=cost.trained,
            flops_per_example=cost.flops,
            flops_per_example_cached=cost.flops_cached,
            encoder_seconds_per_example=cost.encoder_seconds if self._embeds else 0.0,
            train_examples_per_second=train_rate or rates.get("train"),
            predict_examples_per_second_cached=rates.get("predict"),
            energy_joules=self._meter.joules,
            energy_source=self._meter.source,
            **self._peaks,
        )


def summarized(seeds: Iterable[Mapping[str, Any]]) -> Efficiency:
    """Return the efficiency of a run from the facts of its seeds.

    Speeds are harmonic means over the seeds, time and energy are sums, peaks are maxima. Size and cost come from the
    first seed that has them. Seeds that an older version trained have no measurements.
    """
    facts = [SeedFacts.model_validate(each) for each in seeds]
    measured = [each.efficiency for each in facts if each.efficiency is not None]

    def values(name: str) -> list[Any]:
        return [value for each in measured if (value := getattr(each, name)) is not None]

    size = {
        name: next(iter(values(name)), None)
        for name in ("parameters", "trained_parameters", "flops_per_example", "flops_per_example_cached")
    }
    train, predict = (
        harmonic_mean(rates) if (rates := values(name)) else None
        for name in ("train_examples_per_second", "predict_examples_per_second_cached")
    )
    encoders = next(iter(values("encoder_seconds_per_example")), None)
    # The sum over some of the seeds would pass for the energy of all.
    metered = measured if len(values("energy_joules")) == len(facts) else []
    return Efficiency(
        **size,
        train_examples_per_second=train,
        predict_examples_per_second=predict / (1 + predict * encoders) if predict and encoders is not None else None,
        predict_examples_per_second_cached=predict,
        device_seconds=sum(each.seconds for each in facts),
        peak_memory_bytes=max(values("peak_memory_bytes"), default=None),
        peak_device_memory_bytes=max(values("peak_device_memory_bytes"), default=None),
        energy_joules=sum(each.energy_joules or 0.0 for each in metered) if metered else None,
        energy_source=metered[0].energy_source if metered else "",
    )

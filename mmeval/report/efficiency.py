"""The efficiency of a run as text: parameters, operations, speed, time, memory and energy."""

from __future__ import annotations

from mmeval.record import Efficiency

HEADINGS = ("parameters", "FLOPs/example", "examples/s", "time (s)")
"""Headings of the columns of :func:`cells`."""
UNKNOWN = "–"
PREFIXES = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))


def cells(efficiency: Efficiency | None) -> tuple[str, str, str, str]:
    """Return the cells of a table of models, in the order of ``HEADINGS``; a dash for an unknown number.

    Speed is that of prediction; time is that of training and prediction, over all seeds.
    """
    if efficiency is None:
        return (UNKNOWN,) * 4
    return (
        parameters(efficiency) or UNKNOWN,
        scaled(efficiency.flops_per_example) or UNKNOWN,
        rate(efficiency.predict_examples_per_second) or UNKNOWN,
        f"{efficiency.device_seconds:,.0f}",
    )


def parameters(efficiency: Efficiency) -> str:
    """Return ``48.4 M (0.3 M trained)``, or ``12.1 M`` if all are trained; empty if unknown."""
    total, trained = efficiency.parameters, efficiency.trained_parameters
    if total is None or trained in (None, total):
        return scaled(total)
    return f"{scaled(total)} ({scaled(trained, like=total)} trained)"


def flops(efficiency: Efficiency) -> str:
    """Return ``1.2 GFLOPs per example (3.6 MFLOPs with cached embeddings)``; empty if unknown."""
    whole, cached = (_unit(n, "FLOPs") for n in (efficiency.flops_per_example, efficiency.flops_per_example_cached))
    return f"{whole} per example{_aside(whole, cached)}" if whole else ""


def speed(efficiency: Efficiency) -> str:
    """Return ``training 2,724 examples/s, prediction 34.2 examples/s (911 examples/s with cached embeddings)``."""
    train = rate(efficiency.train_examples_per_second)
    whole, cached = (
        rate(each) for each in (efficiency.predict_examples_per_second, efficiency.predict_examples_per_second_cached)
    )
    parts = [f"training {train} examples/s"] if train else []
    if whole:
        parts.append(f"prediction {whole} examples/s{_aside(whole, cached)}")
    elif cached:
        parts.append(f"prediction {cached} examples/s with cached embeddings")
    return ", ".join(parts)


def device_memory(efficiency: Efficiency) -> str:
    """Return ``10.50 GiB``; empty if no GPU was used."""
    peak = efficiency.peak_device_memory_bytes
    return "" if peak is None else f"{peak / 2**30:.2f} GiB"


def energy(efficiency: Efficiency) -> str:
    """Return ``12.3 kJ (NVML, GPU)``; empty if the device does not report it."""
    used = _unit(efficiency.energy_joules, "J")
    return f"{used} ({efficiency.energy_source})" if used else ""


def _aside(whole: str, cached: str) -> str:
    return f" ({cached} with cached embeddings)" if cached and cached != whole else ""


def rate(per_second: float | None) -> str:
    """Return ``2,724``, ``34.2`` or ``0.05``; empty if unknown."""
    if per_second is None:
        return ""
    return f"{per_second:,.0f}" if per_second >= 100 else f"{per_second:.3g}"


def _unit(value: float | None, unit: str) -> str:
    """Return a number with an SI prefix before its unit: ``1.2 GFLOPs``, ``850 J``; empty if unknown."""
    number = scaled(value)
    return number and (f"{number}{unit}" if number[-1].isalpha() else f"{number} {unit}")


def scaled(value: float | None, like: float | None = None) -> str:
    """Return a number with an SI prefix: ``48.4 M``, ``850``; empty if unknown.

    ``like`` chooses its prefix, if the number does not round to zero then.
    """
    if value is None:
        return ""
    for scale, prefix in PREFIXES:
        if (like or value) >= scale and value / scale >= 0.05:
            return f"{value / scale:.1f} {prefix}"
    return f"{value:.0f}" if value >= 100 or value == int(value) else f"{value:.3g}"

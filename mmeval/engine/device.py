"""Device, numerical precision, and the Accelerate handle that combines them."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from mmeval.errors import UserError

if TYPE_CHECKING:
    from accelerate import Accelerator


def resolve_device(name: str) -> torch.device:
    """Return the device that a user names: ``auto``, ``cpu``, ``cuda`` (the first GPU) or ``cuda:N``.

    Call this once, where the user's option enters; everything behind it takes the result, or its name (``cpu``,
    ``cuda:0``).

    Raises:
        UserError: the name is no device, or this machine lacks it.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError:
        raise UserError(f"--device {name}: write auto, cpu, cuda or cuda:N.") from None
    if device.type not in ("cpu", "cuda"):
        raise UserError(f"--device {name}: write auto, cpu, cuda or cuda:N.")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise UserError(
            f"--device {name}: this machine has {torch.cuda.device_count()} CUDA devices; try --device cpu."
        )
    # torch.cuda.set_device refuses a device without an index.
    return torch.device("cuda", device.index or 0) if device.type == "cuda" else device


def resolve_precision(name: str, device: torch.device) -> str:
    """Return ``fp32`` or ``bf16``; ``auto`` is bf16 on a GPU that computes in it, and fp32 elsewhere."""
    if name == "auto":
        return "bf16" if device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    return name


def accelerator(device: torch.device, precision: str) -> Accelerator:
    """Return Accelerate's handle for one process on one device.

    Args:
        device: a resolved device; CUDA with its index.
        precision: ``auto``, ``fp32`` or ``bf16``.

    Raises:
        UserError: a launcher started several processes, which mmeval does not support yet.
    """
    from accelerate import Accelerator
    from accelerate.state import AcceleratorState, PartialState

    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise UserError("mmeval runs in one process so far; start it without torchrun or accelerate launch.")
    # Accelerate keeps its state for the whole process, but each fit may use another device and precision.
    AcceleratorState._reset_state(reset_partial_state=True)
    PartialState._reset_state()
    if device.type == "cuda":
        torch.cuda.set_device(device)
    mixed_precision = {"bf16": "bf16", "fp32": "no"}[resolve_precision(precision, device)]
    return Accelerator(cpu=device.type == "cpu", mixed_precision=mixed_precision)


@dataclass(frozen=True)
class Inference:
    """Device and precision of a model that only predicts; unlike Accelerate's handle, it keeps no global state."""

    device: torch.device
    precision: str
    """``fp32`` or ``bf16``."""

    @classmethod
    def of(cls, device: torch.device, precision: str) -> Inference:
        """Return the placement for a resolved device and the precision of a recipe, which may be ``auto``."""
        return cls(device, resolve_precision(precision, device))

    def autocast(self) -> AbstractContextManager[Any]:
        """Return a context in which torch computes in the precision."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bf16")


def device_name(device: torch.device) -> str:
    """Return the device's name for the record, such as the GPU's model."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    threads = torch.get_num_threads()
    return f"CPU, {threads} thread{'s' if threads > 1 else ''}"

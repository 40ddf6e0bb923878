"""Which device and which precision."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import torch

from mmeval.errors import UserError

if TYPE_CHECKING:
    from accelerate import Accelerator


def resolve_device(name: str) -> torch.device:
    """``auto``, ``cpu``, ``cuda`` or ``cuda:N`` -> a device that is there; ``cuda`` is ``cuda:0``.

    Raises:
        UserError: no such device on this machine.
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
    # With its number: torch.cuda.set_device refuses a device without one.
    return torch.device("cuda", device.index or 0) if device.type == "cuda" else device


def precision(wanted: str, device: torch.device) -> str:
    """``auto``, ``fp32`` or ``bf16`` -> what runs: bf16 by itself only on a GPU that computes in it."""
    if wanted == "auto":
        return "bf16" if device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    return wanted


def accelerator(device: torch.device, wanted_precision: str) -> Accelerator:
    """Accelerate's handle for one process on one device.

    Raises:
        UserError: started by a launcher with several processes, which is not supported yet.
    """
    from accelerate import Accelerator
    from accelerate.state import AcceleratorState, PartialState

    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise UserError("mmeval runs in one process so far; start it without torchrun or accelerate launch.")
    # Accelerate keeps its state for the whole process; each fit here says anew where it runs and how.
    AcceleratorState._reset_state(reset_partial_state=True)
    PartialState._reset_state()
    if device.type == "cuda":
        torch.cuda.set_device(device)
    mixed = {"bf16": "bf16", "fp32": "no"}[precision(wanted_precision, device)]
    return Accelerator(cpu=device.type == "cpu", mixed_precision=mixed)


def device_name(device: torch.device) -> str:
    """The device as a person would name it."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"CPU, {torch.get_num_threads()} threads"

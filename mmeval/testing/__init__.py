"""The contract of model plugins: 22 checks, as a command (``mmeval plugins check``), as pytest tests, and as data."""

from mmeval.testing.check import Check, Result, Verdict
from mmeval.testing.parametrise import BoundCheck, contract
from mmeval.testing.presets import PresetResult, random_weights, try_preset
from mmeval.testing.runner import CHECKS, check_plugin

__all__ = [
    "CHECKS",
    "BoundCheck",
    "Check",
    "PresetResult",
    "Result",
    "Verdict",
    "check_plugin",
    "contract",
    "random_weights",
    "try_preset",
]

"""The contract that every model plugin keeps: as a table (``mmeval plugins check``), as tests, as data."""

from mmeval.testing.check import Check, Result, Verdict
from mmeval.testing.examine import CHECKS, check_plugin
from mmeval.testing.parametrise import BoundCheck, contract
from mmeval.testing.presets import Trial, random_weights, try_preset

__all__ = [
    "CHECKS",
    "BoundCheck",
    "Check",
    "Result",
    "Trial",
    "Verdict",
    "check_plugin",
    "contract",
    "random_weights",
    "try_preset",
]

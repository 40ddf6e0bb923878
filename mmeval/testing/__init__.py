"""The contract that every model plugin keeps: as a table (``mmeval plugins check``), as tests, as data."""

from mmeval.testing.check import Check, Result, Verdict
from mmeval.testing.examine import check_plugin
from mmeval.testing.parametrise import BoundCheck, contract
from mmeval.testing.random_weights import random_weights
from mmeval.testing.rules import CHECKS

__all__ = ["CHECKS", "BoundCheck", "Check", "Result", "Verdict", "check_plugin", "contract", "random_weights"]

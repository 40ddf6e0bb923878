"""The whole contract."""

from __future__ import annotations

from mmeval.testing import behaviour, declaration, persistence, training
from mmeval.testing.check import Check

CHECKS: dict[str, Check] = {
    value.name: value
    for room in (declaration, behaviour, persistence, training)
    for value in vars(room).values()
    if isinstance(value, Check)
}
"""By name, in the order in which they are checked."""

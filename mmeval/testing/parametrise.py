"""The contract as a pytest parametrisation, for the tests of a plugin's authors."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mmeval.testing.check import Check, Verdict
from mmeval.testing.examine import CHECKS, Examination

if TYPE_CHECKING:
    import pytest

LEAST_REASON = 10


class BoundCheck:
    """A check of one plugin, to be called in a test."""

    def __init__(self, check: Check, examination: Callable[[], Examination]) -> None:
        self.check, self._examination = check, examination

    def __call__(self) -> None:
        """Run it: pytest is told of a failure, or of a check that doesn't apply."""
        import pytest

        result = self._examination().check(self.check)
        if result.verdict is Verdict.NOT_APPLICABLE:
            pytest.skip(f"{self.check.name}: {result.message}")
        if result.verdict is not Verdict.PASSED:
            raise AssertionError(
                f"{result.message}\nwhy there is this rule: {self.check.reason}\nelse: {self.check.breaks}"
            ) from result.error

    def __repr__(self) -> str:
        """The check's name."""
        return self.check.name


def contract(
    plugin: str,
    preset: str | None = None,
    changes: Sequence[str] = (),
    expected_failures: Mapping[str, str] | None = None,
) -> pytest.MarkDecorator:
    """Parametrise a test over the whole contract.

    ::

        @mmeval.testing.contract("my-model", expected_failures={"bf16": "the paper's loss needs float32 (eq. 7)"})
        def test_contract(check):
            check()

    Args:
        plugin: its name, or the path of a Python file.
        preset: one of its presets, by default its default.
        changes: ``"width=256"``, as ``--set`` takes them.
        expected_failures: check -> why the plugin can't keep it. A check that passes all the same fails the test.

    Raises:
        ValueError: no such check, or a failure that is expected without a reason.
    """
    import pytest

    expected = dict(expected_failures or {})
    for name, reason in expected.items():
        if name not in CHECKS:
            raise ValueError(f'expected_failures names "{name}", which is no check; there are {", ".join(CHECKS)}')
        if len(reason.strip()) < LEAST_REASON:
            raise ValueError(f'expected_failures["{name}"] needs a written reason, it has {reason!r}')
    examination = functools.cache(lambda: Examination(plugin, preset, changes))

    def case(check: Check) -> Any:  # noqa: ANN401 - pytest's type is private
        marks = [pytest.mark.xfail(reason=expected[check.name], strict=True)] if check.name in expected else []
        return pytest.param(BoundCheck(check, examination), id=check.name, marks=marks)

    return pytest.mark.parametrize("check", [case(check) for check in CHECKS.values()])

"""The contract as a pytest parametrisation, for the tests of plugin authors."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mmeval.testing.check import Check, Verdict
from mmeval.testing.runner import CHECKS, CheckRunner

if TYPE_CHECKING:
    import pytest

MIN_REASON_LENGTH = 10
"""Characters of the reason for an expected failure."""


class BoundCheck:
    """A check of one plugin; a test calls it without arguments."""

    def __init__(self, check: Check, runner: Callable[[], CheckRunner]) -> None:
        self.check, self._runner = check, runner

    def __call__(self) -> None:
        """Run the check; fail the test if it fails, skip the test if it does not apply."""
        import pytest

        result = self._runner().check(self.check)
        if result.verdict is Verdict.NOT_APPLICABLE:
            pytest.skip(f"{self.check.name}: {result.message}")
        if result.verdict is not Verdict.PASSED:
            raise AssertionError(
                f"{result.message}\nrule: {self.check.rule}\nif broken: {self.check.consequence}"
            ) from result.error

    def __repr__(self) -> str:
        """Return the check's name."""
        return self.check.name


def contract(
    plugin: str,
    preset: str | None = None,
    changes: Sequence[str] = (),
    expected_failures: Mapping[str, str] | None = None,
) -> pytest.MarkDecorator:
    """Return a pytest mark that runs a test for each check of the contract.

    ::

        @mmeval.testing.contract("my-model", expected_failures={"bf16": "the paper's loss needs float32 (eq. 7)"})
        def test_contract(check):
            check()

    Args:
        plugin: name of the plugin, or path of a Python file.
        preset: name of the preset, by default the plugin's default preset.
        changes: option changes in the form of ``--set``, such as ``"width=256"``.
        expected_failures: the reason why a check can't pass, by check. The test fails if such a check passes.

    Raises:
        ValueError: there is no such check, or an expected failure lacks a written reason.
    """
    import pytest

    expected = dict(expected_failures or {})
    for name, reason in expected.items():
        if name not in CHECKS:
            raise ValueError(
                f'expected_failures names "{name}", which is not a check; the checks are {", ".join(CHECKS)}'
            )
        if len(reason.strip()) < MIN_REASON_LENGTH:
            raise ValueError(f'expected_failures["{name}"] needs a written reason, it has {reason!r}')
    runner = functools.cache(lambda: CheckRunner(plugin, preset, changes))

    def case(check: Check) -> Any:  # noqa: ANN401 - pytest's type is private
        marks = [pytest.mark.xfail(reason=expected[check.name], strict=True)] if check.name in expected else []
        return pytest.param(BoundCheck(check, runner), id=check.name, marks=marks)

    return pytest.mark.parametrize("check", [case(check) for check in CHECKS.values()])

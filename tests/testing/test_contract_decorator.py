"""`mmeval.testing.contract` in the tests of a plugin author."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree as ET

import pytest

import mmeval.testing
from mmeval.testing import CHECKS

TESTS = """
import mmeval.testing


@mmeval.testing.contract({plain!r})
def test_plain(check: mmeval.testing.BoundCheck) -> None:
    check()


class TestInAClass:
    @mmeval.testing.contract({riddle!r}, expected_failures={{"documented-options": "the option is a riddle"}})
    def test_expected(self, check):
        check()


@mmeval.testing.contract({plain!r}, expected_failures={{"documented-options": "was once a riddle"}})
def test_outgrown(check):
    check()


@mmeval.testing.contract({riddle!r})
def test_failing(check):
    check()


@mmeval.testing.contract("embracent")
def test_absent(check):
    check()
"""


class Case(NamedTuple):
    """Outcome and message of one test."""

    outcome: str
    message: str
    text: str


@pytest.fixture(scope="module")
def _once() -> dict[str, dict[str, Case]]:
    return {}


@pytest.fixture
def cases(
    _once: dict[str, dict[str, Case]], plugin: Callable[[str], str], tmp_path: Path
) -> Mapping[str, dict[str, Case]]:
    """The cases of an author's tests by test and parameter; pytest runs once, in a new process."""
    if not _once:
        text = TESTS.format(plain=plugin("plain"), riddle=plugin("broken/documented_options"))
        (tmp_path / "test_author.py").write_text(text, encoding="utf-8")
        call = [sys.executable, "-m", "pytest", "-q", "-W", "error", "-p", "no:cacheprovider", "--rootdir", "."]
        # All checks of one plugin; of the others a check that needs no training.
        call += ["-k", "test_plain or documented-options", "--junitxml=cases.xml", "test_author.py"]
        done = subprocess.run(call, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 1, done.stdout + done.stderr
        for element in ET.parse(tmp_path / "cases.xml").iter("testcase"):
            name, _, parameter = element.attrib["name"].partition("[")
            _once.setdefault(name, {})[parameter.rstrip("]")] = _case(element)
    return _once


def _case(element: ET.Element) -> Case:
    for outcome in element:
        return Case(outcome.attrib.get("type") or outcome.tag, outcome.attrib.get("message", ""), outcome.text or "")
    return Case("passed", "", "")


def test_every_check_is_a_test_of_its_own(cases: Mapping[str, dict[str, Case]]) -> None:
    """The names show which checks pass; skipped ones say why they do not apply."""
    results = cases["test_plain"]
    assert list(results) == list(CHECKS)
    skipped = {name: case.message for name, case in results.items() if case.outcome == "pytest.skip"}
    assert skipped == {
        "missing-image": "missing-image: it doesn't use the image",
        "embedding": "embedding: it gives no embedding",
        "gradients": "gradients: not a torch model",
        "bf16": "bf16: not a torch model",
    }
    assert {case.outcome for name, case in results.items() if name not in skipped} == {"passed"}


def test_a_failure_says_what_is_wrong_and_why_it_matters(cases: Mapping[str, dict[str, Case]]) -> None:
    """The message explains the rule and the consequence of breaking it."""
    case = cases["test_failing"]["documented-options"]
    assert case.outcome == "failure"
    check = CHECKS["documented-options"]
    assert case.message == (
        f"AssertionError: options without a docstring: gamma\nrule: {check.rule}\nif broken: {check.consequence}"
    )


def test_an_expected_failure_is_reported_with_its_reason(cases: Mapping[str, dict[str, Case]]) -> None:
    """A model that can't follow a rule still passes its test suite, which states the reason."""
    case = cases["test_expected"]["documented-options"]
    assert (case.outcome, case.message) == ("pytest.xfail", "the option is a riddle")


def test_an_expected_failure_that_passes_fails_the_test(cases: Mapping[str, dict[str, Case]]) -> None:
    """An outdated reason would hide the next failure."""
    case = cases["test_outgrown"]["documented-options"]
    assert case.outcome == "failure"
    assert "[XPASS(strict)] was once a riddle" in case.message


def test_a_plugin_that_cannot_be_loaded_fails_by_its_name(cases: Mapping[str, dict[str, Case]]) -> None:
    case = cases["test_absent"]["documented-options"]
    assert case.outcome == "failure"
    assert 'No plugin is named "embracent". Did you mean "embracenet"?' in case.message


def test_collecting_loads_no_plugin() -> None:
    """A broken plugin must not stop the collection of an author's other tests."""
    mark = mmeval.testing.contract("no-such-plugin", preset="large", changes=("width=3",)).mark
    assert mark.args[0] == "check"
    assert [case.id for case in mark.args[1]] == list(CHECKS)
    assert [repr(case.values[0]) for case in mark.args[1]] == list(CHECKS)


@pytest.mark.parametrize("reason", ["", "  ", "later", "  later       "])
def test_a_failure_is_not_expected_without_a_reason(reason: str) -> None:
    """A mark without a reason is a rule switched off for good."""
    with pytest.raises(ValueError, match=r'^expected_failures\["bf16"\] needs a written reason, it has '):
        mmeval.testing.contract("sound", expected_failures={"bf16": reason})


def test_a_failure_of_an_unknown_check_is_not_expected() -> None:
    """A misspelt name would excuse nothing, and say nothing."""
    with pytest.raises(ValueError, match=r'^expected_failures names "bf61", which is not a check; the checks are meta'):
        mmeval.testing.contract("sound", expected_failures={"bf61": "the loss needs float32 (equation 7)"})

"""Fixtures for publications: a finished run, and the stand-in for the Hub with the user's token."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from mmeval.record import Record
from mmeval.runs.folder import RunFolder
from tests.hub import TOKEN, HubServer, hub
from tests.runs.conftest import ask, even, finished, manager_with  # noqa: F401 - fixtures


@pytest.fixture
def server() -> Iterator[HubServer]:
    with hub({}, token=TOKEN) as server:
        yield server


@pytest.fixture
def rewrite(finished: RunFolder) -> Callable[..., RunFolder]:  # noqa: F811
    """Return a function that changes fields of the run's record, and its report with them."""

    def change(**fields: object) -> RunFolder:
        from mmeval.runs.scoring import write_report

        record: Record = finished.record.model_copy(update=fields)
        write_report(finished, record)
        finished.write_json(finished.plan_file, record.plan.model_dump(mode="json"))
        finished.finish(record, [finished.plan_file, finished.report_path, finished.readme_file])
        return finished

    return change

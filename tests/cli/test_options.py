"""The data-set options that commands share."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated, Any

import pytest
import typer
from typer.testing import CliRunner

from mmeval.cli.options import DATASETS, OPTION, TABLES, takes_dataset
from mmeval.data.request import DatasetRequest

SHARED = {"--source", "--allow-mismatch", "--columns", "--language", "--images", "--encoding"}
EMOJI14 = DatasetRequest("emoji14")
RECEIVED: dict[str, Any] = {}
"""Arguments of the last command."""


@takes_dataset()
def with_argument(dataset: DatasetRequest, count: Annotated[int, typer.Option(help="How many.")] = 3) -> None:
    """A command with the name as its argument."""
    RECEIVED.update(dataset=dataset, count=count)


@takes_dataset(OPTION, default="emoji14")
def with_option(dataset: DatasetRequest = EMOJI14, name: str = "x") -> None:
    """A command with the name as an option."""
    RECEIVED.update(dataset=dataset, name=name)


@pytest.fixture(autouse=True)
def forget() -> None:
    RECEIVED.clear()


def call(command: Any, *words: str) -> Any:
    app = typer.Typer()
    app.command()(command)
    return CliRunner().invoke(app, words, env={"COLUMNS": "120"})


@pytest.mark.parametrize(("command", "own"), [(with_argument, "--count"), (with_option, "--dataset")])
def test_help_shows_the_shared_options_and_those_of_the_command(command: Any, own: str) -> None:
    shown = call(command, "--help").output
    assert {*SHARED, own} <= {*shown.split()}
    assert DATASETS in shown
    assert TABLES in shown


def test_every_field_of_a_request_is_an_option() -> None:
    """A field without an option couldn't be set from the command line."""
    fields = {field.name for field in dataclasses.fields(DatasetRequest)} - {"name"}
    assert {f"--{name.replace('_', '-')}" for name in fields} == SHARED


@pytest.mark.parametrize(
    ("command", "words"),
    [(with_argument, ["table:shop.csv", "--count", "5"]), (with_option, ["--dataset", "table:shop.csv"])],
)
def test_values_reach_the_command_as_a_request(command: Any, words: list[str]) -> None:
    options = ["--source", "a.zip", "--allow-mismatch", "--columns", "text=title", "--language", "de"]
    result = call(command, *words, *options, "--images", "photos", "--encoding", "cp1250")
    assert result.exit_code == 0
    assert RECEIVED["dataset"] == DatasetRequest(
        "table:shop.csv",
        source=Path("a.zip"),
        allow_mismatch=True,
        columns="text=title",
        language="de",
        images=Path("photos"),
        encoding="cp1250",
    )
    assert RECEIVED.get("count", 5) == 5


def test_without_options_the_request_has_the_default_values() -> None:
    assert call(with_argument, "emoji14").exit_code == 0
    assert {"dataset": EMOJI14, "count": 3} == RECEIVED


def test_a_default_name_is_used_if_the_user_gives_none() -> None:
    assert call(with_option).exit_code == 0
    assert {"dataset": EMOJI14, "name": "x"} == RECEIVED


def test_a_name_without_a_default_is_required() -> None:
    result = call(with_argument)
    assert result.exit_code == 2
    assert RECEIVED == {}

"""Requests for runs, and the equivalent command line, which every report shows."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mmeval import UserError
from mmeval.data.request import DatasetRequest
from mmeval.protocol import Inputs
from mmeval.runs.request import Request, inputs_of

BOTH, TEXT, IMAGE = ("text", "image"), ("text",), ("image",)
words = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=8)
requests = st.builds(
    Request,
    plugin=words,
    dataset=st.builds(DatasetRequest, words),
    preset=st.none() | words,
    changes=st.lists(words).map(tuple),
    inputs=st.none() | st.sampled_from([inputs for inputs in Inputs if inputs is not Inputs.UNKNOWN]),
    device=words,
    seed=st.integers(0, 9),
    seeds=st.integers(1, 9),
    limit=st.none() | st.integers(1, 99),
    metrics=st.lists(words).map(tuple),
)


@pytest.fixture
def parse(command: Callable[..., int], monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Request]:
    """Return a function that parses a command line and returns its request."""
    requests: list[Request] = []

    def run(request: Request) -> None:
        requests.append(request)
        raise UserError("stop here")

    monkeypatch.setattr("mmeval.runs.pipeline.run", run)

    def parse(line: str) -> Request:
        program, *rest = shlex.split(line)
        assert program == "mmeval"
        assert command(*rest) == UserError.exit_code
        return requests.pop()

    return parse


def test_no_options_give_the_default_request(parse: Callable[[str], Request]) -> None:
    assert parse("mmeval run") == Request()
    assert Request().command() == "mmeval run --plugin embracenet --dataset emoji14"


def test_the_command_has_the_options_of_a_table(parse: Callable[[str], Request]) -> None:
    request = Request(
        dataset=DatasetRequest("table:a.csv", columns="label=b", language="de", images=Path("p"), encoding="cp1250")
    )
    line = (
        "mmeval run --plugin embracenet --dataset table:a.csv --columns label=b --language de --images p "
        "--encoding cp1250"
    )
    assert request.command() == line
    assert parse(line) == request


def test_the_command_has_every_option(parse: Callable[[str], Request]) -> None:
    """Options are in a readable order, and quoted where a shell needs it."""
    request = Request(
        plugin="./my model.py",
        dataset=DatasetRequest("./data.py"),
        preset="paper",
        changes=("width=3", 'weights={"en": 1}'),
        inputs=Inputs.TEXT,
        device="cuda:1",
        seed=3,
        seeds=2,
        limit=50,
        metrics=("brier", "./m.py"),
    )
    line = (
        "mmeval run --plugin './my model.py' --dataset ./data.py --preset paper --set width=3 "
        "--set 'weights={\"en\": 1}' --inputs text --metric brier --metric ./m.py --seed 3 --seeds 2 --limit 50 "
        "--device cuda:1"
    )
    assert request.command() == line
    assert parse(line) == request
    assert parse(f"{line} --output runs/mine").output == Path("runs/mine")


@given(requests)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_command_gives_the_same_request(parse: Callable[[str], Request], request: Request) -> None:
    """A user who copies the command from a report must get the same run."""
    assert parse(request.command()) == request


@pytest.mark.parametrize(
    ("uses", "inputs"),
    [(TEXT, Inputs.TEXT), (IMAGE, Inputs.IMAGE), (BOTH, Inputs.IMAGE_TEXT), (BOTH[::-1], Inputs.IMAGE_TEXT)],
)
def test_a_model_gets_all_inputs_that_it_uses(uses: tuple[str, ...], inputs: Inputs) -> None:
    """A text model needs no --inputs text, and its scores are not labelled image+text."""
    spec = SimpleNamespace(name="x", inputs=uses)
    assert inputs_of(spec, None) is inputs
    assert inputs_of(spec, inputs) is inputs


@pytest.mark.parametrize("requested", [Inputs.IMAGE, Inputs.TEXT])
def test_a_multimodal_model_may_get_one_modality(requested: Inputs) -> None:
    assert inputs_of(SimpleNamespace(name="x", inputs=BOTH), requested) is requested


@pytest.mark.parametrize(
    ("uses", "requested", "expected"),
    [
        (TEXT, Inputs.IMAGE, "--inputs image: x uses text only; leave --inputs out."),
        (TEXT, Inputs.IMAGE_TEXT, "--inputs image+text: x uses text only; leave --inputs out."),
        (IMAGE, Inputs.TEXT, "--inputs text: x uses image only; leave --inputs out."),
    ],
)
def test_inputs_that_a_model_does_not_use_are_refused(uses: tuple[str, ...], requested: Inputs, expected: str) -> None:
    """Otherwise a table would claim that a text model uses images."""
    with pytest.raises(UserError) as caught:
        inputs_of(SimpleNamespace(name="x", inputs=uses), requested)
    assert str(caught.value) == expected

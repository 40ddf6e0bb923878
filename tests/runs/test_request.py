"""What a user asks for, and the command line that asks for the same: it stands in every report."""

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
    inputs=st.none() | st.sampled_from(Inputs),
    device=words,
    seed=st.integers(0, 9),
    seeds=st.integers(1, 9),
    limit=st.none() | st.integers(1, 99),
    metrics=st.lists(words).map(tuple),
)


@pytest.fixture
def asked(command: Callable[..., int], monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Request]:
    """Types a command line; gives what it asks for."""
    seen: list[Request] = []

    def walk(request: Request) -> None:
        seen.append(request)
        raise UserError("far enough")

    monkeypatch.setattr("mmeval.runs.pipeline.run", walk)

    def of(line: str) -> Request:
        program, *rest = shlex.split(line)
        assert program == "mmeval"
        assert command(*rest) == UserError.exit_code
        return seen.pop()

    return of


def test_nothing_said_is_the_default(asked: Callable[[str], Request]) -> None:
    assert asked("mmeval run") == Request()
    assert Request().command() == "mmeval run --plugin embracenet --dataset emoji14"


def test_the_options_of_a_table_stand_in_the_command(asked: Callable[[str], Request]) -> None:
    request = Request(
        dataset=DatasetRequest("table:a.csv", columns="label=b", language="de", images=Path("p"), encoding="cp1250")
    )
    line = (
        "mmeval run --plugin embracenet --dataset table:a.csv --columns label=b --language de --images p "
        "--encoding cp1250"
    )
    assert request.command() == line
    assert asked(line) == request


def test_every_option_stands_in_the_command(asked: Callable[[str], Request]) -> None:
    """In an order that can be read, and with quotes where a shell needs them."""
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
    assert asked(line) == request
    assert asked(f"{line} --output runs/mine").output == Path("runs/mine")


@given(requests)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_command_asks_for_the_same(asked: Callable[[str], Request], request: Request) -> None:
    """Whoever copies it out of a report must not get another run."""
    assert asked(request.command()) == request


@pytest.mark.parametrize(
    ("uses", "shown"),
    [(TEXT, Inputs.TEXT), (IMAGE, Inputs.IMAGE), (BOTH, Inputs.IMAGE_TEXT), (BOTH[::-1], Inputs.IMAGE_TEXT)],
)
def test_a_model_is_shown_all_that_it_uses(uses: tuple[str, ...], shown: Inputs) -> None:
    """A model of texts needs no --inputs text, and has no score of images that it never saw."""
    spec = SimpleNamespace(name="x", inputs=uses)
    assert inputs_of(spec, None) is shown
    assert inputs_of(spec, shown) is shown


@pytest.mark.parametrize("asked_for", [Inputs.IMAGE, Inputs.TEXT])
def test_a_model_of_both_may_be_shown_one(asked_for: Inputs) -> None:
    assert inputs_of(SimpleNamespace(name="x", inputs=BOTH), asked_for) is asked_for


@pytest.mark.parametrize(
    ("uses", "wanted", "said"),
    [
        (TEXT, Inputs.IMAGE, "--inputs image: x uses text only; leave --inputs out."),
        (TEXT, Inputs.IMAGE_TEXT, "--inputs image+text: x uses text only; leave --inputs out."),
        (IMAGE, Inputs.TEXT, "--inputs text: x uses image only; leave --inputs out."),
    ],
)
def test_what_a_model_does_not_use_is_not_shown(uses: tuple[str, ...], wanted: Inputs, said: str) -> None:
    """Else a table would say of a model of texts that it saw images."""
    with pytest.raises(UserError) as caught:
        inputs_of(SimpleNamespace(name="x", inputs=uses), wanted)
    assert str(caught.value) == said

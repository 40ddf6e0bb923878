"""The protocol and its signature, whose format must not change by accident: users paste it under their tables."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from mmeval import __version__
from mmeval.protocol import Inputs, Protocol

FINGERPRINT = "1a2b3c4d" + "0" * 56


def test_the_signature_names_everything_that_must_agree() -> None:
    protocol = Protocol(dataset="emoji14", fingerprint=FINGERPRINT, seeds=(0, 1, 2))
    expected = (
        f"emoji14:1a2b3c4d|test|image+text|labels:all|track:standard-1|seeds:3|mmeval:{__version__}|embracenet:0.1.0"
    )
    assert protocol.signature("embracenet", "0.1.0") == expected


def test_the_signature_of_a_limited_run_shows_the_limit() -> None:
    complete = Protocol(dataset="d", fingerprint=FINGERPRINT, inputs=Inputs.TEXT, track="paper")
    limited = complete.model_copy(update={"limit": 50})
    assert "limit:" not in complete.signature("m", "1")
    assert limited.signature("m", "1") == (
        f"d:1a2b3c4d|test|text|labels:all|track:paper|seeds:1|limit:50|mmeval:{__version__}|m:1"
    )


@pytest.mark.parametrize("wrong", [{"seeds": ()}, {"limit": 0}, {"inputs": "audio"}, {"shots": 5}])
def test_an_invalid_protocol_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Protocol(dataset="d", fingerprint=FINGERPRINT, **wrong)


def test_a_protocol_round_trips_through_json() -> None:
    protocol = Protocol(dataset="d", fingerprint=FINGERPRINT, inputs=Inputs.IMAGE, seeds=(3, 4), limit=7)
    assert Protocol.model_validate_json(protocol.model_dump_json()) == protocol


@pytest.mark.parametrize(
    ("inputs", "image", "text"),
    [(Inputs.IMAGE_TEXT, True, True), (Inputs.IMAGE, True, False), (Inputs.TEXT, False, True)],
)
def test_inputs_tell_whether_images_and_texts_are_used(inputs: Inputs, image: bool, text: bool) -> None:
    assert (inputs.image, inputs.text) == (image, text)

"""Train, publish to the stand-in for the Hub, load in an empty home, predict: identical."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

import mmeval
from mmeval.publish.hub import upload
from mmeval.publish.run import RunRequest, stage_run
from mmeval.runs.folder import RunFolder
from tests.hub import HubServer

NAME = "owner/thing"


@pytest.fixture
def rows(tmp_path: Path) -> list[dict[str, str]]:
    """New rows in several languages, with a missing image, a missing text and an unknown language."""
    for name, colour in (("red", (200, 30, 30)), ("blue", (40, 60, 210))):
        Image.new("RGB", (32, 32), colour).save(tmp_path / f"{name}.png")
    return [
        {"id": "1", "text": "rot dark", "language": "de", "image": str(tmp_path / "red.png")},
        {"id": "2", "text": "blue light", "language": "en", "image": ""},
        {"id": "3", "text": "", "language": "ja", "image": str(tmp_path / "blue.png")},
        {"id": "4", "text": "bleu", "language": "fr", "image": str(tmp_path / "blue.png")},
    ]


def test_a_pulled_model_predicts_the_same_in_an_empty_home(
    server: HubServer,
    finished: RunFolder,
    rows: list[dict[str, str]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With the same calibration, for each seed, and for their mean."""
    own = [mmeval.load(finished, seed=seed).predict(rows) for seed in (0, 1)]
    mean = mmeval.load(finished, ensemble=True).predict(rows)
    upload(stage_run(RunRequest(finished.path, NAME)).tree, NAME, "mmeval: a run")
    monkeypatch.setenv("MMEVAL_HOME", str(tmp_path / "empty-home"))
    for seed in (0, 1):
        model = mmeval.load(NAME, seed=seed)
        assert model.calibrated
        assert model.predict(rows).equals(own[seed])
    assert mmeval.load(NAME, ensemble=True).predict(rows).equals(mean)
    row = {"image": rows[0]["image"], "text": "rot dark", "language": "de"}
    ours, theirs = (mmeval.load(run, seed=0).predict_one(**row) for run in (finished, NAME))
    assert ours == theirs

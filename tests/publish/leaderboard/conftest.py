"""Finished runs for leaderboards: two data sets, three tasks, a text model, and predictions of another tool."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mmeval.console import quiet
from mmeval.record import Efficiency
from tests.comparison.run_folders import CLASSES, examples, guesses, write_run

HOSTILE = '<script>alert(1)</script>|=cmd()\u202e"../../x'
"""A name that would be markup, a formula, a separator, a reversal of the line, and a path."""


def cost(parameters: int, seconds: float) -> Efficiency:
    return Efficiency(parameters=parameters, trained_parameters=parameters // 10, device_seconds=seconds)


def external(table: dict[str, Any], path: Path, accuracy: float, seed: int) -> Path:
    """Score a CSV file of predicted labels."""
    from mmeval import score_predictions

    predicted = guesses(table["true"], accuracy, seed)
    columns = {
        "id": table["id"],
        "language": table["language"],
        "true": [CLASSES[label] for label in table["true"]],
        "predicted": [CLASSES[label] for label in predicted],
    }
    return score_predictions(columns, output=path, name="api", task="item").path


@pytest.fixture(scope="session")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with run folders at several depths; no test writes into it."""
    root = tmp_path_factory.mktemp("home") / "runs"
    shop, market = examples(240), examples(240, ("de", "fr"), seed=5)
    tasks = ("brand", "colour")
    with quiet():
        for name, accuracy, seeds, size in (
            ("late-fusion", 0.9, (0, 1), cost(122_000_000, 400)),
            ("clip", 0.65, (0,), cost(121_000_000, 40)),
            ("embracenet", 0.65, (0,), cost(12_000_000, 80)),
        ):
            predicted = {seed: guesses(shop["true"], accuracy, seed + len(name) + 2) for seed in seeds}
            write_run(root / "bench" / name, shop, predicted, efficiency=size, more_tasks=tasks, scored=True)
        write_run(root / "words", shop, {0: guesses(shop["true"], 0.5, 7)}, inputs="text", scored=True)
        market_facts = {"dataset": HOSTILE, "fingerprint": "1" * 64}
        write_run(
            root / HOSTILE.replace("/", "_"), market, {0: guesses(market["true"], 0.7, 8)}, scored=True, **market_facts
        )
        external(shop, root / "api", 0.6, 9)
    return root

"""Plans and records: differences between plans, round trip, and validation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from mmeval.protocol import Protocol
from mmeval.record import Plan, PluginRecord, Record
from mmeval.runs.folder import RunFolder


def plan(config: dict[str, Any] | None = None, **changes: Any) -> Plan:
    facts: dict[str, Any] = {
        "signature": "d:12345678|test",
        "protocol": Protocol(dataset="d", fingerprint="1" * 64, seeds=(0, 1)),
        "plugin": PluginRecord(name="m", version="1", paper="none", licence="MIT"),
        "preset": "tiny",
        "config": {"width": 256, "recipe": {"epochs": 3}} if config is None else config,
    }
    return Plan(**facts | changes)


def record(**changes: Any) -> Record:
    facts: dict[str, Any] = {
        "name": "run",
        "plan": plan(),
        "data": {"name": "d"},
        "seeds": {"0": {"seconds": 1.5}, "1": {"seconds": 1.5, "epochs": 3, "best_epoch": 2, "mood": "good"}},
        "versions": {"python": "3.11"},
        "device": "CPU",
        "started": "2026-01-01T00:00:00+00:00",
        "wall_seconds": 2.0,
        "device_seconds": 1.5,
        "peak_memory_bytes": None,
        "git_commit": None,
        "command": "mmeval run",
        "plugin": "m",
    }
    return Record(**facts | changes)


def test_equal_plans_do_not_differ() -> None:
    assert plan().difference(plan()) is None
    assert plan().difference(Plan.model_validate_json(plan().model_dump_json())) is None


def test_the_signature_is_the_first_difference() -> None:
    other = plan({"width": 1}, signature="other")
    assert plan().difference(other) == "its signature is other, not d:12345678|test"


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        (plan({"width": 512, "recipe": {"epochs": 3}}), "its config.width is 512, not 256"),
        (plan({"width": 256, "recipe": {"epochs": 9}}), "its config.recipe.epochs is 9, not 3"),
        (plan({"width": 9, "recipe": {"epochs": 9}}), "its config.recipe.epochs is 9, not 3"),
        (plan({"recipe": {"epochs": 3}}), "its config.width is None, not 256"),
        (plan(preset="paper"), "its preset is paper, not tiny"),
    ],
)
def test_the_first_difference_is_named_with_both_values(other: Plan, expected: str) -> None:
    assert plan().difference(other) == expected


def test_different_seeds_differ_although_the_signature_has_only_their_number() -> None:
    other = plan(protocol=Protocol(dataset="d", fingerprint="1" * 64, seeds=(0, 2)))
    assert plan().difference(other) == "its protocol.seeds is [0, 2], not [0, 1]"


def test_a_record_round_trips_through_json() -> None:
    assert Record.model_validate_json(record().model_dump_json()) == record()


def test_a_record_with_unknown_or_missing_fields_is_refused() -> None:
    for wrong in ({"schema_version": 3}, {"mood": "good"}, {"plan": {"signature": "only"}}):
        with pytest.raises(ValidationError):
            Record.model_validate(record().model_dump() | wrong)


def test_a_record_is_frozen() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        record().name = "better"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seeds": {"0": {"epochs": 3}, "1": {"seconds": 1}}}, "seconds"),
        (
            {"seeds": {"0": {"seconds": 1, "best_epoch": 3}, "1": {"seconds": 1}}},
            "best_epoch is set, but epochs is not",
        ),
        ({"seeds": {"0": {"seconds": 1}}}, "the seeds differ from the plan's"),
        ({"data": {"name": "d", "summary": ["a"]}}, "summary"),
        ({"files": {"../elsewhere": {"sha256": "0" * 64, "bytes": 1}}}, "not a path inside the run folder"),
        ({"files": {"/etc/passwd": {"sha256": "0" * 64, "bytes": 1}}}, "not a path inside the run folder"),
        ({"files": {"a": {"sha256": "0" * 63, "bytes": 1}}}, "sha256"),
        ({"schema_version": 1, "seal": "0" * 64}, "schema 1 has neither files nor a seal"),
    ],
)
def test_an_inconsistent_record_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Record.model_validate(record().model_dump() | change)


@pytest.mark.parametrize("seeds", [(-1,), (2**32,), tuple(range(100_000)), ()])
def test_training_seeds_are_bounded(seeds: tuple[int, ...]) -> None:
    """A record claimed a hundred thousand seeds, or the seed -1."""
    with pytest.raises(ValidationError, match="seeds"):
        Protocol(dataset="d", fingerprint="1" * 64, seeds=seeds)


def test_options_that_were_renamed_are_read_under_their_current_names() -> None:
    """A run folder of an older version is compared with a plan of this one, option by option."""
    old = {
        "width": 3,
        "recipe": {"accumulate": 2, "clip_norm": 1.0, "warmup": 0.1, "epochs": 3},
        "image_tuning": {"rate": 0.1, "frozen": True},
        "rate": 5,
    }
    assert plan(old).config == {
        "width": 3,
        "recipe": {"gradient_accumulation_steps": 2, "max_grad_norm": 1.0, "warmup_ratio": 0.1, "epochs": 3},
        "image_tuning": {"lr_multiplier": 0.1, "frozen": True},
        "rate": 5,
    }


def test_a_run_folder_of_schema_1_is_read_with_current_names() -> None:
    folder = RunFolder(Path(__file__).parent / "runs" / "schema_1")
    recipe = folder.record.plan.config["recipe"]
    assert recipe.keys() >= {"gradient_accumulation_steps", "max_grad_norm", "warmup_ratio"}
    assert not recipe.keys() & {"accumulate", "clip_norm", "warmup"}
    assert folder.predictions().num_rows > 0

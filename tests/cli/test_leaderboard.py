"""``mmeval leaderboard``: what it prints, and its exit status."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.comparison.run_folders import examples, guesses, write_run


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    table = examples(120)
    for seed, name in enumerate(("clip", "mmbt")):
        write_run(tmp_path / "runs" / name, table, {0: guesses(table["true"], 0.7, seed)}, scored=True)
    return tmp_path / "runs"


def test_it_names_the_tables_and_the_site(
    command: Callable[..., int], runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command("leaderboard", runs, "--output", tmp_path / "site", "--title", "Our shop") == 0
    out = capsys.readouterr().out
    assert "shop, image+text, standard-1: 2 runs" in out
    assert f"Site: {tmp_path / 'site' / 'index.html'}" in out
    assert "<title>Our shop</title>" in (tmp_path / "site" / "index.html").read_text(encoding="utf-8")


def test_a_run_that_is_left_out_is_named_on_standard_error(
    command: Callable[..., int], runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (runs / "mmbt" / "scores.parquet").write_bytes(b"damaged")
    assert command("leaderboard", runs, "--output", tmp_path / "site") == 0
    captured = capsys.readouterr()
    assert "mmbt is left out" in captured.err
    assert "1 run" in captured.out
    assert "mmbt is left out" in (tmp_path / "site" / "index.html").read_text(encoding="utf-8")


def test_no_run_is_an_error(command: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command("leaderboard", tmp_path / "nothing", "--output", tmp_path / "site") == 2
    assert "there is no such folder" in capsys.readouterr().err
    assert not (tmp_path / "site").exists()

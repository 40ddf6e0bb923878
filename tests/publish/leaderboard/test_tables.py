"""Which runs of a leaderboard share a table."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from mmeval.errors import UserError
from mmeval.publish.leaderboard.runs import collect, slug, slugs
from mmeval.publish.leaderboard.tables import Table, tables
from mmeval.publish.leaderboard.views import labels_of
from tests.comparison.run_folders import examples, guesses, write_run


def names(table: Table, task: int = 0) -> list[str]:
    return [entry.model for entry in table.tasks[task].entries]


def test_only_runs_of_one_protocol_share_a_table(runs: Path) -> None:
    entries, left_out = collect([runs])
    compared, not_compared = tables(entries)
    assert left_out == not_compared == []
    shop = [table for table in compared if table.protocol.dataset == "shop"]
    assert {(table.protocol.inputs.value, len(table.entries)) for table in shop} == {("image+text", 4), ("text", 2)}
    assert len(compared) == 3


def test_predictions_of_another_tool_take_part_where_their_rows_agree(runs: Path) -> None:
    compared, _ = tables(collect([runs])[0])
    with_tool = [table for table in compared if any(entry.is_external for entry in table.entries)]
    assert [table.protocol.dataset for table in with_tool] == ["shop", "shop"]
    item, brand, _ = with_tool[0].tasks
    assert "api" in names(with_tool[0])
    assert [entry.model for entry in brand.entries if entry.is_external] == []
    assert item.left_out == []
    assert brand.left_out[0].startswith("api takes no part in brand: ")


def test_paired_tests_give_ranks_and_groups_in_every_task_and_language(runs: Path) -> None:
    table = next(table for table in tables(collect([runs / "bench"])[0])[0])
    assert [task.task for task in table.tasks] == ["item", "brand", "colour"]
    for task in table.tasks:
        first, second, third = (task.places[entry.digest] for entry in task.entries)
        assert (first.rank, first.letters) == ((1, 1), "a")
        assert second.rank == third.rank == (2, 3)
        assert second.letters == third.letters == "b"
        assert set(task.by_language) == {"de", "et", "sl"}


def test_a_damaged_run_is_left_out_with_a_sentence(runs: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(runs / "bench", tmp_path / "bench")
    for name, file in (("clip", "scores.parquet"), ("embracenet", "predictions/seed-0.parquet")):
        with (copy / name / file).open("ab") as damaged:
            damaged.write(b"x")
    (copy / "started").mkdir()
    (copy / "started" / "plan.json").write_bytes((copy / "clip" / "run.json").read_bytes())
    entries, left_out = collect([copy])
    compared, not_compared = tables(entries)
    assert [names(table) for table in compared] == [["late-fusion"]]
    assert len(left_out) == 2
    assert "clip is left out: scores.parquet (was changed)" in left_out[0]
    assert left_out[1].startswith("started is left out: ")
    assert len(not_compared) == 1
    assert not_compared[0].startswith("embracenet is left out: embracenet: predictions/seed-0.parquet (was changed)")
    assert str(tmp_path) not in " ".join([*left_out, *not_compared])


def test_a_copy_of_a_run_counts_once(runs: Path, tmp_path: Path) -> None:
    shutil.copytree(runs / "bench" / "clip", tmp_path / "copy")
    entries, left_out = collect([runs / "bench", tmp_path, runs / "bench" / "clip"])
    assert len(entries) == 3
    assert left_out in (["copy is left out: it is a copy of clip."], ["clip is left out: it is a copy of copy."])


def test_runs_of_other_rows_do_not_share_a_table(tmp_path: Path) -> None:
    """A record may name the same fingerprint; the rows decide."""
    for name, rows in (("a", 200), ("b", 190)):
        table = examples(rows)
        write_run(tmp_path / name, table, {0: guesses(table["true"], 0.6, 1)}, scored=True)
    compared, left_out = tables(collect([tmp_path])[0])
    assert [names(table) for table in compared] == [["a"]]
    assert "b is left out: b has other rows than a" in left_out[0]


def test_a_path_without_runs_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="contains no run"):
        collect([tmp_path])
    (tmp_path / "file").write_text("x")
    with pytest.raises(UserError, match="this is a file"):
        collect([tmp_path / "file"])
    with pytest.raises(UserError, match="there is no such folder"):
        collect([tmp_path / "nothing"])


def test_files_beside_runs_are_passed_over(tmp_path: Path) -> None:
    """`mmeval leaderboard runs/*` names the table of a bench, too."""
    table = examples(60)
    write_run(tmp_path / "clip", table, {0: guesses(table["true"], 0.9, 1)}, model="clip", scored=True)
    (tmp_path / "README.md").write_text("# bench")
    entries, left_out = collect(sorted(tmp_path.iterdir()))
    assert ([entry.name for entry in entries], left_out) == (["clip"], [])


def test_a_model_that_a_table_has_several_times_is_named_with_its_run(tmp_path: Path) -> None:
    table = examples(200)
    for name, accuracy in (("x/big", 0.9), ("x/small", 0.6), ("y/small", 0.5)):
        write_run(tmp_path / name, table, {0: guesses(table["true"], accuracy, 1)}, model="clip", scored=True)
    entries, _ = collect([tmp_path])
    labels = sorted(labels_of(entries).values())
    assert labels[0] == "clip (big)"
    assert labels[1].startswith("clip (small, ")
    assert len(set(labels)) == 3


def test_file_names_are_safe_and_differ() -> None:
    texts = ["emoji14", "A b", "a-b", "a:b", "con", "../x", "日本", "", "-", "x" * 200]
    files = slugs(texts)
    assert len(set(files.values())) == len(texts)
    assert all(slug(file) in (file, file[:60].strip("-")) for file in files.values())
    assert files["emoji14"] == "emoji14"
    assert files["con"].startswith("con-")

"""`--hierarchy`: paths of classes from taxonomy files and data cards, in runs and later calls of `mmeval score`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest

import mmeval
from mmeval import DatasetSpec, Task, UserError
from mmeval.data.card import cards_folder
from mmeval.runs.folder import RunFolder
from mmeval.runs.hierarchies import hierarchies_of_card, hierarchies_of_files

Command = Callable[..., int]
COLOUR, SHADE = Task("colour", ("red", "blue", "green")), Task("shade", ("light", "dark"))
TREE = "warm > red\ncold > blue\ncold > green\n"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    path = tmp_path / "colours.txt"
    path.write_text(TREE)
    return path


def test_a_file_alone_belongs_to_the_only_task(tree: Path) -> None:
    expected = {"red": ["warm", "red"], "blue": ["cold", "blue"], "green": ["cold", "green"]}
    assert hierarchies_of_files([str(tree)], [COLOUR]) == {"colour": expected}
    assert hierarchies_of_files([f"colour={tree}"], [COLOUR, SHADE]) == {"colour": expected}
    assert hierarchies_of_files([], [COLOUR, SHADE]) == {}


def test_a_file_may_have_an_equals_sign_in_its_name(tmp_path: Path) -> None:
    path = tmp_path / "a=b.txt"
    path.write_text(TREE)
    assert list(hierarchies_of_files([str(path)], [COLOUR])) == ["colour"]


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["{tree}"], r"--hierarchy .*colours\.txt: write TASK=.*colours\.txt; the tasks are colour, shade\."),
        (["hue={tree}"], r'--hierarchy hue=.*: there is no task "hue"; the tasks are colour, shade\.'),
        (["colour={tree}", "colour={tree}"], r"colour has a hierarchy already; give one file per task\."),
        (["colour=none.txt"], r"There is no taxonomy file none\.txt\."),
        (["shade={tree}"], r'has no line for the class "light" and 1 other class of shade'),
    ],
)
def test_options_that_can_not_be_met_are_refused(tree: Path, options: list[str], complaint: str) -> None:
    with pytest.raises(UserError, match=complaint):
        hierarchies_of_files([option.format(tree=tree) for option in options], [COLOUR, SHADE])


def test_the_data_card_gives_paths(tmp_path: Path) -> None:
    card = cards_folder() / "emoji14.md"
    spec = DatasetSpec(name="x", summary="-", card=card, source=lambda: None)
    tasks = [Task("subgroup", ("cat-face", "lock")), Task("group", ("Objects",))]
    assert hierarchies_of_card(spec, tasks) == {
        "subgroup": {"cat-face": ["Smileys & Emotion", "cat-face"], "lock": ["Objects", "lock"]}
    }
    assert hierarchies_of_card(spec, [Task("subgroup", ("cat-face", "spaceship"))]) == {}
    assert hierarchies_of_card(spec.model_copy(update={"card": None}), tasks) == {}


def hierarchical(folder: RunFolder) -> set[str]:
    rows = pq.read_table(folder.scores_file).to_pylist()
    return {row["task"] for row in rows if row["metric"] in ("hierarchical_f1", "accuracy_level_1", "tree_distance")}


def test_a_run_keeps_its_hierarchy_and_score_may_change_it(
    installed: None, even: Path, command: Command, tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = RunFolder(tmp_path / "run")
    words = ["run", "--plugin", even, "--dataset", "colours", "--device", "cpu", "--output", folder.path]
    assert command(*words) == 0
    assert hierarchical(folder) == set()
    assert command(*words, "--hierarchy", f"colour={tree}") == 2
    expected = (
        f"was not scored with this hierarchy; run `mmeval score {folder.path} --hierarchy colour={tree}` to add it."
    )
    assert expected in capsys.readouterr().err
    assert command("score", folder.path, "--hierarchy", f"colour={tree}") == 0
    assert folder.record.hierarchies["colour"]["blue"] == ["cold", "blue"]
    tree.unlink()
    assert command("score", folder.path) == 0
    assert hierarchical(folder) == {"colour"}


def test_python_takes_a_file_or_one_per_task(installed: None, even: Path, tree: Path, tmp_path: Path) -> None:
    folder = mmeval.run(even, "colours", device="cpu", output=tmp_path / "run", hierarchy={"colour": tree})
    assert hierarchical(folder) == {"colour"}
    assert f" --hierarchy colour={tree}" in folder.record.command
    tree.unlink()
    again = mmeval.repeat(folder, plugin=even, output=tmp_path / "again")
    assert again.record.hierarchies == folder.record.hierarchies, "a repeated run takes the recorded paths"

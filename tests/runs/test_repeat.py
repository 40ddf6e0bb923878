"""Repeating a run from its record: the same predictions, or a sentence about the reason why not."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import mmeval
from mmeval.data.request import DatasetRequest
from mmeval.errors import PluginError, RunFolderError, UserError
from mmeval.integrity import with_seal
from mmeval.plugin.manager import Manager
from mmeval.protocol import Inputs
from mmeval.record import DatasetOptions, Environment
from mmeval.runs import pipeline
from mmeval.runs.folder import RunFolder
from mmeval.runs.pipeline import repeat, run
from mmeval.runs.repeat import Named, request_of, require_same
from mmeval.runs.request import Request
from mmeval.runs.scoring import ScoringPlugins, score_again

Ask = Callable[..., Request]
ManagerWith = Callable[..., Manager]
Command = Callable[..., int]
Capture = pytest.CaptureFixture[str]
METRIC = """import mmeval


@mmeval.hookimpl
def register_metrics(register):
    register(mmeval.MetricSpec(name="truth", summary="s", per_example=lambda labels, p: p.max(1).astype(float)))
"""


def edit(folder: RunFolder, **changes: Any) -> None:
    """Change fields of ``run.json``; a name with dots is a field inside a field."""
    data = json.loads(folder.record_file.read_text())
    for name, value in changes.items():
        *path, leaf = name.split("__")
        node = data
        for part in path:
            node = node[part]
        node[leaf] = value
    folder.record_file.write_text(json.dumps(with_seal(data)))


def asked(folder: RunFolder, manager: Manager | None = None, **named: Any) -> Request:
    return request_of(folder, Named(**named), manager or Manager())


def test_a_repeated_run_predicts_the_same(ask: Ask, manager_with: ManagerWith, tmp_path: Path) -> None:
    changes = ("shortest=2", "c=3.5", "scope=joint")
    first = run(ask(*changes, plugin="tfidf", seed=3, seeds=2, limit=30), manager_with())
    again = repeat(first, Named(output=tmp_path / "again"), manager_with())
    for seed in (3, 4):
        for split in ("test", "validation"):
            assert again.predictions(seed, split).equals(first.predictions(seed, split))
    assert again.record.plan == first.record.plan
    assert str(again.scores.drop_columns("run").to_pylist()) == str(first.scores.drop_columns("run").to_pylist())


def test_the_command_of_a_repeated_run_needs_no_other_folder(
    ask: Ask, manager_with: ManagerWith, tmp_path: Path
) -> None:
    """A repeated run can be repeated when the first one is gone."""
    first = run(ask("c=3.5", plugin="tfidf"), manager_with())
    again = repeat(first, Named(output=tmp_path / "again"), manager_with())
    shutil.rmtree(first.path)
    assert again.record.command == (
        "mmeval run --plugin tfidf --dataset colours --preset tiny --set c=3.5 --device cpu"
    )
    third = repeat(again, Named(output=tmp_path / "third"), manager_with())
    assert third.predictions().equals(again.predictions())


def test_every_resolved_option_is_restored(finished: RunFolder, ask: Ask) -> None:
    """Also those that presets set, which may be others today."""
    request = asked(finished)
    assert set(request.changes) == set(ask().changes)
    assert (request.seed, request.seeds, request.limit, request.inputs) == (0, 2, None, None)
    assert request.device == "cpu"
    assert request.output is None


def test_options_of_the_data_set_are_repeated(ask: Ask) -> None:
    dataset = DatasetRequest(
        "table:shop.csv", columns="label=b", language="de", images=Path("p"), encoding="cp1250", source=Path("s"),
        allow_mismatch=True,
    )  # fmt: skip
    assert Request(dataset=dataset).invocation().dataset_options == DatasetOptions(
        columns="label=b", language="de", images="p", encoding="cp1250", source="s", allow_mismatch=True
    )


def test_a_table_is_repeated_and_may_have_moved(tmp_path: Path, even: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    rows = [f"thing {number},{'ab'[number % 2]}" for number in range(60)]
    Path("shop.csv").write_text("\n".join(["title,kind", *rows, ""]))
    table = {"columns": {"text": "title", "label": "kind"}, "language": "en"}
    first = mmeval.run("tfidf", "table:shop.csv", output="first", device="cpu", **table)
    again = mmeval.repeat("first", output="again")
    assert again.predictions().equals(first.predictions())
    Path("elsewhere").mkdir()
    Path("shop.csv").rename("elsewhere/shop.csv")
    with pytest.raises(UserError, match=r"shop\.csv"):
        mmeval.repeat(first, output="none")
    moved = mmeval.repeat(first, output="moved", dataset="table:elsewhere/shop.csv")
    assert moved.predictions().equals(first.predictions())
    with pytest.raises(UserError, match=r"^--dataset emoji14: the run first has table:shop\.csv; name that table"):
        mmeval.repeat("first", dataset="emoji14")


def test_data_that_has_changed_is_refused(ask: Ask, manager_with: ManagerWith, tmp_path: Path) -> None:
    first = run(ask(plugin="tfidf"), manager_with())
    fingerprint = first.record.plan.protocol.fingerprint
    edit(first, plan__protocol__fingerprint="ab" * 32)
    with pytest.raises(RunFolderError) as caught:
        repeat(first, Named(output=tmp_path / "again"), manager_with())
    assert str(caught.value) == (
        f"The data set has changed since the run run: it is colours {fingerprint[:8]} now and was colours abababab; "
        "only the same data can repeat the run."
    )
    assert not (tmp_path / "again").exists()


def test_other_versions_and_devices_are_noted(
    ask: Ask, manager_with: ManagerWith, tmp_path: Path, capsys: Capture
) -> None:
    first = run(ask(plugin="tfidf"), manager_with())
    record = first.record
    versions = record.versions | {"numpy": "0.1"}
    edit(first, plan__plugin__version="0.0.9", device="CPU, 64 threads", versions=versions)
    capsys.readouterr()
    repeat(first, Named(output=tmp_path / "again"), manager_with())
    err = capsys.readouterr().err
    assert (
        f"The plugin tfidf has version {record.plan.plugin.version}; the run run had 0.0.9, so that predictions may "
        "differ.\n" in err
    )
    assert (
        f"Since the run run, this has changed, so that predictions may differ: numpy {record.versions['numpy']} "
        f"(was 0.1), device {record.device} (was CPU, 64 threads).\n" in err
    )


def test_an_unchanged_run_has_no_notes(finished: RunFolder, capsys: Capture) -> None:
    record = finished.record
    require_same(record.plan, record, Environment(**{n: getattr(record, n) for n in Environment.model_fields}))
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"plan__preset": "huge"}, 'embracenet has no preset "huge" any more; the plugin\'s version is 0.1.0, that'),
        ({"plan__config__colour": 3}, "embracenet has no option colour any more; the plugin's version is"),
        ({"plan__config__recipe__speed": 3}, "embracenet has no option recipe.speed any more; the plugin's version is"),
    ],
)
def test_a_plugin_that_lost_an_option_is_named(finished: RunFolder, changes: dict[str, Any], message: str) -> None:
    edit(finished, **changes)
    with pytest.raises(UserError) as caught:
        asked(finished)
    assert message in str(caught.value)


def test_a_new_option_of_the_plugin_is_noted(finished: RunFolder, capsys: Capture) -> None:
    config = finished.record.plan.config
    recipe = {name: value for name, value in config["recipe"].items() if name != "patience"}
    edit(finished, plan__config=config | {"recipe": recipe})
    assert asked(finished).changes
    assert "embracenet has a new option recipe.patience, which" in capsys.readouterr().err


def test_an_option_that_cannot_be_restored_is_refused(finished: RunFolder) -> None:
    record = finished.record
    plan = record.plan.model_copy(update={"config": record.plan.config | {"width": 8}})
    environment = Environment(versions={}, device="", git_commit=None)
    with pytest.raises(RunFolderError, match=r"^The run run can't be repeated: its config\.width is 8, not 16\.$"):
        require_same(plan, record, environment)


def test_seeds_with_gaps_are_refused(finished: RunFolder) -> None:
    seeds = finished.record.seeds
    edit(finished, plan__protocol__seeds=[0, 2], seeds={"0": seeds["0"], "2": seeds["1"]})
    for name in ("predictions/seed-1.parquet", "predictions/seed-1.validation.parquet"):
        (finished.path / name).rename(finished.path / name.replace("-1", "-2"))
    files = json.loads(finished.record_file.read_text())["files"]
    edit(finished, files={name.replace("seed-1.", "seed-2."): file for name, file in files.items()})
    with pytest.raises(UserError, match=r"its seeds are 0, 2; only consecutive ones can be repeated\.$"):
        asked(finished)


def test_the_folder_of_the_run_itself_is_refused(finished: RunFolder) -> None:
    with pytest.raises(UserError, match="holds the run that --from repeats; name another folder"):
        asked(finished, output=finished.path)


def test_predictions_of_another_tool_cannot_be_repeated(finished: RunFolder) -> None:
    edit(finished, plan__protocol__track="external")
    with pytest.raises(UserError, match="another tool made its predictions, so mmeval can't repeat it"):
        asked(finished)


def test_an_older_run_without_options_is_repeated_by_name(finished: RunFolder) -> None:
    edit(finished, dataset_options=None)
    assert asked(finished).dataset == DatasetRequest("colours")
    edit(finished, command="mmeval run --dataset colours --source /data/colours")
    with pytest.raises(UserError, match=r"did not record --source; repeat its command: mmeval run --dataset colours"):
        asked(finished)


def test_one_modality_is_repeated(ask: Ask, manager_with: ManagerWith) -> None:
    folder = run(ask(inputs=Inputs.TEXT), manager_with())
    assert asked(folder, manager_with()).inputs is Inputs.TEXT


@pytest.fixture
def of_files(tmp_path: Path, even: Path, manager_with: ManagerWith, ask: Ask) -> RunFolder:
    """A run whose model and metric are Python files."""
    metric = tmp_path / "truth.py"
    metric.write_text(METRIC)
    return run(ask(plugin=str(even), metrics=(str(metric),)), manager_with())


def test_python_files_must_be_named(
    of_files: RunFolder, even: Path, tmp_path: Path, manager_with: ManagerWith, monkeypatch: pytest.MonkeyPatch
) -> None:
    truth = tmp_path / "truth.py"
    manager = manager_with()
    with pytest.raises(PluginError) as caught:
        repeat(of_files, Named(), manager)
    assert str(caught.value) == (
        f"The run {of_files.path} used the files {even} and {truth}, and mmeval runs no file that only a run folder "
        f"names; if you trust them, add --plugin {even} --metric {truth}."
    )
    assert not manager.names_of_files
    with pytest.raises(PluginError, match=f"if you trust it, add --metric {truth}\\.$"):
        repeat(of_files, Named(plugin=str(even)), manager)
    # The files may have moved.
    (tmp_path / "moved").mkdir()
    files = [str(path.rename(tmp_path / "moved" / path.name)) for path in (even, truth)]
    named = Named(plugin=files[0], metrics=(files[1],), output=tmp_path / "again")
    again = repeat(of_files, named, manager_with())
    assert again.predictions().equals(of_files.predictions())
    assert again.record.metrics == ["truth"]


def test_a_changed_file_is_another_version(
    of_files: RunFolder, even: Path, tmp_path: Path, manager_with: ManagerWith, capsys: Capture
) -> None:
    even.write_text(even.read_text() + "\n")
    named = Named(plugin=str(even), metrics=(str(tmp_path / "truth.py"),), output=tmp_path / "again")
    repeat(of_files, named, manager_with())
    assert "The plugin even has version 1+" in capsys.readouterr().err
    even.write_text(even.read_text().replace('name="even"', 'name="odd"'))
    other = tmp_path / "other.py"
    other.write_text(even.read_text())
    with pytest.raises(RunFolderError, match=r"^The model is odd, but the run run is of even; name its file\.$"):
        repeat(of_files, Named(plugin=str(other), metrics=named.metrics, output=tmp_path / "no"), manager_with())


@pytest.mark.parametrize(
    ("named", "message"),
    [
        ({"plugin": "mmbt"}, "--plugin mmbt: the run RUN has embracenet; leave --plugin out, or start a run without"),
        ({"plugin": "./x.py"}, "--plugin ./x.py: the run RUN has embracenet; leave"),
        ({"dataset": "emoji14"}, "--dataset emoji14: the run RUN has colours; leave"),
        ({"metrics": ("./x.py",)}, "--metric ./x.py: the run RUN was not scored with it; add it by `mmeval score`."),
    ],
)
def test_names_that_contradict_the_record_are_refused(finished: RunFolder, named: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError) as caught:
        asked(finished, **named)
    assert str(caught.value).startswith(message.replace("RUN", str(finished.path)))
    assert asked(finished, plugin="embracenet", dataset="colours").plugin == "embracenet"


def test_a_metric_that_was_added_later_is_repeated(
    finished: RunFolder, tmp_path: Path, manager_with: ManagerWith
) -> None:
    (tmp_path / "truth.py").write_text(METRIC)
    score_again(finished, ScoringPlugins((str(tmp_path / "truth.py"),)))
    assert asked(finished, metrics=(str(tmp_path / "truth.py"),)).metrics == (str(tmp_path / "truth.py"),)


def test_the_command_repeats_a_run(installed: None, command: Command, words: list[object], tmp_path: Path) -> None:
    assert command(*words) == 0
    assert command("run", "--from", tmp_path / "run", "--output", tmp_path / "again") == 0
    first, again = RunFolder(tmp_path / "run"), RunFolder(tmp_path / "again")
    assert again.predictions().equals(first.predictions())


@pytest.mark.parametrize(
    "option",
    ["--preset tiny", "--set width=3", "--inputs text", "--seed 1", "--seeds 2", "--limit 5", "--allow-mismatch",
     "--columns a=b", "--language de", "--encoding utf-8"],
)  # fmt: skip
def test_options_of_the_run_itself_are_refused(
    option: str, finished: RunFolder, command: Command, capsys: Capture
) -> None:
    name = option.split()[0]
    assert command("run", "--from", finished.path, *option.split()) == 2
    assert capsys.readouterr().err == (
        f"error: {name}: --from {finished.path} repeats that run with its own options; leave {name} out, or start a "
        "run without --from.\n"
    )


def test_a_folder_without_a_finished_run_is_refused(command: Command, tmp_path: Path, capsys: Capture) -> None:
    assert command("run", "--from", tmp_path / "none") == 2
    assert capsys.readouterr().err == (
        f"error: {tmp_path / 'none'}: there is no such folder; `mmeval run` creates a run folder.\n"
    )


def test_ctrl_c_before_the_run_begins_ends_in_one_sentence(
    finished: RunFolder, command: Command, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(pipeline, "run", interrupted)
    assert command("run", "--from", finished.path) == 130
    assert capsys.readouterr().err.startswith("error: Stopped before the run began; ")

"""``mmeval.run``, ``mmeval.open_run`` and the run folder in Python."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

import mmeval
from mmeval.data.request import DatasetRequest
from mmeval.errors import RunFolderError, UserError
from mmeval.protocol import Inputs
from mmeval.runs import pipeline
from mmeval.runs.folder import RunFolder
from mmeval.runs.request import Request

SEED_0 = {"predictions/seed-0.parquet": "test", "predictions/seed-0.validation.parquet": "validation"}


@pytest.fixture
def requested(monkeypatch: pytest.MonkeyPatch) -> list[Request]:
    """The requests that reach the pipeline."""
    requests: list[Request] = []

    def run(request: Request) -> RunFolder:
        requests.append(request)
        return RunFolder("nowhere")

    monkeypatch.setattr(pipeline, "run", run)
    return requests


def test_run_without_arguments_is_the_default_request(requested: list[Request]) -> None:
    mmeval.run()
    assert requested == [Request()]


def test_every_argument_reaches_the_request(requested: list[Request]) -> None:
    mmeval.run(
        "mmbt",
        "table:shop.csv",
        preset="paper",
        set={"width": 3, "weights": {"en": 1}, "tuned": False, "other": None},
        inputs="text",
        metrics=[Path("m.py")],
        device="cpu",
        seed=1,
        seeds=2,
        limit=5,
        output="out",
        columns={"text": "title"},
        language="de",
        images=Path("p"),
        encoding="cp1250",
        recipe={"epochs": 2},
        name="x",
    )
    assert requested == [
        Request(
            plugin="mmbt",
            dataset=DatasetRequest(
                "table:shop.csv", columns="text=title", language="de", images=Path("p"), encoding="cp1250"
            ),
            preset="paper",
            changes=("width=3", 'weights={"en": 1}', "tuned=false", "other=none", "recipe.epochs=2", "name=x"),
            inputs=Inputs.TEXT,
            metrics=("m.py",),
            device="cpu",
            seed=1,
            seeds=2,
            limit=5,
            output=Path("out"),
        )
    ]


def test_options_as_typed_on_the_command_line_are_accepted(requested: list[Request]) -> None:
    mmeval.run("mmbt", set=["width=3", "recipe.epochs=2"])
    assert requested[0].changes == ("width=3", "recipe.epochs=2")


def test_unknown_inputs_raise_user_error() -> None:
    with pytest.raises(UserError, match=r"^--inputs audio: write image\+text, image or text\.$"):
        mmeval.run(inputs="audio")


def test_a_finished_run_gives_arrow_tables(finished: RunFolder) -> None:
    run = mmeval.open_run(str(finished.path))
    assert {"language", "metric", "value", "low", "high"} <= set(run.scores.column_names)
    first, second = run.predictions(0), run.predictions(seed=1)
    assert first["id"].to_pylist() == second["id"].to_pylist()
    assert run.report_path.is_file()
    assert run.record.name == run.name


def test_predictions_of_the_validation_split_are_read(finished: RunFolder) -> None:
    test, validation = finished.predictions(1), finished.predictions(1, split="validation")
    assert validation.schema == test.schema
    assert validation.num_rows == finished.record.data["splits"]["validation"]
    assert not set(validation["id"].to_pylist()) & set(test["id"].to_pylist())
    assert finished.predictions(1, split="test").equals(test)


def test_other_splits_have_no_predictions(finished: RunFolder) -> None:
    with pytest.raises(RunFolderError, match=r'no predictions of the split "train"; it has test, validation\.$'):
        finished.predictions(0, split="train")


def test_a_run_of_an_older_version_says_that_it_lacks_validation_predictions(tmp_path: Path) -> None:
    shutil.copytree(Path(__file__).parent / "schema_1", tmp_path / "old")
    old = mmeval.open_run(tmp_path / "old")
    assert old.predictions().num_rows
    with pytest.raises(RunFolderError, match="no predictions of the validation split: the split is empty, or an older"):
        old.predictions(split="validation")


def test_a_seed_that_was_not_trained_is_refused(finished: RunFolder) -> None:
    with pytest.raises(RunFolderError, match=r"has no training seed 7; it has 0, 1\.$"):
        finished.predictions(7)


@pytest.mark.parametrize("name", ["scores.parquet", *SEED_0])
def test_changed_files_are_refused(finished: RunFolder, name: str) -> None:
    with (finished.path / name).open("ab") as file:
        file.write(b"x")
    with pytest.raises(RunFolderError, match=f"{name} \\(was changed\\)"):
        _ = finished.scores if name.startswith("scores") else finished.predictions(0, SEED_0[name])


def test_a_notebook_shows_the_scores(finished: RunFolder) -> None:
    page = finished._repr_html_()
    assert page.count("<tr>") > 3
    assert str(finished.report_path) in page
    assert "finished" in repr(finished)


def test_a_notebook_shows_no_changed_scores(finished: RunFolder) -> None:
    with finished.scores_file.open("ab") as file:
        file.write(b"x")
    page = finished._repr_html_()
    assert "scores.parquet (was changed)" in page
    assert "<table" not in page


def test_a_folder_without_a_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match="there is no such folder"):
        mmeval.open_run(tmp_path / "none")
    assert "empty" in RunFolder(tmp_path)._repr_html_()


def test_no_public_name_is_a_subpackage(finished: Callable[..., object]) -> None:
    """Importing a subpackage would replace the function of that name."""
    root = Path(mmeval.__file__).parent
    modules = {path.stem for path in root.iterdir() if path.suffix == ".py" or (path / "__init__.py").is_file()}
    assert not modules & set(dir(mmeval))
    assert dir(mmeval) == sorted(mmeval.__all__)

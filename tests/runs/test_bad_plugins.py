"""Faulty plugins: no wrong scores, no run folder that can't be continued, no lost files."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray

from mmeval import Examples, FitContext, MetricSpec, ModelConfig, ModelContext, ModelSpec, UserError
from mmeval.errors import PluginError, Stopped
from mmeval.plugin.manager import Manager
from mmeval.runs.pipeline import run
from mmeval.runs.request import Request

Ask = Callable[..., Request]
ManagerWith = Callable[..., Manager]


def plain(blocks: Callable[[int], list[NDArray[np.float32]]]) -> ModelSpec:
    """Return a model whose predictions of the task `colour` are the given blocks."""

    class Plain:
        def __init__(self, _config: ModelConfig, _context: ModelContext) -> None: ...

        def predict(self, examples: Examples, _context: FitContext) -> Iterator[Mapping[str, NDArray[np.float32]]]:
            for block in blocks(len(examples)):
                yield {"colour": block, "shade": np.full((len(block), 2), 0.5, np.float32)}

        def save(self, folder: Path) -> None: ...

        def load(self, folder: Path) -> None: ...

    return ModelSpec(
        name="plain",
        summary="plain",
        config=ModelConfig,
        build=Plain,
        version="1.0",
        inputs=("image", "text"),
        paper="none",
        licence="MIT",
        presets={"tiny": {}},
    )


def even(rows: int, classes: int = 3) -> NDArray[np.float32]:
    return np.full((rows, classes), 1 / classes, np.float32)


@pytest.mark.parametrize(
    ("blocks", "complaint"),
    [
        (lambda n: [even(n // 2)], r"^Plugin plain \(test\): predict returned 21 rows for 42 examples\.$"),
        (lambda n: [even(n), even(1)], r"predict returned at least 43 rows for 42 examples"),
        (lambda n: [], r"predict returned 0 rows for 42 examples"),
        (lambda n: [even(n, 4)], r"its probabilities of colour must have the shape \(42, 3\), but have \(42, 4\)"),
        (lambda n: [even(n) * np.nan], r"its probabilities of colour contain NaN or infinity, first for example 0\."),
    ],
)
def test_invalid_predictions_are_refused_and_not_written(
    blocks: Callable[[int], list[NDArray[np.float32]]],
    complaint: str,
    ask: Ask,
    manager_with: ManagerWith,
    tmp_path: Path,
) -> None:
    """Half a test split must not be scored as if it were complete."""
    with pytest.raises(PluginError, match=complaint):
        run(ask(plugin="plain"), manager_with(plain(blocks)))
    assert list((tmp_path / "run").rglob("*.parquet")) == []


@pytest.mark.parametrize(
    ("per_example", "complaint"),
    [
        (
            lambda labels, _: labels[:1],
            r'The metric "mine" \(test\) must return an array of shape \(42,\), but returned \(1,\)\.',
        ),
        (lambda labels, _: 1 / 0, r'The metric "mine" \(test\) failed: ZeroDivisionError: division by zero'),
    ],
)
def test_a_failing_metric_is_named_and_the_predictions_are_kept(
    per_example: Callable[..., Any], complaint: str, ask: Ask, manager_with: ManagerWith, tmp_path: Path
) -> None:
    metric = MetricSpec(name="mine", summary="fails", per_example=per_example)
    with pytest.raises(PluginError, match=complaint):
        run(ask(plugin="plain"), manager_with(plain(lambda n: [even(n)]), metric))
    assert (tmp_path / "run/predictions/seed-0.parquet").is_file()


def test_a_plugin_metric_with_a_built_in_name_is_refused(ask: Ask, manager_with: ManagerWith) -> None:
    metric = MetricSpec(name="top1", summary="impostor", per_example=lambda labels, _: np.ones(len(labels)))
    with pytest.raises(PluginError, match='test registers the metric "top1", which is built into mmeval; its authors'):
        run(ask(plugin="plain"), manager_with(plain(lambda n: [even(n)]), metric))


MINE = '''"""A model and a metric of its own."""
import mmeval, numpy as np
from mmeval_embracenet import EmbraceNetConfig, build


@mmeval.hookimpl
def register_models(register):
    presets = {"tiny": {%s}}
    register(mmeval.ModelSpec(name="mine", summary="s", config=EmbraceNetConfig, build=build,
        version="1", inputs=("image", "text"), paper="none", licence="MIT", presets=presets))


@mmeval.hookimpl
def register_metrics(register):
    register(mmeval.MetricSpec(name="confidence", summary="of the guess",
        per_example=lambda labels, p: p.max(1).astype(float)))
'''


def test_score_keeps_the_metrics_of_the_plugin(
    words: list[object], command: Callable[..., int], installed: None, tmp_path: Path
) -> None:
    """`mmeval score` loads the plugin that registers the metric, and fails if it can't."""
    small = words[words.index("--set") :]
    options = ", ".join(f'"{k}": "{v}"' for k, v in (str(w).split("=") for w in small if "=" in str(w)))
    plugin = tmp_path / "mine.py"
    plugin.write_text(MINE % options)
    folder = tmp_path / "run"
    assert command("run", "--plugin", plugin, "--dataset", "colours", "--device", "cpu", "--output", folder) == 0
    before = pq.read_table(folder / "scores.parquet")
    assert "confidence" in before["metric"].to_pylist()
    assert command("score", folder, "--plugin", plugin) == 0
    assert pq.read_table(folder / "scores.parquet").to_pandas().equals(before.to_pandas())  # NaN equals NaN there
    plugin.unlink()
    assert command("score", folder, "--plugin", plugin) == 2
    assert pq.read_table(folder / "scores.parquet").to_pandas().equals(before.to_pandas())  # NaN equals NaN there


def test_a_run_that_a_plugin_stops_leaves_no_folder(ask: Ask, manager_with: ManagerWith, tmp_path: Path) -> None:
    import mmeval

    class Guard:
        @mmeval.hookimpl
        def before_run(self, run: object) -> None:
            raise UserError("Not on a Friday.")

    manager = manager_with()
    manager.add(Guard(), "guard")
    with pytest.raises(UserError, match="Not on a Friday"):
        run(ask(), manager)
    assert not (tmp_path / "run").exists()


def test_cleaning_up_a_linked_folder_does_not_hide_the_error(
    ask: Ask, manager_with: ManagerWith, tmp_path: Path
) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with pytest.raises(UserError, match='No image encoder is named "foo"'):
        run(ask("image_encoder=foo", output=tmp_path / "link"), manager_with())
    assert list((tmp_path / "real").iterdir()) == []


def test_an_output_that_cannot_be_created_is_a_user_error(ask: Ask, manager_with: ManagerWith, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=f"--output {tmp_path}/file/run can't be created: Not a directory"):
        run(ask(output=tmp_path / "file" / "run"), manager_with())


def test_a_split_without_labels_is_refused(
    ask: Ask, manager_with: ManagerWith, monkeypatch: pytest.MonkeyPatch, store: object
) -> None:
    monkeypatch.setattr(Examples, "labels", lambda self, task: np.full(len(self), -1))
    with pytest.raises(UserError, match='no example of the split "train" has a label of colour'):
        run(ask(), manager_with())


def test_ctrl_c_before_the_run_prints_one_sentence(
    words: list[object],
    command: Callable[..., int],
    installed: None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("mmeval.runs.pipeline.open_data", interrupted)
    assert command(*words) == Stopped.exit_code
    assert capsys.readouterr().err == (
        "error: Stopped before the run began; no partial files are left. Repeat the command.\n"
    )


def test_a_failing_second_call_keeps_existing_files(ask: Ask, manager_with: ManagerWith, tmp_path: Path) -> None:
    """Weights, reports and files of the user are kept if an error occurs while a run is repaired."""
    folder = run(ask(plugin="plain"), manager_with(plain(lambda n: [even(n)])))
    (folder.path / "notes.txt").write_text("mine")
    folder.predictions_file(0).unlink()
    with pytest.raises(PluginError):
        run(ask(plugin="plain"), manager_with(plain(lambda n: [even(1)])))
    assert (folder.path / "notes.txt").read_text() == "mine"
    assert folder.report_path.is_file()
    assert folder.plan_file.is_file()
    run(ask(plugin="plain"), manager_with(plain(lambda n: [even(n)])))
    assert folder.record_file.is_file()


def test_a_folder_in_which_another_process_works_is_refused(
    ask: Ask, manager_with: ManagerWith, tmp_path: Path
) -> None:
    from mmeval.files import digest, lock
    from mmeval.home import home

    with (
        lock(home() / "locks" / f"{digest(str(tmp_path / 'run'))[:16]}.lock"),
        pytest.raises(UserError, match=f"--output {tmp_path}/run: another process is working in this folder"),
    ):
        run(ask(), manager_with())


@pytest.mark.parametrize("values", [[1.5, -0.5, 0.0], [0.5, 0.5, 0.5]])
def test_predictions_that_are_no_distribution_are_refused(
    values: list[float], ask: Ask, manager_with: ManagerWith
) -> None:
    block = np.array([values], np.float32)
    with pytest.raises(PluginError, match="are negative or don't sum to 1, first for example 0"):
        run(ask(plugin="plain"), manager_with(plain(lambda n: [block] * n)))


def test_an_edited_file_has_another_version(tmp_path: Path) -> None:
    """An edited plugin must not continue with seeds that its previous content has trained."""
    path = tmp_path / "mine.py"
    versions = []
    for extra in ("", "# edited\n"):
        path.write_text(MINE % "" + extra)
        versions.append(Manager().model(str(path)).version)
    assert versions[0] != versions[1]
    assert all(version.startswith("1+") for version in versions)

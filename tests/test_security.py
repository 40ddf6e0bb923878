"""Security: only code that the user names or installs runs, never code that a data file or run folder names."""

from __future__ import annotations

import contextlib
import copy
import json
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from mmeval import DatasetSpec, Examples
from mmeval.data.card import read_card
from mmeval.data.open.verify import verify
from mmeval.data.prepare.prepare import prepare
from mmeval.data.request import Dataset
from mmeval.data.store import Store
from mmeval.errors import UserError
from mmeval.integrity import with_seal
from mmeval.nn import image_encoder, text_encoder
from mmeval.runs import pipeline
from mmeval.runs.folder import RunFolder
from mmeval.runs.pipeline import repeat
from mmeval.runs.repeat import Named
from mmeval.runs.scoring import report_again, score_again
from tests.even import EVEN

Command = Callable[..., int]
Capture = pytest.CaptureFixture[str]
EVIL = """import pathlib
pathlib.Path({marker!r}).write_text("ran")

import mmeval


@mmeval.hookimpl
def register_metrics(register):
    register(mmeval.MetricSpec(name="x", summary="s", per_example=lambda labels, p: p.max(1).astype(float)))


@mmeval.hookimpl
def register_models(register):
    register(mmeval.ModelSpec(name="x", summary="s", config=mmeval.ModelConfig, build=lambda config, context: None,
        version="1", inputs=("text",), paper="none", licence="MIT", presets={{"tiny": {{}}}}))
"""
METRIC = """import mmeval


@mmeval.hookimpl
def register_metrics(register):
    register(mmeval.MetricSpec(name="truth", summary="s", per_example=lambda labels, p: p.max(1).astype(float)))
"""


@pytest.fixture
def even(tmp_path: Path) -> Path:
    """The path of a model in a single file."""
    path = tmp_path / "even.py"
    path.write_text(EVEN)
    return path


@pytest.fixture
def marker(tmp_path: Path) -> Path:
    """The file that the hostile script creates when it runs."""
    return tmp_path / "it-ran"


@pytest.fixture
def evil(tmp_path: Path, marker: Path) -> Path:
    """The path of a hostile script."""
    path = tmp_path / "evil.py"
    path.write_text(EVIL.format(marker=str(marker)))
    return path


@pytest.fixture
def scored(installed: None, command: Command, tmp_path: Path) -> RunFolder:
    """A finished run that was scored with a metric from a Python file."""
    metric = tmp_path / "truth.py"
    metric.write_text(METRIC)
    words = ["run", "--plugin", "tfidf", "--preset", "tiny", "--dataset", "colours", "--device", "cpu"]
    assert command(*words, "--metric", metric, "--output", tmp_path / "run") == 0
    metric.unlink()
    return RunFolder(tmp_path / "run")


def places(tree: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the path of every value in a JSON document, inner values first."""
    if isinstance(tree, dict | list):
        for key, value in tree.items() if isinstance(tree, dict) else enumerate(tree):
            yield from places(value, (*path, key))
    if path:
        yield path


def with_value(tree: Any, path: tuple[Any, ...], value: object) -> Any:
    changed = node = copy.deepcopy(tree)
    for key in path[:-1]:
        node = node[key]
    node[path[-1]] = value
    return changed


def hostile(tree: Any, evil: Path) -> Iterator[Any]:
    """Yield the document with the script's path in place of each value, as a string and in a list."""
    for path in places(tree):
        for value in (str(evil), [str(evil)]):
            yield with_value(tree, path, value)


@pytest.mark.parametrize("seal", [False, True])
@pytest.mark.parametrize("file", ["run.json", "plan.json", "models/seed-0/fit.json", "models/seed-0/config.json"])
def test_no_field_of_a_run_folder_makes_code_run(
    scored: RunFolder, evil: Path, marker: Path, file: str, seal: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The seal of run.json is no protection: an attacker can compute a new one."""
    shutil.copy(evil, scored.path / "evil.py")
    monkeypatch.chdir(scored.path.parent)
    path = scored.path / file
    original = json.loads(path.read_text(encoding="utf-8"))
    for number, document in enumerate(hostile(original, evil)):
        for call in (score_again, report_again) if file == "run.json" or number % 10 == 0 else (report_again,):
            path.write_text(json.dumps(with_seal(document) if seal else document), encoding="utf-8")
            with contextlib.suppress(UserError):
                call(scored)
            assert not marker.exists(), document
    assert "evil" not in {name.rpartition(".")[2] for name in sys.modules}


@pytest.mark.parametrize("seal", [False, True])
def test_no_field_of_a_run_folder_makes_code_run_when_the_run_is_repeated(
    scored: RunFolder, evil: Path, marker: Path, seal: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Everything that loads code comes before the plan, at which the test stops the run."""
    shutil.copy(evil, scored.path / "evil.py")
    monkeypatch.chdir(scored.path)
    planned = []

    def stop(*_: object) -> None:
        planned.append(True)
        raise UserError("stop here")

    monkeypatch.setattr(pipeline, "make_plan", stop)
    original = json.loads(scored.record_file.read_text(encoding="utf-8"))
    original |= {"metrics": [], "metric_plugins": []} if seal else {}
    names = ("evil.py", "./evil.py:variant", "evil.py:variant")
    named = [original | {field: value} for field in ("plugin", "dataset") for value in names]
    named += [original | {"metric_plugins": [value], "metrics": ["x"]} for value in names]
    for document in (*hostile(original, evil), *named):
        scored.record_file.write_text(json.dumps(with_seal(document) if seal else document), encoding="utf-8")
        with contextlib.suppress(UserError):
            repeat(scored, Named())
        assert not marker.exists(), document
    assert bool(planned) == seal
    assert "evil" not in {name.rpartition(".")[2] for name in sys.modules}


def test_a_file_with_a_variant_is_a_file_too(
    scored: RunFolder, evil: Path, marker: Path, command: Command, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`evil.py:x` as the data set of a record ran evil.py of the current folder."""
    monkeypatch.chdir(evil.parent)
    record = json.loads(scored.record_file.read_text())
    record |= {"metrics": ["x"], "metric_plugins": [], "metric_origins": {}, "dataset": "evil.py:x"}
    scored.record_file.write_text(json.dumps(with_seal(record)))
    assert command("score", scored.path) == 2
    assert not marker.exists()


@pytest.mark.parametrize("fields", ["metric", "plugin", "dataset"])
def test_a_metric_from_a_file_is_refused_with_the_option_that_allows_it(
    scored: RunFolder, evil: Path, marker: Path, fields: str, command: Command, capsys: Capture
) -> None:
    """The three ways in which a record named a file."""
    record = json.loads(scored.record_file.read_text())
    record |= {"metrics": ["x"], "metric_plugins": [], "metric_origins": {}}
    record |= {"metric_plugins": [str(evil)]} if fields == "metric" else {fields: str(evil)}
    scored.record_file.write_text(json.dumps(with_seal(record)))
    capsys.readouterr()
    assert command("score", scored.path) == 2
    assert capsys.readouterr().err == (
        f'error: The metric "x" of this run comes from the file {evil}, and mmeval runs no file that only a run folder '
        f"names; if you trust it, add --{fields} {evil}.\n"
    )
    assert not marker.exists()
    # The script runs if the user names it.
    if fields != "dataset":
        assert command("score", scored.path, f"--{fields}", evil) == 0
        assert marker.exists()


def test_all_missing_options_are_named_at_once(
    even: Path, tmp_path: Path, command: Command, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The options are shown as typed, to be copied; a table is data, so it needs no option."""
    monkeypatch.chdir(tmp_path)
    Path("truth.py").write_text(METRIC)
    Path("mine.py").write_text(even.read_text() + METRIC.replace("import mmeval\n", "").replace("truth", "own"))
    Path("shop").mkdir()
    rows = [f"{number},en,a thing {number},{'ab'[number % 2]}" for number in range(40)]
    Path("shop/plain.csv").write_text("\n".join(["id,language,text,label", *rows]))
    assert command("run", "--plugin", "./mine.py", "--dataset", "table:shop/plain.csv", "--output", "run") == 0
    assert command("score", "run", "--plugin", "./mine.py", "--metric", "./truth.py") == 0
    only = "and mmeval runs no file that only a run folder names; if you trust"
    message = f"comes from the file {{file}}, {only} it, add {{add}}.\n"
    capsys.readouterr()
    assert command("score", "run", "--metric", "./truth.py") == 2
    assert message.format(file="./mine.py", add="--plugin ./mine.py") in capsys.readouterr().err
    assert command("score", "run", "--plugin", "./mine.py") == 2
    assert message.format(file="./truth.py", add="--metric ./truth.py") in capsys.readouterr().err
    assert command("score", "run") == 2
    assert capsys.readouterr().err.endswith(
        'The metrics "own" and "truth" of this run come from the files ./mine.py and ./truth.py, '
        f"{only} them, add --plugin ./mine.py --metric ./truth.py.\n"
    )


def test_report_needs_no_plugin(scored: RunFolder, command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """A report is written without the code of the run's metrics."""
    monkeypatch.setenv("MMEVAL_PLUGINS", "")
    assert command("report", scored.path) == 0


def test_no_field_of_store_json_makes_code_run(
    colours: Callable[..., DatasetSpec], evil: Path, marker: Path, tmp_path: Path
) -> None:
    store = prepare(colours())
    shutil.copytree(store.folder, tmp_path / "stores" / "store")
    shutil.copytree(store.images_folder, tmp_path / "pictures" / store.images_folder.name)
    path = tmp_path / "stores" / "store" / "store.json"
    for document in hostile(json.loads(path.read_text(encoding="utf-8")), evil):
        path.write_text(json.dumps(document), encoding="utf-8")
        with contextlib.suppress(UserError):
            opened = Store(path.parent)
            list(zip(Examples(opened, "test").texts, opened.tasks, strict=False))
            verify(Dataset(colours(), opened, "cc0-1.0"))
        assert not marker.exists(), document


def test_no_field_of_a_data_card_makes_code_run(
    colours: Callable[..., DatasetSpec], evil: Path, marker: Path, tmp_path: Path
) -> None:
    header = yaml.safe_load((colours().card or evil).read_text().split("---")[1])
    path = tmp_path / "card.md"
    for document in hostile(header, evil):
        path.write_text(f"---\n{yaml.safe_dump(document)}---\n")
        with contextlib.suppress(UserError):
            read_card(path)
        assert not marker.exists(), document
    for tag in ("!!python/object/apply:os.system", "!!python/name:os.system", "!!python/module:evil"):
        path.write_text(f"---\nlanguage: {tag} ['touch {marker}']\nmmeval: {{}}\n---\n")
        with pytest.raises(UserError):
            read_card(path)
        assert not marker.exists()


@pytest.mark.parametrize("library", ["transformers", "sentence-transformers"])
def test_an_encoder_with_its_own_code_is_refused(
    library: str, marker: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also if the folder is on Python's import path."""
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "own_code.py").write_text(f"import pathlib\npathlib.Path({str(marker)!r}).write_text('ran')\n")
    monkeypatch.syspath_prepend(folder)
    if library == "transformers":
        classes = {"AutoConfig": "own_code.Config", "AutoModel": "own_code.Model"}
        (folder / "config.json").write_text(json.dumps({"model_type": "own", "auto_map": classes}))
    else:
        module = {"idx": 0, "name": "0", "path": "", "type": "own_code.Model"}
        (folder / "modules.json").write_text(json.dumps([module]))
    for make in (text_encoder, image_encoder):
        with pytest.raises(UserError, match="it comes with Python code of its own, which mmeval doesn't run"):
            make(f"local:{folder}")
        assert not marker.exists()

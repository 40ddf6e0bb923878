"""One-file models, data sets and metrics: named by path, identified by their text."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mmeval import DatasetSpec
from mmeval.data.prepare.prepare import prepare, store_folder
from mmeval.errors import PluginError
from mmeval.plugin.manager import Manager

KINDS = {"model": ("plugin", "model"), "dataset": ("dataset", "data set"), "metric": ("metric", "metric")}
kinds = pytest.mark.parametrize("kind", KINDS)


def find(kind: str, path: Path, manager: Manager | None = None) -> object:
    return getattr(manager or Manager(), kind)(str(path))


def refusal(kind: str, path: Path) -> str:
    with pytest.raises(PluginError) as caught:
        find(kind, path)
    return str(caught.value)


def test_a_data_set_is_a_file(everything: Path) -> None:
    """`--dataset ./file.py`, with the data card beside the file."""
    store = prepare(Manager().dataset(str(everything)))
    assert (store.name, store.split_sizes) == ("squares", {"train": 2, "validation": 2, "test": 2})
    assert store.image_count == 2


def test_a_metric_is_a_file(everything: Path) -> None:
    """`--metric ./file.py`."""
    manager = Manager()
    metric = manager.metric(str(everything))
    assert manager.metrics() == (metric,)
    assert metric.per_example(np.array([0]), np.array([[0.25, 0.75]], np.float32)).tolist() == [0.75]


def test_a_file_may_register_all_kinds_and_is_run_once(everything: Path) -> None:
    """Named as model, data set and metric, the file is imported once."""
    everything.write_text(f"import sys\nsys.acme_runs = getattr(sys, 'acme_runs', 0) + 1\n{everything.read_text()}")
    manager = Manager()
    try:
        names = [find(kind, everything, manager).name for kind in KINDS]
        assert sys.acme_runs == 1  # type: ignore[attr-defined]
    finally:
        del sys.acme_runs  # type: ignore[attr-defined]
    assert names == ["always", "squares", "confidence"]
    assert {spec.distribution for spec in (manager.model("always"), *manager.metrics())} == {str(everything)}


@kinds
def test_the_message_names_the_option_with_the_missing_file(kind: str, tmp_path: Path) -> None:
    option, _ = KINDS[kind]
    path = tmp_path / "gone.py"
    assert refusal(kind, path) == f"--{option} {path}: there is no such file."


@kinds
@pytest.mark.parametrize("count", [0, 2])
def test_a_file_must_register_exactly_one_plugin_of_a_kind(kind: str, count: int, everything: Path) -> None:
    """With none or two it is unclear which to use."""
    option, word = KINDS[kind]
    text = everything.read_text()
    own = next(line for line in text.splitlines() if line.startswith(f"    register(mmeval.{kind.capitalize()}Spec("))
    name = {"model": "always", "dataset": "squares", "metric": "confidence"}[kind]
    twice = own + "\n" + own.replace(f'"{name}"', '"another"')
    everything.write_text(text.replace(own, twice if count else "    pass"))
    message = f"--{option} {everything}: the file must register one {word}, it registers {count}."
    assert refusal(kind, everything) == message


def store_of(path: Path) -> Path:
    spec = Manager().dataset(str(path))
    return store_folder(spec, spec.source())


def test_an_edited_data_set_is_prepared_again(everything: Path) -> None:
    """Labels may differ although the source's identity is equal, so the older Store must not be used."""
    before = store_of(everything)
    assert store_of(everything) == before
    everything.write_text(everything.read_text().replace('split, {"shade": shade}', 'split, {"shade": "dark"}'))
    after = store_of(everything)
    assert after != before
    prepared = prepare(Manager().dataset(str(everything)))
    assert prepared.folder == after
    assert set(prepared.examples["label:shade"].to_pylist()) == {0}


def test_a_file_that_moves_keeps_its_store_and_its_version(everything: Path, tmp_path: Path) -> None:
    """The text of the file counts, not its path, so a colleague's run can be resumed."""
    moved = tmp_path / "elsewhere" / "renamed.py"
    moved.parent.mkdir()
    shutil.copy(everything, moved)
    shutil.copy(everything.with_suffix(".md"), moved.with_suffix(".md"))
    assert store_of(moved) == store_of(everything)
    assert find("model", moved).version == find("model", everything).version
    moved.write_text(f"{moved.read_text()}# edited\n")
    assert find("model", moved).version != find("model", everything).version


def test_the_store_of_an_installed_data_set_depends_only_on_its_identity(colours: Callable[..., DatasetSpec]) -> None:
    """Another release of its package is not another data set."""
    spec = colours()
    first, second = (
        DatasetSpec(name="colours", summary="-", card=spec.card, source=spec.source, distribution=d)
        for d in ("a 1.0", "a 2.0")
    )
    assert store_folder(first, first.source()) == store_folder(second, second.source())

"""Predictions by the workers of a local Ray cluster."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

import mmeval
from mmeval.errors import MissingExtraError, UserError
from mmeval.inference import job, ray
from mmeval.inference.predict import predict_file
from mmeval.inference.ray import RayEngine
from mmeval.inference.rows import RowOptions
from mmeval.runs.folder import RunFolder


@pytest.fixture
def shards(new_products: Callable[..., Path], tmp_path: Path) -> Path:
    """A folder of three Parquet files with new products; the last one has a row that is rejected."""
    table = pa.csv.read_csv(new_products(50))
    folder = tmp_path / "shards"
    folder.mkdir()
    for number, start in enumerate((0, 20, 40)):
        pq.write_table(table.slice(start, 20), folder / f"{number}.parquet")
    return folder


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts and chunks of a few rows, so that a small table has several."""
    from mmeval.inference import chunk

    monkeypatch.setattr(ray, "PART_ROWS", 16)
    monkeypatch.setattr(job, "PART_ROWS", 16)
    monkeypatch.setattr(ray, "ROWS", 8)
    monkeypatch.setattr(chunk, "ROWS", 8)


@pytest.fixture
def quiet_ray(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A cluster that starts fast: workers find the code of this process, and nothing asks the network."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, sys.path)))
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    yield
    import ray as library

    library.shutdown()


@pytest.mark.slow  # starts a Ray cluster, whose workers import torch: 15 s
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::ResourceWarning")  # of Ray
@pytest.mark.usefixtures("small_parts", "quiet_ray")
def test_two_workers_predict_as_one_process_does(run: RunFolder, shards: Path, tmp_path: Path) -> None:
    import ray as library

    library.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    rows = RowOptions(images=tmp_path / "week")
    classifier = mmeval.load(run, seed=0, device="cpu")
    single, mapped = tmp_path / "single.parquet", tmp_path / "ray.parquet"
    predict_file(classifier, shards, single, rows=rows)
    predict_file(classifier, shards, mapped, rows=rows, engine=RayEngine(workers=2))
    assert pq.read_table(mapped) == pq.read_table(single)
    assert pq.read_table(mapped)["rejected"].null_count >= 45


@pytest.mark.usefixtures("small_parts")
def test_a_worker_embeds_its_part_as_one_process_does(run: RunFolder, shards: Path, tmp_path: Path) -> None:
    setup = {"function": ray.Embed(), "members": [(str(run.path), 0)], "device": "cpu", "plugin": None}
    worker = ray._Worker(**setup, source=str(shards), options=RowOptions(images=tmp_path / "week"))  # type: ignore[arg-type]
    part = pa.concat_tables(worker({"start": np.array([16]), "stop": np.array([32])}))
    whole = mmeval.load(run, seed=0, device="cpu").embed(shards, images=tmp_path / "week")
    assert part == whole.slice(16, 16)


def test_a_table_that_is_not_parquet_is_refused(
    run: RunFolder, new_products: Callable[..., Path], tmp_path: Path
) -> None:
    classifier, table = mmeval.load(run, seed=0, device="cpu"), new_products(3)
    with pytest.raises(UserError, match=r"--engine ray: new\.csv can only be read from its beginning; write it as"):
        predict_file(classifier, table, tmp_path / "out.csv", engine=RayEngine())


def test_a_missing_package_is_named_with_the_pip_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'mmeval-multilingual\[ray\]'"):
        RayEngine.parse("ray")


def test_engines_are_named() -> None:
    assert RayEngine.parse("process") is None
    with pytest.raises(UserError, match="--engine spark: write process or ray"):
        RayEngine.parse("spark")
    with pytest.raises(UserError, match="--workers sets the number of Ray's workers"):
        RayEngine.parse("process", 2)


def test_streams_are_cut_into_chunks() -> None:
    tables = [pa.table({"n": list(range(start, stop))}) for start, stop in ((0, 3), (3, 10), (10, 10), (10, 11))]
    cut = list(ray._chunks(iter(tables), 4))
    assert [len(table) for table in cut] == [4, 4, 3]
    assert pa.concat_tables(cut)["n"].to_pylist() == list(range(11))


def test_the_mistake_that_a_worker_met_is_shown() -> None:
    class WrappedError(Exception):
        cause = UserError("row 3 is broken")

    assert str(ray._user_error(WrappedError())) == "row 3 is broken"
    assert ray._user_error(ValueError()) is None

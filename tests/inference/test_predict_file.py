"""Predictions in a file: formats, continuation, shards, locks, scores, hostile contents."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

import mmeval
from mmeval import Classifier, RunFolder, UserError
from mmeval.errors import Stopped
from mmeval.files import digest, lock
from mmeval.home import home
from mmeval.inference import chunk, job
from mmeval.inference.classifier import Classified
from mmeval.inference.predict import Shard, predict_file
from mmeval.inference.results import ResultOptions

NewProducts = Callable[..., Path]


@pytest.fixture(scope="module")
def classifier(trained: RunFolder) -> Classifier:
    return mmeval.load(trained, seed=0, device="cpu")


@pytest.fixture
def _small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts of 8 rows, in chunks of 4."""
    monkeypatch.setattr(job, "PART_ROWS", 8)
    monkeypatch.setattr(chunk, "ROWS", 4)


@pytest.fixture
def interrupt(monkeypatch: pytest.MonkeyPatch) -> Callable[[int, type[BaseException]], list[int]]:
    """Return a function that stops the classifier before the chunk with a number; it returns the chunks' first rows."""

    def arrange(number: int, error: type[BaseException]) -> list[int]:
        original, seen = Classifier.classify, list[int]()

        def classify(self: Classifier, *arguments: object, **options: object) -> Iterator[Classified]:
            for own in original(self, *arguments, **options):  # type: ignore[arg-type]
                if len(seen) == number:
                    raise error
                seen.append(own.chunk.start)
                yield own

        monkeypatch.setattr(Classifier, "classify", classify)
        return seen

    return arrange


def test_formats_hold_the_same(classifier: Classifier, new_products: NewProducts, tmp_path: Path) -> None:
    table = new_products(12)
    for suffix in ("csv", "jsonl", "parquet"):
        predict_file(classifier, table, tmp_path / f"out.{suffix}", results=ResultOptions(top_k=2, min_confidence=0.6))
    expected = classifier.predict(table, top_k=2, min_confidence=0.6)
    assert pq.read_table(tmp_path / "out.parquet").equals(expected)
    lines = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    with (tmp_path / "out.csv").open(encoding="utf-8", newline="") as file:
        cells = list(csv.DictReader(file))
    for own, line, row in zip(expected.to_pylist(), lines, cells, strict=True):
        assert list(line) == list(row) == expected.column_names
        assert line["category:probability"] == pytest.approx(own["category:probability"], rel=1e-6)
        assert (line["category"], line["size:top"], line["size:abstained"]) == (
            own["category"],
            own["size:top"],
            own["size:abstained"],
        )
        assert row["category"] == (own["category"] or "")
        assert json.loads(row["size:top"]) == own["size:top"]
        assert json.loads(row["size:top_probabilities"]) == line["size:top_probabilities"]
        assert row["size:abstained"] == str(own["size:abstained"]).lower()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.csv", "out.jsonl", "out.parquet", "week"]


@pytest.mark.usefixtures("_small_parts")
@pytest.mark.parametrize("stop_at", [0, 1, 2, 3, 5])
def test_an_interrupted_job_continues_and_gives_the_same_file(
    stop_at: int,
    classifier: Classifier,
    new_products: NewProducts,
    tmp_path: Path,
    interrupt: Callable[[int, type[BaseException]], list[int]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    table, output = new_products(22), tmp_path / "out.parquet"
    predict_file(classifier, table, tmp_path / "whole.parquet")
    original = Classifier.classify
    interrupt(stop_at, RuntimeError)
    with pytest.raises(RuntimeError):
        predict_file(classifier, table, output)
    assert not output.exists()
    monkeypatch.setattr(Classifier, "classify", original)
    seen = interrupt(99, RuntimeError)
    predict_file(classifier, table, output)
    assert seen[0] == stop_at // 2 * 8
    assert output.read_bytes() == (tmp_path / "whole.parquet").read_bytes()
    assert not (tmp_path / "out.parquet.unfinished").exists()


@pytest.mark.usefixtures("_small_parts")
def test_a_job_with_another_option_or_input_starts_anew(
    classifier: Classifier,
    new_products: NewProducts,
    tmp_path: Path,
    interrupt: Callable[[int, type[BaseException]], list[int]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    table, output = new_products(22), tmp_path / "out.csv"
    original = Classifier.classify
    interrupt(3, RuntimeError)
    with pytest.raises(RuntimeError):
        predict_file(classifier, table, output)
    monkeypatch.setattr(Classifier, "classify", original)
    predict_file(classifier, table, output, results=ResultOptions(top_k=1))
    assert "Starting anew: the results changed since" in capsys.readouterr().err
    predict_file(classifier, table, tmp_path / "whole.csv", results=ResultOptions(top_k=1))
    assert output.read_bytes() == (tmp_path / "whole.csv").read_bytes()


@pytest.mark.usefixtures("_small_parts")
def test_ctrl_c_keeps_finished_parts_and_says_so(
    classifier: Classifier,
    new_products: NewProducts,
    tmp_path: Path,
    interrupt: Callable[[int, type[BaseException]], list[int]],
) -> None:
    interrupt(3, KeyboardInterrupt)
    with pytest.raises(Stopped, match=r"Stopped. 8 rows are kept in .*out.csv.unfinished; repeat the command"):
        predict_file(classifier, new_products(22), tmp_path / "out.csv")


@pytest.mark.usefixtures("_small_parts")
def test_a_damaged_part_is_computed_again(
    classifier: Classifier,
    new_products: NewProducts,
    tmp_path: Path,
    interrupt: Callable[[int, type[BaseException]], list[int]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    table, output = new_products(22), tmp_path / "out.csv"
    original = Classifier.classify
    interrupt(4, RuntimeError)
    with pytest.raises(RuntimeError):
        predict_file(classifier, table, output)
    monkeypatch.setattr(Classifier, "classify", original)
    part = tmp_path / "out.csv.unfinished" / "part-000001.parquet"
    part.write_bytes(b"damaged")
    predict_file(classifier, table, output)
    predict_file(classifier, table, tmp_path / "whole.csv")
    assert output.read_bytes() == (tmp_path / "whole.csv").read_bytes()


def test_two_writers_of_one_file_are_refused(classifier: Classifier, new_products: NewProducts, tmp_path: Path) -> None:
    output = tmp_path / "out.csv"
    held = lock(home() / "locks" / f"{digest(str(output.resolve()))[:16]}.lock")
    with held, pytest.raises(UserError, match="another process is writing this file; wait until it has finished"):
        predict_file(classifier, new_products(3), output)


@pytest.mark.parametrize("name", ["new.csv", "new.parquet"])
def test_shards_together_are_the_whole(
    name: str, classifier: Classifier, new_products: NewProducts, tmp_path: Path
) -> None:
    table = new_products(11)
    if name.endswith("parquet"):
        path = table.with_name(name)
        pq.write_table(pa.csv.read_csv(table), path, row_group_size=3)
        table = path
    whole = classifier.predict(table)
    parts = []
    for number in (1, 2, 3):
        output = tmp_path / f"part-{number}.parquet"
        predict_file(classifier, table, output, shard=Shard.parse(f"{number}/3"))
        parts.append(pq.read_table(output))
    assert [len(part) for part in parts] == [3, 4, 4]
    together = pa.concat_tables(parts)
    for column in whole.column_names:
        if column.endswith(("probabilities", "probability")):
            continue  # batches differ, and so may the last bits
        assert together[column].equals(whole[column])
    assert together["size:probability"].to_pylist() == pytest.approx(whole["size:probability"].to_pylist(), abs=1e-5)


@pytest.mark.parametrize("text", ["0/3", "4/3", "1", "a/b", "1/0", "-1/3"])
def test_a_shard_that_there_is_not_is_refused(text: str) -> None:
    with pytest.raises(UserError, match="write I/N, the I-th of N parts"):
        Shard.parse(text)


def test_hostile_texts_are_inert(classifier: Classifier, new_products: NewProducts, tmp_path: Path) -> None:
    hostile = iter(["=cmd()|' /C calc'!A0", "<script>alert(1)</script>", "\x1b[2J\u202egpj.exe", "a,b\nc"])
    table = new_products(4, change=lambda row: row.update(sku=next(hostile)))
    predict_file(classifier, table, tmp_path / "out.csv")
    predict_file(classifier, table, tmp_path / "out.jsonl")
    text = (tmp_path / "out.csv").read_text(encoding="utf-8")
    assert "\n'=cmd()" in text
    assert "\x1b" not in text
    assert "\u202e" not in text
    lines = (tmp_path / "out.jsonl").read_text(encoding="utf-8")
    assert "\\u001b[2J\\u202egpj.exe" in lines
    assert json.loads(lines.split("\n")[2])["id"] == "\x1b[2J\u202egpj.exe"


def test_an_output_that_can_not_be_written_is_refused(
    classifier: Classifier, new_products: NewProducts, tmp_path: Path
) -> None:
    table = new_products(2)
    with pytest.raises(UserError, match=r"out.xlsx: its name must end in .csv, .jsonl or .parquet"):
        predict_file(classifier, table, tmp_path / "out.xlsx")
    with pytest.raises(UserError, match="is the table itself; name another file"):
        predict_file(classifier, table, table)
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(UserError, match="is a folder; name a file"):
        predict_file(classifier, table, tmp_path / "folder.csv")


def test_an_empty_table_gives_an_empty_file(classifier: Classifier, new_products: NewProducts, tmp_path: Path) -> None:
    path = new_products(1).with_name("empty.parquet")
    schema = pa.schema({name: pa.string() for name in ("sku", "title", "body", "lang", "photo")})
    pq.write_table(schema.empty_table(), path)
    tally = predict_file(classifier, path, tmp_path / "out.jsonl")
    assert tally.rows == 0
    assert (tmp_path / "out.jsonl").read_bytes() == b""


def test_the_cache_on_disk_does_not_grow(classifier: Classifier, new_products: NewProducts, tmp_path: Path) -> None:
    before = sorted(home().rglob("*"))
    predict_file(classifier, new_products(12), tmp_path / "out.csv")
    assert [path for path in sorted(home().rglob("*")) if path not in before and path.suffix != ".lock"] == []

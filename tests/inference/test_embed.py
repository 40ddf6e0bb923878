"""Embeddings of new rows, and exact neighbours among those of a reference."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import mmeval
from mmeval.errors import DataError, UserError
from mmeval.inference import neighbours as search
from mmeval.inference.embed import embed_file
from mmeval.inference.embeddings import schema, vectors_of
from mmeval.inference.neighbours import Reference
from mmeval.inference.predict import Shard
from mmeval.runs.folder import RunFolder

NewProducts = Callable[..., Path]


@pytest.fixture
def classifier(trained: RunFolder) -> mmeval.Classifier:
    return mmeval.load(trained, seed=0, device="cpu")


def vectors(table: pa.Table) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    return vectors_of(table["embedding"])[0]


def write(path: Path, rows: np.ndarray[tuple[int, int], np.dtype[np.float32]], ids: list[str] | None = None) -> Path:
    """Write embeddings in the format of ``mmeval embed``."""
    kind = pa.list_(pa.float16(), rows.shape[1])
    column = pa.FixedSizeListArray.from_arrays(pa.array(rows.astype(np.float16).ravel()), type=kind)
    names = ids or [f"r{number}" for number in range(len(rows))]
    pq.write_table(pa.table({"id": names, "embedding": column}), path)
    return path


def test_embed_gives_the_fused_vector_of_each_row_in_half_precision(
    classifier: mmeval.Classifier, new_products: NewProducts
) -> None:
    """The heads of the model, applied to the embedding, give the predictions: it is the vector before the heads."""
    table = new_products(20)
    embedded, predicted = classifier.embed(table), classifier.predict(table, calibrated=False)
    assert embedded.schema == schema(16)
    assert embedded.schema.field("embedding").type == pa.list_(pa.float16(), 16)
    assert embedded["id"] == predicted["id"]
    assert embedded["language"] == predicted["language"]
    usable = np.array([reason is None for reason in embedded["rejected"].to_pylist()])
    assert np.isfinite(vectors(embedded)).all()
    assert [row is not None for row in embedded["embedding"].to_pylist()] == usable.tolist()
    model = classifier.members[0].model.model  # type: ignore[attr-defined]
    import torch

    logits = model.terminal(torch.from_numpy(vectors(embedded)[usable]))["category"]
    expected = np.array(predicted["category:probability"].to_pylist(), float)[usable]
    np.testing.assert_allclose(logits.softmax(-1).max(-1).values.detach().numpy(), expected, atol=2e-3)


def test_rows_and_files_give_the_same_embeddings(classifier: mmeval.Classifier) -> None:
    records = [{"title": "red shoes", "lang": "en"}, {"title": "blaue Schuhe", "lang": "de"}, {"title": "red shoes"}]
    rows = [{"body": "", **record} for record in records]
    embedded = vectors(classifier.embed(rows, columns={"image": ""}))
    np.testing.assert_array_equal(embedded[0], embedded[2])
    assert not np.allclose(embedded[0], embedded[1])


def test_a_table_without_rows_gives_an_empty_table_of_the_same_columns(classifier: mmeval.Classifier) -> None:
    empty = pa.table({name: pa.array([], pa.string()) for name in ("title", "body", "photo", "lang", "sku")})
    assert classifier.embed(empty).schema == schema(16)


def test_an_ensemble_has_no_embedding(trained: RunFolder) -> None:
    with pytest.raises(UserError, match="Embeddings of several models can't be averaged: each model has its own space"):
        mmeval.load(trained, ensemble=True, device="cpu").embed([{"title": "red shoes", "body": ""}])


def test_a_model_without_a_fused_vector_says_so(classifier: mmeval.Classifier, monkeypatch: pytest.MonkeyPatch) -> None:
    from mmeval.engine import predict

    monkeypatch.setattr(predict, "_embedding", lambda *_: None)
    with pytest.raises(UserError, match="the model embracenet has no fused vector, so it can't embed rows"):
        classifier.embed([{"title": "red shoes", "body": ""}], columns={"image": ""})


def test_a_file_of_embeddings_is_that_of_the_table(
    classifier: mmeval.Classifier, new_products: NewProducts, tmp_path: Path
) -> None:
    table, output = new_products(20), tmp_path / "embeddings.parquet"
    embed_file(classifier, table, output)
    assert pq.read_table(output).replace_schema_metadata() == classifier.embed(table)
    parts = []
    for number in (1, 2):
        embed_file(classifier, table, tmp_path / "part.parquet", shard=Shard(number, 2))
        parts.append(pq.read_table(tmp_path / "part.parquet").replace_schema_metadata())
    np.testing.assert_allclose(vectors(pa.concat_tables(parts)), vectors(pq.read_table(output)), atol=1e-2)


def test_neighbours_within_a_table_leave_out_the_row_itself(
    classifier: mmeval.Classifier, new_products: NewProducts, tmp_path: Path
) -> None:
    table, output = new_products(20), tmp_path / "embeddings.parquet"
    embed_file(classifier, table, output, neighbours=3)
    result = pq.read_table(output)
    assert sorted(path.name for path in tmp_path.iterdir() if path.suffix == ".parquet") == ["embeddings.parquet"]
    found, present = vectors_of(result["embedding"])
    unit = found / np.where(present, np.linalg.norm(found, axis=1), 1)[:, None]
    for row, (own, names, similarities) in enumerate(
        zip(
            result["id"].to_pylist(),
            result["neighbour_ids"].to_pylist(),
            result["neighbour_similarities"].to_pylist(),
            strict=True,
        )
    ):
        if not present[row]:
            assert names == []
            continue
        assert own not in names
        others = [other for other in np.flatnonzero(present) if other != row]
        expected = sorted((float(unit[row] @ unit[other]) for other in others), reverse=True)[:3]
        np.testing.assert_allclose(similarities, expected, atol=1e-5)


def test_a_reference_table_is_embedded_once(
    classifier: mmeval.Classifier, new_products: NewProducts, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table, reference = new_products(8), new_products(15, "catalogue.csv")
    for _ in range(2):
        embed_file(classifier, table, tmp_path / "out.parquet", neighbours=2, reference=reference)
    assert "Using the embeddings in" in capsys.readouterr().err
    first = pq.read_table(tmp_path / "out.parquet")
    again = tmp_path / "again.parquet"
    embed_file(classifier, table, again, neighbours=2, reference=tmp_path / "out.reference.parquet")
    assert pq.read_table(again)["neighbour_ids"] == first["neighbour_ids"]


def test_embeddings_of_another_model_are_no_reference(
    trained: RunFolder, classifier: mmeval.Classifier, new_products: NewProducts, tmp_path: Path
) -> None:
    table, reference = new_products(5), tmp_path / "other.parquet"
    embed_file(mmeval.load(trained, seed=1, device="cpu"), table, reference)
    with pytest.raises(UserError, match="holds embeddings of another model than"):
        embed_file(classifier, table, tmp_path / "out.parquet", neighbours=1, reference=reference)
    write(reference, np.ones((2, 5), np.float32))
    with pytest.raises(UserError, match=r"holds vectors of 5 features, .* makes 16"):
        embed_file(classifier, table, tmp_path / "out.parquet", neighbours=1, reference=reference)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"reference": Path("x.parquet")}, "--reference names the rows among which neighbours are searched; add"),
        ({"neighbours": 0}, "--neighbours 0: write the number of nearest rows, at least 1"),
        ({"neighbours": 2, "shard": Shard(1, 2)}, "--shard 1/2: each shard needs all rows to find neighbours"),
    ],
)
def test_options_that_do_not_fit_are_refused(
    classifier: mmeval.Classifier,
    new_products: NewProducts,
    tmp_path: Path,
    options: dict[str, object],
    message: str,
) -> None:
    with pytest.raises(UserError, match=message):
        embed_file(classifier, new_products(3), tmp_path / "out.parquet", **options)  # type: ignore[arg-type]


def test_other_formats_than_parquet_are_refused(
    classifier: mmeval.Classifier, new_products: NewProducts, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=r"out\.csv: its name must end in \.parquet"):
        embed_file(classifier, new_products(3), tmp_path / "out.csv")


@pytest.mark.parametrize("block", [3, 8192])
def test_neighbours_are_exact_in_blocks_of_any_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block: int
) -> None:
    monkeypatch.setattr(search, "BLOCK", block)
    rng = np.random.default_rng(0)
    rows, queries = rng.normal(size=(40, 6)).astype(np.float32), rng.normal(size=(7, 6)).astype(np.float32)
    rows[11] = 0  # a row without any input
    with Reference(write(tmp_path / "r.parquet", rows)) as reference:
        assert len(reference) == 39
        nearest = reference.nearest(queries, [f"q{number}" for number in range(7)], 5)
    half = rows.astype(np.float16).astype(np.float64)
    cosines = (
        queries @ half.T / np.linalg.norm(queries, axis=1)[:, None] / np.maximum(np.linalg.norm(half, axis=1), 1e-9)
    )
    cosines[:, 11] = -2
    expected = np.argsort(-cosines, axis=1)[:, :5]
    assert nearest.ids.to_pylist() == [[f"r{number}" for number in row] for row in expected]
    np.testing.assert_allclose(nearest.similarities.to_pylist(), np.take_along_axis(cosines, expected, 1), atol=1e-5)


def test_ties_come_in_the_order_of_the_reference(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "BLOCK", 2)
    with Reference(write(tmp_path / "r.parquet", np.ones((7, 4), np.float32))) as reference:
        nearest = reference.nearest(np.ones((1, 4), np.float32), ["q"], 3)
    assert nearest.ids.to_pylist() == [["r0", "r1", "r2"]]


def test_only_the_row_itself_is_left_out_not_another_with_its_id(tmp_path: Path) -> None:
    """Two catalogues may number their rows alike, and a duplicate of a row is a neighbour."""
    rows = np.array([[1, 0], [1, 0], [0, 1]], np.float32)
    with Reference(write(tmp_path / "r.parquet", rows, ["a", "b", "c"])) as reference:
        nearest = reference.nearest(np.array([[1, 0], [1, 0], [0, 0]], np.float32), ["a", "c", "b"], 5)
    assert nearest.ids.to_pylist() == [["b", "c"], ["a", "b", "c"], []]


def test_a_file_without_embeddings_is_no_reference(tmp_path: Path) -> None:
    pq.write_table(pa.table({"id": ["a"], "vector": [1.0]}), tmp_path / "x.parquet")
    with pytest.raises(DataError, match=r"x\.parquet holds no embeddings: .* this file has id, vector"):
        Reference(tmp_path / "x.parquet")
    (tmp_path / "y.parquet").write_bytes(b"no parquet")
    with pytest.raises(DataError, match=r"y\.parquet is no Parquet file of embeddings"):
        Reference(tmp_path / "y.parquet")

"""The classifier of a run: predictions from any kind of table, calibration, abstention, ensembles, single examples."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pytest
from PIL import Image

import mmeval
from mmeval import Classifier, RunFolder, UserError
from mmeval.metrics.temperature import scaled, validation_temperature

NewProducts = Callable[..., Path]


@pytest.fixture(scope="module")
def classifier(trained: RunFolder) -> Classifier:
    return mmeval.load(trained, seed=0, device="cpu")


def test_predictions_equal_those_of_the_run(classifier: Classifier, trained: RunFolder) -> None:
    table = classifier.predict(trained.path.parent / "shop.csv", calibrated=False)
    recorded = trained.predictions(seed=0)
    place = {own: number for number, own in enumerate(table["id"].to_pylist())}
    rows = [place[own] for own in recorded["id"].to_pylist()]
    for task in classifier.tasks:
        matrix = np.array(recorded[f"{task.name}:probabilities"].to_pylist())
        assert np.allclose(matrix.max(1), np.array(table[f"{task.name}:probability"])[rows], atol=1e-5)
        assert [task.classes[best] for best in matrix.argmax(1)] == table[task.name].take(pa.array(rows)).to_pylist()


def test_every_row_of_the_input_has_a_row_in_its_order(classifier: Classifier, new_products: NewProducts) -> None:
    table = classifier.predict(new_products(20), top_k=2)
    assert table["id"].to_pylist() == [f"p{number}" for number in range(1000, 1020)]
    assert table.column_names == [
        "id",
        "language",
        *(f"category{suffix}" for suffix in ("", ":probability", ":top", ":top_probabilities", ":abstained")),
        *(f"size{suffix}" for suffix in ("", ":probability", ":top", ":top_probabilities", ":abstained")),
        "rejected",
    ]
    first = table.slice(0, 1).to_pylist()[0]
    assert first["category:top"][0] == first["category"]
    assert first["category:top_probabilities"][0] == first["category:probability"]
    assert len(first["category:top"]) == 2
    assert table["rejected"].null_count == 20


def test_all_kinds_of_tables_give_the_same_predictions(classifier: Classifier, new_products: NewProducts) -> None:
    path = new_products(12)
    expected = classifier.predict(path)
    arrow = pa.csv.read_csv(path)
    records = arrow.to_pylist()
    for given in (arrow, records, arrow.to_batches()[0]):
        assert classifier.predict(given, images=path.parent).equals(expected)
    pixels = [{**row, "photo": row["photo"] and (path.parent / row["photo"]).read_bytes()} for row in records]
    assert classifier.predict(pixels).equals(expected)


def test_an_image_may_be_a_pil_image_or_pixels(classifier: Classifier, new_products: NewProducts) -> None:
    data = (new_products(1).parent / "photos" / "1000.png").read_bytes()
    image = Image.open(io.BytesIO(data))
    table = classifier.predict([{"photo": image, "title": "red"}, {"photo": np.asarray(image), "title": "red"}])
    one = classifier.predict_one(image=image, text="red")
    assert table["category:probability"].to_pylist() == pytest.approx([one.probability] * 2)
    with pytest.raises(UserError, match="must be bytes, a path, a PIL image or pixels, not a int"):
        classifier.predict_one(image=3)


def test_pixels_of_an_image_file_are_classified_as_the_file(classifier: Classifier, tmp_path: Path) -> None:
    """A lossy conversion would change sharp edges and colours."""
    pixels = np.random.default_rng(0).integers(0, 256, (24, 24, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "noise.png")
    expected = classifier.predict_one(image=tmp_path / "noise.png")
    with Image.open(tmp_path / "noise.png") as opened:
        for own in (pixels, Image.fromarray(pixels), opened):
            assert classifier.predict_one(image=own) == expected
            table = classifier.predict([{"photo": own, "title": "", "body": ""}])
            assert table["category:probability"][0].as_py() == expected.probability
    large = np.kron(pixels, np.ones((40, 40, 1), np.uint8))
    Image.fromarray(large).save(tmp_path / "large.png")
    assert classifier.predict_one(image=large) == classifier.predict_one(image=tmp_path / "large.png")


def test_missing_values_of_a_single_example_count_as_none(classifier: Classifier) -> None:
    expected = classifier.predict_one(text="red")
    for image in (None, "", float("nan")):
        assert classifier.predict_one(image=image, text="red", language=None) == expected
    image = Image.new("RGB", (24, 24), "red")
    assert classifier.predict_one(image=image, text=None) == classifier.predict_one(image=image)
    with pytest.raises(UserError, match="predict_one: text must be a text, not a int"):
        classifier.predict_one(text=5)  # type: ignore[arg-type]


def test_calibration_is_the_temperature_of_the_validation_predictions(
    classifier: Classifier, trained: RunFolder, new_products: NewProducts
) -> None:
    path = new_products(12)
    raw, calibrated = (classifier.predict(path, calibrated=own, top_k=9) for own in (False, True))
    task = classifier.tasks[0]
    fitted = validation_temperature(trained.validation_predictions_file(0), task)
    assert fitted is not None
    matrix = np.array(raw["category:top_probabilities"].to_pylist())
    expected = scaled(matrix, fitted[0])
    assert np.allclose(expected, np.array(calibrated["category:top_probabilities"].to_pylist()), atol=1e-6)
    assert abs(fitted[0] - 1) > 1e-3
    assert raw["category"].equals(calibrated["category"])


def test_without_validation_predictions_nothing_is_calibrated_and_it_says_so(
    run: RunFolder, new_products: NewProducts, capsys: pytest.CaptureFixture[str]
) -> None:
    path = new_products(6)
    run.validation_predictions_file(0).unlink()
    classifier = mmeval.load(run, seed=0)
    assert classifier.predict(path).equals(classifier.predict(path, calibrated=False))
    assert "has no validation predictions, so its probabilities are not calibrated" in capsys.readouterr().err


def test_the_model_abstains_below_the_confidence(classifier: Classifier, new_products: NewProducts) -> None:
    path = new_products(20)
    table = classifier.predict(path)
    border = float(np.median(np.array(table["category:probability"])))
    abstaining = classifier.predict(path, min_confidence=border)
    below = np.array(table["category:probability"]) < border
    assert abstaining["category:abstained"].to_pylist() == below.tolist()
    assert [own is None for own in abstaining["category"].to_pylist()] == below.tolist()
    assert abstaining["category:probability"].equals(table["category:probability"])
    with pytest.raises(UserError, match="--min-confidence 2: a probability is from 0 to 1"):
        classifier.predict(path, min_confidence=2)


def test_an_ensemble_is_the_mean_over_seeds(trained: RunFolder, new_products: NewProducts) -> None:
    path = new_products(8)
    seeds = [mmeval.load(trained, seed=seed).predict(path, top_k=9) for seed in (0, 1)]
    both = mmeval.load(trained, ensemble=True).predict(path, top_k=9)
    for row, *own in zip(both.to_pylist(), *(table.to_pylist() for table in seeds), strict=True):
        of_seed = [dict(zip(r["category:top"], r["category:top_probabilities"], strict=True)) for r in own]
        mean = {name: (of_seed[0][name] + of_seed[1][name]) / 2 for name in of_seed[0]}
        assert dict(zip(row["category:top"], row["category:top_probabilities"], strict=True)) == pytest.approx(mean)


def test_one_of_several_seeds_is_the_first_and_it_says_so(
    trained: RunFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    assert mmeval.load(trained).members[0].seed == 0
    assert "has 2 training seeds; 0 is used" in capsys.readouterr().err
    with pytest.raises(UserError, match=r"--seed 7: .* has no training seed 7; it has 0, 1"):
        mmeval.load(trained, seed=7)
    with pytest.raises(UserError, match="several runs are averaged with --ensemble"):
        mmeval.load([trained, trained])


def test_predict_one_agrees_with_predict(classifier: Classifier, new_products: NewProducts) -> None:
    path = new_products(12)
    table = classifier.predict(path, top_k=3)
    for row, own in zip(pa.csv.read_csv(path).to_pylist(), table.to_pylist(), strict=True):
        image = path.parent / row["photo"] if row["photo"] else None
        text = f"{row['title']} {row['body']}".strip()
        one = classifier.predict_one(image, text, row["lang"], top_k=3)
        assert one.label == own["category"]
        assert dict(one.tasks["size"].top) == pytest.approx(
            dict(zip(own["size:top"], own["size:top_probabilities"], strict=True)), abs=1e-5
        )
    assert repr(one).startswith("ExamplePrediction(category: ")
    assert classifier.predict_one(text="rot", language="no language at all").label
    with pytest.raises(UserError, match="needs an image or a text"):
        classifier.predict_one()
    with pytest.raises(UserError, match=r"There is no image file .*none.png"):
        classifier.predict_one(image=path.parent / "none.png")
    with pytest.raises(UserError, match="The image can't be used: not an image"):
        classifier.predict_one(image=b"<nothing>")


def test_unknown_languages_are_no_error(
    classifier: Classifier, new_products: NewProducts, capsys: pytest.CaptureFixture[str]
) -> None:
    languages = iter(["sw", "n/a", "", "all", "German", "pt-BR"])
    table = classifier.predict(new_products(6, change=lambda row: row.update(lang=next(languages))))
    assert table["language"].to_pylist() == ["sw", "und", "und", "und", "de", "pt"]
    assert table["rejected"].null_count == 6
    assert '2 rows with a value that is no language ("n/a") count as und' in capsys.readouterr().err


def test_rejected_rows_are_kept_without_a_prediction_and_reported(
    classifier: Classifier, new_products: NewProducts, capsys: pytest.CaptureFixture[str]
) -> None:
    def change(row: dict[str, str]) -> None:
        number = int(row["sku"][1:])
        if number == 1001:
            row["photo"] = "photos/none.png"
        if number == 1002:
            row.update(title="", body="", photo="")

    path = new_products(6, change=change)
    (path.parent / "photos" / "1005.png").write_bytes(b"<html>no image</html>")
    table = classifier.predict(path)
    assert table["rejected"].to_pylist() == [
        None,
        "the image's file photos/none.png is missing",
        "neither text nor image",
        None,
        None,
        "photos/1005.png: a web page, not an image",
    ]
    assert table["id"].to_pylist() == [f"p{number}" for number in range(1000, 1006)]
    assert table["category"].null_count == table["category:top"].null_count == table["size:abstained"].null_count == 3
    assert "Rejected: 3 of 6 rows (column rejected), for example new.csv, row 2: the" in capsys.readouterr().err


def test_labels_and_splits_in_the_table_are_not_read(classifier: Classifier, new_products: NewProducts) -> None:
    path = new_products(6)
    expected = classifier.predict(path)
    labelled = new_products(6, change=lambda row: row.update(category="sofa", split="nonsense"))
    assert classifier.predict(labelled).equals(expected)


def test_a_table_without_a_needed_column_is_refused(
    classifier: Classifier, new_products: NewProducts, capsys: pytest.CaptureFixture[str]
) -> None:
    path = new_products(3, change=lambda row: row.pop("body"))
    with pytest.raises(UserError, match=r'new.csv has no column "body", which held texts in the data of'):
        classifier.predict(path)
    assert classifier.predict(path, columns={"text": "title"})["rejected"].null_count == 3
    with pytest.raises(UserError, match="which columns hold texts or images"):
        classifier.predict([{"colour": "red"}], columns="text=,image=")
    path = new_products(3, change=lambda row: (row.pop("sku"), row.pop("lang")))
    table = classifier.predict(path)
    assert table["id"].to_pylist() == [f"new.csv, row {number}" for number in (1, 2, 3)]
    assert 'new.csv has no column "sku", the id in the data of the run' in capsys.readouterr().err
    assert table["language"].to_pylist() == ["und"] * 3
    assert classifier.predict(path, language="de")["language"].to_pylist() == ["de"] * 3
    table = classifier.predict(new_products(3, change=lambda row: row.pop("photo")), columns="image=")
    assert "has no images: the model predicts without them" in capsys.readouterr().err


def test_a_table_in_memory_that_is_none_is_refused(classifier: Classifier) -> None:
    with pytest.raises(
        UserError, match="The rows must be a file, a data frame, an Arrow table or a list of records, not"
    ):
        classifier.predict(3)
    with pytest.raises(UserError, match="The rows must be mappings of column to value; one is a str"):
        classifier.predict(["red"])
    with pytest.raises(UserError, match="holds no rows"):
        classifier.predict([])

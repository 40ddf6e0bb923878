"""A table as a source: tasks, images, and an identity that changes with the content."""

from __future__ import annotations

import io
import json
import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mmeval.data.prepare.prepare import prepare
from mmeval.data.stats import stats
from mmeval.data.table.options import TableOptions
from mmeval.data.table.resolve import table_spec
from mmeval.data.table.source import TableSource
from mmeval.errors import DataError, UserError
from mmeval.home import home
from tests.data.table.shop import CLASSES, jpeg, products, read, shop, source, texts, write

FEATURES = {
    "image": {"_type": "Image"},
    "text": {"dtype": "string", "_type": "Value"},
    "label": {"names": list(CLASSES), "_type": "ClassLabel"},
}


def parquet(path: Path, start: int, stop: int) -> Path:
    """A file as ``datasets`` writes it: images as bytes, labels as numbers whose names stand in the schema."""
    rows = {
        "image": [{"bytes": jpeg(number), "path": None} for number in range(start, stop)],
        "text": [f"text {number}" for number in range(start, stop)],
        "label": [number % 4 for number in range(start, stop)],
    }
    schema = pa.schema({
        "image": pa.struct({"bytes": pa.binary(), "path": pa.string()}),
        "text": pa.string(),
        "label": pa.int64(),
    }).with_metadata({"huggingface": json.dumps({"info": {"features": FEATURES}})})  # fmt: skip
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(rows, schema=schema), str(path))
    return path


def test_a_shop_is_prepared_completely(tmp_path: Path) -> None:
    opened = source(shop(tmp_path))
    store = prepare(table_spec(opened.options, opened), opened)
    assert (store.image_count, store.languages, store.rejected_count) == (40, ("de", "en", "sk"), 0)
    assert store.info["spanning"] == {}
    counted = stats(store)
    assert counted.name == "shop"
    assert sum(store.split_sizes.values()) == counted.examples == 120
    assert counted.tasks[0].not_in_train == 0


def test_parquet_of_datasets_gives_class_names_and_each_image_once(tmp_path: Path) -> None:
    """Otherwise reports would show classes 0 and 1."""
    parquet(tmp_path / "data" / "train-00000-of-00002.parquet", 0, 30)
    parquet(tmp_path / "data" / "train-00001-of-00002.parquet", 20, 50)
    parquet(tmp_path / "data" / "test-00000-of-00001.parquet", 50, 70)
    opened = source(tmp_path)
    assert opened.tasks[0].classes == tuple(sorted(CLASSES))
    images = {key: read() for key, read in opened.images()}
    assert len(images) == opened.size == 70
    examples = list(opened.examples())
    assert len(examples) == 80
    assert {images[example.image] for example in examples} == {jpeg(number) for number in range(70)}  # type: ignore


def test_an_image_folder_with_metadata_in_each_split(tmp_path: Path) -> None:
    """The layout of ``datasets``, whose file names start anew in each folder."""
    for split, start, stop in (("train", 0, 40), ("test", 40, 60)):
        rows = [{"file_name": f"{n - start}.jpg", "text": f"t{n}", "label": CLASSES[n % 4]} for n in range(start, stop)]
        write(tmp_path / split / "metadata.csv", rows)
        for number in range(start, stop):
            (tmp_path / split / f"{number - start}.jpg").write_bytes(jpeg(number))
    opened = source(tmp_path)
    images = {key: read() for key, read in opened.images()}
    assert len(images) == 60
    by_text = {example.text: example for example in opened.examples()}  # type: ignore[union-attr]
    assert images[by_text["t40"].image] == jpeg(40)  # type: ignore[union-attr,index]
    assert by_text["t40"].split == "test"  # type: ignore[union-attr]


def test_images_alone_and_texts_alone_are_data_sets(tmp_path: Path) -> None:
    path = shop(tmp_path)
    examples, _ = read(path, "text=,id=sku")
    assert {example.text for example in examples} == {""}
    examples, _ = read(path, "image=")
    assert {example.image for example in examples} == {None}
    assert not list(source(path, "image=").images())


def test_an_unchanged_table_has_the_same_identity_and_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`mmeval data show` must not read gigabytes of embedded images every time."""
    path = shop(tmp_path)
    before = source(path).identity
    monkeypatch.setattr(TableSource, "_rows", lambda _: pytest.fail("the table was read"))
    assert source(path).identity == before


@pytest.mark.parametrize("change", ["row", "image", "gone", "come", "columns", "language"])
def test_any_change_gives_another_identity(change: str, tmp_path: Path) -> None:
    """Results must not be those of data that no longer exists."""
    path, columns, language = shop(tmp_path), "", ""
    photo = tmp_path / "photos" / "3.jpg"
    if change == "come":
        photo.rename(tmp_path / "kept.jpg")
    before = source(path).identity
    match change:
        case "row":
            write(path, [*products(40), {**products(1)[0], "title": "another"}])
        case "image":
            size = photo.stat().st_size
            photo.write_bytes(jpeg(3)[:-1] + b"\0")
            os.utime(photo, ns=(1, 1))
            assert photo.stat().st_size == size
        case "gone":
            photo.unlink()
        case "come":
            (tmp_path / "kept.jpg").rename(photo)
        case "columns":
            columns = "label=season"
        case "language":
            language = "de"
    after = source(path, columns, **({"language": language} if language else {})).identity
    assert after != before
    assert source(path, columns, **({"language": language} if language else {})).identity == after


def test_partial_files_of_killed_processes_are_removed(tmp_path: Path) -> None:
    left = home() / "tables" / "pictures" / ".0123456789abcdef.json.a1b2c3d4.partial"
    left.parent.mkdir(parents=True)
    left.write_text("[")
    _ = source(shop(tmp_path)).identity
    assert [path.suffix for path in left.parent.iterdir()] == [".json"]


def test_images_may_be_in_another_folder(tmp_path: Path) -> None:
    path = shop(tmp_path / "shop")
    (tmp_path / "shop" / "photos").rename(tmp_path / "photos")
    assert len(read(path, images=str(tmp_path))[0]) == 120
    with pytest.raises(DataError) as error:
        source(path, images=str(tmp_path / "no"))
    assert str(error.value) == f"There is no folder of images {tmp_path / 'no'}; set another one with --images."


def test_a_hub_table_is_identified_by_its_commit_not_by_file_times(tmp_path: Path) -> None:
    """The same commit is the same data set on another machine or after another download."""
    path = shop(tmp_path)
    options = TableOptions(source="hub:owner/shop")
    before = TableSource(options, tmp_path, "c0ffee", tmp_path).identity
    for file in (path, tmp_path / "photos" / "3.jpg"):
        os.utime(file, ns=(1, 1))
    assert TableSource(options, tmp_path, "c0ffee", tmp_path).identity == before
    assert TableSource(options, tmp_path, "bead", tmp_path).identity != before


def test_ten_thousand_rows_are_read_in_order_and_counted_once(tmp_path: Path) -> None:
    path = tmp_path / "big.csv"
    lines = io.StringIO()
    lines.write("text,label\n")
    lines.writelines(f"text {number},c{number % 5}\n" for number in range(10_000))
    path.write_text(lines.getvalue())
    examples, aside = read(path)
    assert not aside
    assert [example.where for example in examples[:2]] == ["big.csv, row 1", "big.csv, row 2"]
    assert len({example.id for example in examples}) == 10_000


def test_a_byte_order_mark_of_excel_is_ignored(tmp_path: Path) -> None:
    """Otherwise the first column would have the name "\\ufefftext"."""
    assert len(read(write(tmp_path / "a.csv", texts(), encoding="utf-8-sig"))[0]) == 40


def test_a_text_of_ten_megabytes_is_cut_with_a_note(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Models that count n-grams needed 3.8 GB for such a text."""
    path = tmp_path / "shop.jsonl"
    rows = [{"text": f"text {number}", "label": "ab"[number % 2]} for number in range(120)]
    rows[60]["text"] = "word " * 2_000_000
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    opened = TableSource(TableOptions(source=str(path)), path)
    store = prepare(table_spec(opened.options, opened), opened)
    assert store.cut_count == 1
    assert max(map(len, store.examples["text"].to_pylist())) == 32_768
    assert "Cut to 32,768 characters: 1 text" in capsys.readouterr().err.splitlines()


@pytest.mark.parametrize("ending", ["csv", "tsv", "jsonl"])
@pytest.mark.parametrize("encoding", ["cp1250", "utf-16"])
def test_a_table_in_another_encoding_is_read_with_the_option(ending: str, encoding: str, tmp_path: Path) -> None:
    rows = [{"text": f"{word} {number}", "label": word} for number in range(20) for word in ("žlutý kůň", "łódź")]
    path = tmp_path / f"shop.{ending}"
    if ending == "jsonl":
        path.write_text("\n".join(json.dumps(cells, ensure_ascii=False) for cells in rows), encoding=encoding)
    else:
        write(path, rows, delimiter="," if ending == "csv" else "\t", encoding=encoding)
    with pytest.raises(UserError) as error:
        read(path)
    assert "--encoding" in str(error.value)
    examples, aside = read(path, encoding=encoding)
    assert not aside
    assert {example.labels["label"] for example in examples} == {"žlutý kůň", "łódź"}


def test_another_encoding_gives_another_identity(tmp_path: Path) -> None:
    path = write(tmp_path / "shop.csv", texts())
    assert source(path, encoding="cp1250").identity != source(path).identity


def test_an_unknown_or_wrong_encoding_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "shop.csv", [{"text": "á ř ť", "label": "a"}, {"text": "ť", "label": "b"}])
    for name in ("cp9999", "rot13", "idna", "undefined", "unicode_escape"):
        with pytest.raises(UserError) as error:
            read(path, encoding=name)
        assert (
            str(error.value) == f"--encoding {name}: there is no such encoding; examples are cp1250, cp1252 and utf-16."
        )
    with pytest.raises(UserError) as error:
        read(path, encoding="ascii")
    assert "shop.csv is not ASCII (byte 0xc3 in line 2)" in str(error.value)
    pq.write_table(pa.table({"text": ["a"], "label": ["b"]}), tmp_path / "shop.parquet")
    with pytest.raises(UserError) as error:
        read(tmp_path / "shop.parquet", encoding="cp1250")
    assert str(error.value) == "--encoding cp1250: shop.parquet is Parquet, which is always UTF-8; leave it out."


def test_a_language_column_of_other_texts_is_refused(tmp_path: Path) -> None:
    """Otherwise the few remaining rows have one class, and the message would blame the label column."""
    titles = [*(f"Red panda {number}" for number in range(20)), "fox", "cat"]
    shelves = [*("animals", "plants") * 10, "animals", "animals"]
    rows = [{"title": title, "shelf": shelf, "text": "x"} for title, shelf in zip(titles, shelves, strict=True)]
    with pytest.raises(UserError) as error:
        read(write(tmp_path / "shop.csv", rows), "label=shelf,language=title")
    assert str(error.value) == (
        "shop.csv: the column title does not hold languages in 20 of 22 rows, for example shop.csv, row 1: the "
        'language "Red panda 0" is neither an ISO 639 code such as de or pt-BR nor a known name. Choose another column '
        "with --columns language=, or set the language of all rows with --language."
    )


def test_a_single_remaining_class_is_reported_with_the_rejected_rows(tmp_path: Path) -> None:
    rows = [{"text": f"x{number}", "label": "a", "language": "de"} for number in range(20)]
    rows += [{"text": "y", "label": "b", "language": "Zz"}]
    with pytest.raises(UserError) as error:
        read(write(tmp_path / "shop.csv", rows))
    assert (
        'label has only the class "a" in the 20 rows that can be used (1 can\'t, for example shop.csv, row 21: '
        in str(error.value)
    )


def test_an_ignored_language_column_is_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path / "shop.csv", [cells | {"language": "de"} for cells in texts()])
    for columns, reported in (("", True), ("language=language", False)):
        source(path, columns, language="es").announce()
        line = "Languages of shop.csv: --language sets them for all rows; the column language is not read\n"
        assert (line in capsys.readouterr().err) is reported

"""GLAMI-1M, read from archives in its published format with every trap that is known of it."""

from __future__ import annotations

import csv
import io
import subprocess
import sys
import zipfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmeval import DatasetSpec, Example
from mmeval.api.source import Rejected
from mmeval.data.card import read_card
from mmeval.data.images import decode
from mmeval.data.prepare.prepare import prepare
from mmeval.data.store import REJECTED, Store
from mmeval.datasets import glami1m
from mmeval.datasets.glami1m.categories import Categories
from mmeval.datasets.glami1m.items import LANGUAGES, Item, read_items
from mmeval.datasets.glami1m.source import GlamiSource, training_split
from mmeval.errors import DataError
from tests.archives import glami

HEADER = ",".join(glami.COLUMNS)
GOOD = "1,2,cz,Bota,Nová.,6,dresses,admin"


@pytest.fixture(scope="module")
def archives(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The same data in each form."""
    folder = tmp_path_factory.mktemp("glami")
    return {form: glami.write(folder, form=form) for form in glami.NAMES}


@pytest.fixture(scope="module")
def examples(archives: dict[str, Path]) -> dict[str, Example]:
    """By id; the first of a doubled one."""
    found = [one for one in GlamiSource(archives["zip"]).examples() if isinstance(one, Example)]
    return {one.id: one for one in reversed(found)}


def spec() -> DatasetSpec:
    specs: list[DatasetSpec] = []
    glami1m.register_datasets(specs.append)
    return specs[0]


def prepared(path: Path, variant: str = "", *, released: bool = False) -> Store:
    """As `mmeval data prepare` does it."""
    chosen = spec().model_copy(update={"variant": variant})
    assert chosen.archive is not None
    return prepare(chosen, chosen.archive.open(path, variant), released=released)


def rows(*lines: str, header: str = HEADER) -> list[Item | Rejected]:
    return list(read_items(io.BytesIO("\n".join((header, *lines)).encode()), "GLAMI-1M-train.csv"))


def item(line: str, header: str = HEADER) -> Item:
    (one,) = rows(line, header=header)
    assert isinstance(one, Item), one
    return one


def reason(line: str) -> str:
    (one,) = rows(line)
    assert isinstance(one, Rejected)
    assert one.where == "GLAMI-1M-train.csv, row 1"
    return one.reason


# What a row says


def test_a_row_becomes_an_example(examples: dict[str, Example]) -> None:
    one = examples["9000016"]
    assert one == Example(
        id="9000016",
        text="nan",
        language="cs",
        split="train",
        labels={"category": "mens-sneakers"},
        image="9000016",
        cluster="9000016",
        slices={"label_source": "human", "market": "cz", "image_seen_in_train": "no"},
        metadata={"image_id": "9000016", "category_id": "218", "label_source": "admin"},
        where=one.where,
    )


@pytest.mark.parametrize("word", ["NA", "null", "None", "nan", "N/A", "-1.#IND"])
def test_words_that_pandas_takes_for_missing_are_texts(word: str) -> None:
    """Else a product named NA loses its name, and one without a name is called nan."""
    assert item(f"1,2,cz,{word},,6,dresses,admin").text == word
    assert item(f"1,2,cz,,{word},6,dresses,admin").text == word


@pytest.mark.parametrize(
    ("name", "description", "text"),
    [
        ("Bota", "Nová.", "Bota Nová."),
        ("Bota", "", "Bota"),
        ("", "Nová.", "Nová."),
        ("", "", ""),
        (" ", "Nová.", "Nová."),
        (" Bota ", "Nová.", " Bota  Nová."),
    ],
)
def test_name_and_description_are_joined_unless_one_is_empty(name: str, description: str, text: str) -> None:
    assert item(f"1,2,cz,{name},{description},6,dresses,admin").text == text


def test_line_breaks_quotes_and_commas_stay_in_the_text(examples: dict[str, Example]) -> None:
    """Else rows shift, and every label behind is another product's."""
    assert examples["9000004"].text == 'Šaty "Eva", dlhé a\nb\r\nc'
    assert examples["9000005"].text == "Len popis"


def test_blanks_around_a_slug_make_no_other_class(examples: dict[str, Example]) -> None:
    """Else there are more than 191 classes, some in one split only."""
    assert examples["9000003"].labels == {"category": "womens-pants"}


def test_spellings_of_slugs_stay_apart() -> None:
    """`womens-` and `women-s-` are different names; nobody says that they are one category."""
    names = [item(f"1,2,cz,a,b,{n},{name},admin").name for n, name in enumerate(("womens-socks", "women-s-socks"))]
    assert names == ["womens-socks", "women-s-socks"]


def test_each_market_has_its_language(examples: dict[str, Example]) -> None:
    """Four country codes are no language's or another one's: `ee` is Ewe, `si` Sinhala."""
    others = {"cz": "cs", "gr": "el", "si": "sl", "ee": "et"}
    alike = {"sk", "ro", "hu", "hr", "es", "lt", "lv", "tr", "bg"}
    assert others | {code: code for code in alike} == LANGUAGES
    assert {(one.slices["market"], one.language) for one in examples.values()} == set(LANGUAGES.items())
    assert sorted(LANGUAGES.values()) == sorted(read_card(glami1m.cards_folder() / "glami1m.md").languages)


@pytest.mark.parametrize(
    ("raw", "kind", "given_"),
    [
        ("admin", "human", "admin"),
        ("custom-tag", "human", "custom-tag"),
        ("quality-check", "human", "quality-check"),
        ("combined-tag", "combined", "combined-tag"),
        ("", "rule", "unknown"),
        ("NaN", "rule", "unknown"),
    ],
)
def test_who_labelled_a_row_is_a_slice(tmp_path: Path, raw: str, kind: str, given_: str) -> None:
    extra = {"item_id": "77", "image_id": "77", "geo": "cz", "name": "x", "description": "", "label_source": raw}
    extra |= {"category": "6", "category_name": "womens-pants"}
    path = glami.write(tmp_path, 40, traps=False, form="folder", extra={"train": [extra]})
    for variant, attributes in (("", {}), ("paper", {"label_source": given_})):
        (one,) = (one for one in GlamiSource(path, variant).examples() if isinstance(one, Example) and one.id == "77")
        assert one.slices["label_source"] == kind
        assert one.metadata["label_source"] == raw
        assert one.attributes == attributes


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("1,2,de,a,b,6,dresses,admin", 'geo is "de", which is none of the 13 markets'),
        ("1,2,CZ,a,b,6,dresses,admin", 'geo is "CZ", which is none of the 13 markets'),
        ("1,2,,a,b,6,dresses,admin", 'geo is "", which is none of the 13 markets'),
        ("x,2,cz,a,b,6,dresses,admin", 'item_id is "x", no whole number'),
        ("1,2.0,cz,a,b,6,dresses,admin", 'image_id is "2.0", no whole number'),
        ("1,,cz,a,b,6,dresses,admin", 'image_id is "", no whole number'),
        ("1,../2,cz,a,b,6,dresses,admin", 'image_id is "../2", no whole number'),
        ("1,2,cz,a,b,-6,dresses,admin", 'category is "-6", no whole number'),
        (f"1,{'9' * 19},cz,a,b,6,dresses,admin", f'image_id is "{"9" * 19}", no whole number'),
        ("1,2,cz,a,b,6, ,admin", "category_name is empty"),
        ("1,2,cz,a,b,6,dresses,guess", 'label_source is "guess", which is none of the published ones'),
        ("1,2,cz,a\0,b,6,dresses,admin", "holds a NUL byte"),
        ("1,2,cz,a,b,6,dresses", "7 cells where the header has 8 columns"),
    ],
)
def test_a_row_that_makes_no_sense_is_rejected(line: str, why: str) -> None:
    """Else a shifted row is trained on under a wrong label."""
    assert reason(line) == why


def test_columns_are_found_by_name() -> None:
    """Their order in the public files was never seen, nor whether they have image_url."""
    header = "label_source,image_url,category_name,category,description,name,geo,image_id,item_id"
    line = "admin,https://example.org/2.jpg,dresses,6,Nová.,Bota,cz,2,1"
    assert item(line, header) == item(GOOD)
    assert item(GOOD, "\ufeff" + HEADER) == item(GOOD)


def test_a_missing_column_is_told() -> None:
    with pytest.raises(DataError) as caught:
        rows("1,2", header="item_id,image_id,geo,name,description,category_name")
    assert str(caught.value) == (
        "GLAMI-1M-train.csv lacks the columns category and label_source; "
        "it has item_id, image_id, geo, name, description, category_name."
    )


def test_another_encoding_is_told() -> None:
    """Else names of eight languages are read as other letters."""
    stream = io.BytesIO(f"{HEADER}\n{GOOD}\n1,2,cz,Šaty,,6,dresses,admin".encode("cp1250"))
    with pytest.raises(DataError) as caught:
        list(read_items(stream, "GLAMI-1M-train.csv"))
    assert str(caught.value) == "GLAMI-1M-train.csv is not UTF-8 (byte 0xe1 in line 2); convert it to UTF-8."


# Classes


def test_classes_are_those_of_both_tables_in_the_order_of_their_ids(archives: dict[str, Path]) -> None:
    """Else a class that is rare in one split shifts all others, and scores of two runs can't be compared."""
    ids, names = zip(*glami.classes(6), strict=True)
    assert list(ids) == sorted(ids)
    assert ids[-1] > len(ids)
    for form, variant in (("zip", ""), ("folder", "paper"), ("test-only", "test-only")):
        (task,) = GlamiSource(archives[form], variant).tasks
        assert (task.name, task.classes) == ("category", names)


PAIRS = [(6, "kitchen"), (6, "dresses"), (53403, "dresses"), (132, "bikinis"), (7, "bikinis")]


@given(st.permutations(PAIRS))
def test_which_name_a_category_has_depends_on_no_order(order: Sequence[tuple[int, str]]) -> None:
    counts = dict(zip(PAIRS, (90, 10, 80, 50, 50), strict=True))
    known = Categories({pair: counts[pair] for pair in order})
    assert known.names == ("kitchen", "bikinis", "dresses")
    assert known.complaint(6, "kitchen") == known.complaint(7, "bikinis") == ""
    assert known.complaint(6, "dresses") == 'category 6 is "dresses", in most rows "kitchen"'
    assert known.complaint(132, "bikinis") == '"bikinis" is category 132, in most rows 7'


def test_two_ids_of_a_name_and_two_names_of_an_id_are_rejected() -> None:
    known = Categories({(6, "kitchen"): 3, (9, "kitchen"): 1, (8, "dresses"): 1})
    assert known.names == ("kitchen", "dresses")
    assert known.complaint(9, "kitchen") == '"kitchen" is category 9, in most rows 6'


# Splits


GOLDEN = [400003, 400013, 400022, 400036, 400050, 400059, 400062, 400078, 400146, 400161]


def test_validation_never_changes() -> None:
    """A golden list: another rule is another data set under the same name."""
    assert [image for image in range(400_000, 400_200) if training_split(image) == "validation"] == GOLDEN


def test_validation_has_its_share() -> None:
    """5 % of the images: more are lost for training, fewer choose checkpoints by chance."""
    count = sum(training_split(image) == "validation" for image in range(0, 60_000, 3))
    assert count == pytest.approx(1000, abs=100)


@given(st.permutations(range(12)), st.integers(0, 3))
def test_splits_depend_on_no_order_of_rows(
    tmp_path_factory: pytest.TempPathFactory, order: Sequence[int], top: int
) -> None:
    """Else an archive that is written anew mixes train and validation of two runs."""
    lines = [f"{n},{400_000 + n // 2 + 8 * top},cz,a,b,6,dresses,admin" for n in range(12)]
    folder = tmp_path_factory.mktemp("order")
    write_folder(folder, [lines[n] for n in order], ["99,99,cz,a,b,6,dresses,admin"])
    found = {one.id: one.split for one in GlamiSource(folder).examples() if isinstance(one, Example)}
    assert found == {str(n): training_split(400_000 + n // 2 + 8 * top) for n in range(12)} | {"99": "test"}


def test_rows_of_a_image_are_in_one_split(examples: dict[str, Example]) -> None:
    """One product in several languages: else validation is trained on."""
    of_image: dict[str, set[str]] = {}
    for one in examples.values():
        if one.split != "test":
            of_image.setdefault(one.cluster, set()).add(one.split)
        assert one.cluster == one.image
    assert all(len(splits) == 1 for splits in of_image.values())
    languages = Counter((one.cluster, one.split) for one in examples.values())
    assert max(languages.values()) > 1


def test_test_rows_tell_whether_their_image_is_in_train(examples: dict[str, Example]) -> None:
    """They keep their published split; their scores are also given apart."""
    train = {one.image for one in examples.values() if one.split != "test"}
    for one in examples.values():
        seen = one.split == "test" and one.image in train
        assert one.slices["image_seen_in_train"] == ("yes" if seen else "no")
    assert examples["9000013"].slices["image_seen_in_train"] == "yes"


def test_who_labelled_a_row_and_its_split_reach_no_model(examples: dict[str, Example]) -> None:
    """A shop has no label_source at prediction time: a model that sees it scores what it can't do."""
    for one in examples.values():
        assert one.attributes == {}
        assert not any(source in one.text for source in ("admin", "custom-tag", "quality-check", "combined-tag"))


# Files


def write_folder(folder: Path, train: Sequence[str] | None, test: Sequence[str]) -> None:
    (folder / "images").mkdir(exist_ok=True)
    for split, lines in (("train", train), ("test", test)):
        if lines is not None:
            (folder / f"GLAMI-1M-{split}.csv").write_text("\n".join((HEADER, *lines)), encoding="utf-8")
            for line in lines:
                (folder / "images" / f"{line.split(',')[1]}.jpg").touch()


def test_zip_and_folder_make_the_same_data(archives: dict[str, Path]) -> None:
    """Else two colleagues' scores can't be compared, because one of them unpacked the file."""
    stores = [prepared(path) for path in (archives["zip"], archives["folder"])]
    assert stores[0].fingerprint == stores[1].fingerprint
    assert stores[0].folder != stores[1].folder
    ways = [(archives["zip"], "test-only"), (archives["test-only"], "test-only"), (archives["folder"], "test-only")]
    assert len({prepared(path, variant).fingerprint for path, variant in ways}) == 1


def test_what_is_damaged_is_rejected_with_its_reason(archives: dict[str, Path]) -> None:
    """A text file, an empty one, none at all; an unknown market, a doubled id: a million good rows are not lost."""
    store = prepared(archives["zip"])
    found = pq.read_table(store.folder / REJECTED).to_pylist()
    assert sorted(one["reason"] for one in found) == sorted(row["why"] for row in glami.bad())
    assert all(one["where"].startswith("GLAMI-1M-train.csv, row ") for one in found)
    assert set(store.split_sizes) == {"train", "validation", "test"}
    assert min(store.split_sizes.values()) >= 12
    assert "test+train" in store.info["spanning"]


def test_images_of_any_colours_become_rgb(archives: dict[str, Path]) -> None:
    """Grey, CMYK and RGBA occur; the authors' reader converts them too."""
    store = prepared(archives["zip"])
    keys = store.images["key"].to_pylist()
    shades = {what: decode(store.image(keys.index(key))) for what, key in COLOURED.items()}
    plain = decode(store.image(keys.index("9000001"))).reshape(-1, 3).mean(axis=0)
    for what, pixels in shades.items():
        assert pixels.shape == (glami.HEIGHT, glami.WIDTH, 3)
        if what != "grey":
            assert np.abs(pixels.reshape(-1, 3).mean(axis=0) - plain).max() < 12, what


COLOURED = {"grey": "9000007", "CMYK": "9000008", "RGBA": "9000009"}


def test_each_image_comes_once_in_the_order_of_its_number(archives: dict[str, Path]) -> None:
    for form, variant in (("zip", ""), ("folder", ""), ("test-only", "test-only")):
        source = GlamiSource(archives[form], variant)
        keys = [int(key) for key, _ in source.images()]
        assert keys == sorted(set(keys))
        assert len(keys) == source.size


def test_of_members_of_one_name_the_last_counts(tmp_path: Path) -> None:
    """As after unpacking."""
    path = glami.write(tmp_path, 40, traps=False, form="test-only")
    with zipfile.ZipFile(path, "a") as archive, pytest.warns(UserWarning, match="Duplicate name"):
        archive.writestr("GLAMI-1M-dataset/images/4000000.jpg", b"another")
    assert dict(GlamiSource(path, "test-only").images())["4000000"]() == b"another"


def test_images_are_found_without_reading_a_table(tmp_path: Path) -> None:
    """Preparing goes on where it stopped in seconds: a million rows are not read for it."""
    path = glami.write(tmp_path, 40, traps=False, form="folder")
    (path / "GLAMI-1M-train.csv").write_bytes(b"")
    assert sum(1 for _ in GlamiSource(path).images()) == GlamiSource(path).size > 0


@pytest.mark.parametrize("top", ["", "GLAMI-1M-dataset", "data/glami 2022"])
@pytest.mark.parametrize("form", ["zip", "folder"])
def test_the_top_folder_may_have_any_name(tmp_path: Path, top: str, form: str) -> None:
    """People unpack, rename and zip again."""
    path = glami.write(tmp_path, 40, traps=False, form=form, top=top)
    assert sum(isinstance(one, Example) for one in GlamiSource(path).examples()) == 40


def test_a_folder_above_will_do(tmp_path: Path) -> None:
    glami.write(tmp_path, 40, traps=False, form="folder")
    assert sum(isinstance(one, Example) for one in GlamiSource(tmp_path).examples()) == 40


def test_what_other_programs_leave_is_not_read(tmp_path: Path) -> None:
    """Archives made on a Mac hold a shadow of each file."""
    path = glami.write(tmp_path, 40, traps=False)
    before = GlamiSource(path).size
    with zipfile.ZipFile(path, "a") as archive:
        for name in ("__MACOSX/._GLAMI-1M-test.csv", "GLAMI-1M-dataset/images/Thumbs.db", "other/images/1.jpg"):
            archive.writestr(name, b"x")
        archive.writestr("GLAMI-1M-dataset/images/007.jpg", b"x")
    assert GlamiSource(path).size == before


def message(path: Path, variant: str = "") -> str:
    with pytest.raises(DataError) as caught:
        GlamiSource(path, variant)
    return str(caught.value).replace(str(path), "PATH")


NO_TRAIN = (
    "PATH holds no GLAMI-1M-train.csv: it is the archive of the test split, or a download that was cut short; take the "
    "data set glami1m:test-only for models that need no training, or get the full GLAMI-1M-dataset.zip."
)


@pytest.mark.parametrize("variant", ["", "paper"])
def test_the_archive_of_the_test_split_is_not_taken_for_all(archives: dict[str, Path], variant: str) -> None:
    """Else a run fails after an hour of preparing, for want of anything to train on."""
    assert message(archives["test-only"], variant) == NO_TRAIN


def test_a_missing_training_table_is_told(tmp_path: Path) -> None:
    """Issue 1 of the authors' repository."""
    path = glami.write(tmp_path, 40, traps=False, form="folder", without=["GLAMI-1M-train.csv"])
    assert message(path) == NO_TRAIN
    assert GlamiSource(path, "test-only").size > 0


def test_what_is_no_glami_is_told(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    expected = "PATH holds no GLAMI-1M-test.csv; give GLAMI-1M-dataset.zip, or the folder that it was unpacked into."
    assert message(tmp_path / "empty") == expected
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as archive:
        archive.writestr("a.txt", b"x")
    assert message(tmp_path / "other.zip") == expected
    assert message(tmp_path / "none.zip") == "There is no file or folder PATH."
    (tmp_path / "page.zip").write_bytes(b"<html>")
    assert message(tmp_path / "page.zip").startswith("PATH is no whole zip file (its end is missing); a download")


def test_two_data_sets_in_a_folder_are_told(tmp_path: Path) -> None:
    for top in ("a", "b"):
        glami.write(tmp_path, 40, traps=False, form="folder", top=top)
    words = "PATH holds a/GLAMI-1M-test.csv and b/GLAMI-1M-test.csv; give the folder of the one that is meant."
    assert message(tmp_path) == words


@pytest.mark.parametrize("form", ["zip", "folder"])
def test_an_archive_without_images_is_told(tmp_path: Path, form: str) -> None:
    write_folder(tmp_path, [GOOD], [GOOD])
    (tmp_path / "images" / "2.jpg").unlink()
    path = tmp_path
    if form == "folder":
        (tmp_path / "images").rmdir()
    else:
        path = tmp_path / "bare.zip"
        with zipfile.ZipFile(path, "w") as archive:
            for split in ("train", "test"):
                archive.write(tmp_path / f"GLAMI-1M-{split}.csv", f"GLAMI-1M-{split}.csv")
    assert message(path) == "PATH holds no images images/NUMBER.jpg beside its tables; fetch or unpack it again."


# What it is held to


def test_another_content_is_another_store(tmp_path: Path, archives: dict[str, Path]) -> None:
    """Else a mended archive goes unnoticed, and the old scores stay."""
    zip_, folder = archives["zip"], archives["folder"]
    assert GlamiSource(zip_).identity == GlamiSource(zip_, "paper").identity
    assert GlamiSource(zip_).identity != GlamiSource(zip_, "test-only").identity
    other = glami.write(tmp_path, seed=1)
    assert GlamiSource(zip_).identity != GlamiSource(other).identity
    before = GlamiSource(folder).identity
    assert GlamiSource(folder).identity == before
    added = folder / "images" / "1.jpg"
    added.touch()
    assert GlamiSource(folder).identity != before
    added.unlink()


def test_what_agrees_with_the_card_is_a_release(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All counts that nobody has seen only warn; that there are 191 classes is held to."""
    monkeypatch.setattr("mmeval.data.differences.LEAST", 0)
    path = glami.write(tmp_path, 640, number_of_classes=191)
    store = prepared(path, released=True)
    assert store.released
    assert "examples in test: the card says 116004, the data has 193" in store.info["differences"]
    assert store.slices == ("image_seen_in_train", "label_source", "market")


def test_other_classes_are_no_release(archives: dict[str, Path]) -> None:
    with pytest.raises(DataError) as caught:
        prepared(archives["folder"], released=True)
    words = "glami1m is not as its data card says (glami1m.md): examples: the card says 1108532, the data has 616, "
    words += "too few to be the release; number of classes of category: the card says 191, the data has 6; rejected "
    assert str(caught.value).startswith(words + "were GLAMI-1M-train.csv, row ")


def test_the_variant_that_shows_the_label_source_says_so(archives: dict[str, Path]) -> None:
    """Its scores are not to be had by anyone who uses the model."""
    said = spec().variants["paper"]
    assert "SHOWS THE MODEL WHO LABELLED EACH ROW" in said
    assert "in the test too" in said
    assert "can't be compared" in said
    store = prepared(archives["zip"], "paper")
    assert store.attributes == {
        "label_source": ("admin", "combined-tag", "custom-tag", "quality-check", "unknown"),
    }
    assert prepared(archives["zip"]).attributes == {}


def test_the_card_tells_the_published_facts() -> None:
    """A figure in the prose that the header contradicts misleads whoever reads only one."""
    card = read_card(glami1m.cards_folder() / "glami1m.md")
    assert (card.name, card.tasks, card.licence) == ("glami1m", {"category": 191}, "apache-2.0")
    assert card.splits == {"train+validation": 992_528, "test": 116_004}
    assert set(card.per_class["category"]["test"]) == set(card.per_class["category"]["train+validation"])
    for split, share in glami.SHARES.items():
        says = dict(card.shares["train+validation" if split == "train" else split])
        assert says.pop("within") == 0.15
        assert says == dict(zip((LANGUAGES[geo] for geo in glami.NEW), share, strict=True))
    for path in ("splits.test", "splits.train+validation", "images", "shares.test", "per_class.category.test"):
        assert not card.verified(path)
    assert card.verified("tasks.category")
    assert card.verified("rejected")
    test_only = read_card(card.path, "test-only")
    assert test_only.splits == {"test": 116_004}
    assert set(test_only.shares) == set(test_only.per_class["category"]) == {"test"}


def test_the_file_to_download_is_the_one_of_the_card() -> None:
    archive = spec().archive
    assert archive is not None
    full = archive.downloads[""]
    assert read_card(glami1m.cards_folder() / "glami1m.md").sources[full.name]["md5"] == full.md5
    assert set(archive.downloads) == {"", "test-only"}  # that of the default serves paper too


def test_listing_the_data_set_reads_no_table_library() -> None:
    """Else `mmeval data` takes seconds."""
    heavy = "{'torch', 'pandas', 'datasets', 'h5py'}"
    code = f"import sys, mmeval.datasets.glami1m; print(sorted({heavy} & {{*sys.modules}}))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_a_small_model_can_learn_from_the_archives(archives: dict[str, Path]) -> None:
    """The command line's tests train on them: text and image must tell the class."""
    with (archives["folder"] / "GLAMI-1M-train.csv").open(encoding="utf-8", newline="") as file:
        found: list[dict[str, Any]] = list(csv.DictReader(file))
    assert {row["geo"] for row in found} >= set(LANGUAGES)
    for row in found[:400]:
        assert row["category_name"].replace("-", " ") in row["name"]

"""The data set glami1m, read from generated archives in the published format with all known defects."""

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
    """Path of the same data by form: ``zip``, ``folder``, ``test-only``."""
    folder = tmp_path_factory.mktemp("glami")
    return {form: glami.write(folder, form=form) for form in glami.NAMES}


@pytest.fixture(scope="module")
def examples(archives: dict[str, Path]) -> dict[str, Example]:
    """Examples by id; the first one of each id."""
    of_archive = [example for example in GlamiSource(archives["zip"]).examples() if isinstance(example, Example)]
    return {example.id: example for example in reversed(of_archive)}


def spec() -> DatasetSpec:
    specs: list[DatasetSpec] = []
    glami1m.register_datasets(specs.append)
    return specs[0]


def prepared(path: Path, variant: str = "", *, released: bool = False) -> Store:
    """Prepare a Store as `mmeval data prepare` does."""
    chosen = spec().model_copy(update={"variant": variant})
    assert chosen.archive is not None
    return prepare(chosen, chosen.archive.open(path, variant), released=released)


def rows(*lines: str, header: str = HEADER) -> list[Item | Rejected]:
    return list(read_items(io.BytesIO("\n".join((header, *lines)).encode()), "GLAMI-1M-train.csv"))


def item(line: str, header: str = HEADER) -> Item:
    (row,) = rows(line, header=header)
    assert isinstance(row, Item), row
    return row


def reason(line: str) -> str:
    (row,) = rows(line)
    assert isinstance(row, Rejected)
    assert row.where == "GLAMI-1M-train.csv, row 1"
    return row.reason


# Rows


def test_row_becomes_an_example(examples: dict[str, Example]) -> None:
    example = examples["9000016"]
    assert example == Example(
        id="9000016",
        text="nan",
        language="cs",
        split="train",
        labels={"category": "mens-sneakers"},
        image="9000016",
        cluster="9000016",
        slices={"label_source": "human", "market": "cz", "image_seen_in_train": "no"},
        metadata={"image_id": "9000016", "category_id": "218", "label_source": "admin"},
        where=example.where,
    )


@pytest.mark.parametrize("word", ["NA", "null", "None", "nan", "N/A", "-1.#IND"])
def test_words_that_pandas_reads_as_missing_are_texts(word: str) -> None:
    """Otherwise a product named NA would lose its name, and one without a name would be called nan."""
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
    """Otherwise rows would shift and get the labels of other products."""
    assert examples["9000004"].text == 'Šaty "Eva", dlhé a\nb\r\nc'
    assert examples["9000005"].text == "Len popis"


def test_spaces_around_a_category_name_are_stripped(examples: dict[str, Example]) -> None:
    """Otherwise there would be more than 191 classes."""
    assert examples["9000003"].labels == {"category": "womens-pants"}


def test_spellings_of_category_names_are_different_classes() -> None:
    """The publisher does not say that `womens-` and `women-s-` are the same."""
    names = [item(f"1,2,cz,a,b,{n},{name},admin").name for n, name in enumerate(("womens-socks", "women-s-socks"))]
    assert names == ["womens-socks", "women-s-socks"]


def test_each_market_has_its_language(examples: dict[str, Example]) -> None:
    """Four country codes are not the language's code: as language codes, `ee` is Ewe and `si` Sinhala."""
    others = {"cz": "cs", "gr": "el", "si": "sl", "ee": "et"}
    equal = {"sk", "ro", "hu", "hr", "es", "lt", "lv", "tr", "bg"}
    assert others | {code: code for code in equal} == LANGUAGES
    assert {(example.slices["market"], example.language) for example in examples.values()} == set(LANGUAGES.items())
    assert sorted(LANGUAGES.values()) == sorted(read_card(glami1m.cards_folder() / "glami1m.md").languages)


@pytest.mark.parametrize(
    ("raw", "kind", "attribute"),
    [
        ("admin", "human", "admin"),
        ("custom-tag", "human", "custom-tag"),
        ("quality-check", "human", "quality-check"),
        ("combined-tag", "combined", "combined-tag"),
        ("", "rule", "unknown"),
        ("NaN", "rule", "unknown"),
    ],
)
def test_label_source_is_a_slice(tmp_path: Path, raw: str, kind: str, attribute: str) -> None:
    extra = {"item_id": "77", "image_id": "77", "geo": "cz", "name": "x", "description": "", "label_source": raw}
    extra |= {"category": "6", "category_name": "womens-pants"}
    path = glami.write(tmp_path, 40, traps=False, form="folder", extra={"train": [extra]})
    for variant, attributes in (("", {}), ("paper", {"label_source": attribute})):
        (example,) = (
            row for row in GlamiSource(path, variant).examples() if isinstance(row, Example) and row.id == "77"
        )
        assert example.slices["label_source"] == kind
        assert example.metadata["label_source"] == raw
        assert example.attributes == attributes


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("1,2,de,a,b,6,dresses,admin", 'geo is "de", not one of the 13 markets'),
        ("1,2,CZ,a,b,6,dresses,admin", 'geo is "CZ", not one of the 13 markets'),
        ("1,2,,a,b,6,dresses,admin", 'geo is "", not one of the 13 markets'),
        ("x,2,cz,a,b,6,dresses,admin", 'item_id is "x", not a whole number'),
        ("1,2.0,cz,a,b,6,dresses,admin", 'image_id is "2.0", not a whole number'),
        ("1,,cz,a,b,6,dresses,admin", 'image_id is "", not a whole number'),
        ("1,../2,cz,a,b,6,dresses,admin", 'image_id is "../2", not a whole number'),
        ("1,2,cz,a,b,-6,dresses,admin", 'category is "-6", not a whole number'),
        (f"1,{'9' * 19},cz,a,b,6,dresses,admin", f'image_id is "{"9" * 19}", not a whole number'),
        ("1,2,cz,a,b,6, ,admin", "category_name is empty"),
        ("1,2,cz,a,b,6,dresses,guess", 'label_source is "guess", not one of the published values'),
        ("1,2,cz,a\0,b,6,dresses,admin", "holds a NUL byte"),
        ("1,2,cz,a,b,6,dresses", "7 cells where the header has 8 columns"),
    ],
)
def test_invalid_rows_are_rejected_with_a_reason(line: str, why: str) -> None:
    """Otherwise models would be trained on shifted rows with wrong labels."""
    assert reason(line) == why


def test_columns_are_found_by_name() -> None:
    """Their order in the published files, and whether image_url is one of them, is unverified."""
    header = "label_source,image_url,category_name,category,description,name,geo,image_id,item_id"
    line = "admin,https://example.org/2.jpg,dresses,6,Nová.,Bota,cz,2,1"
    assert item(line, header) == item(GOOD)
    assert item(GOOD, "\ufeff" + HEADER) == item(GOOD)


def test_missing_columns_are_named() -> None:
    with pytest.raises(DataError) as caught:
        rows("1,2", header="item_id,image_id,geo,name,description,category_name")
    assert str(caught.value) == (
        "GLAMI-1M-train.csv lacks the columns category and label_source; "
        "it has item_id, image_id, geo, name, description, category_name."
    )


def test_another_encoding_is_refused() -> None:
    """Otherwise the letters of eight languages would be misread."""
    stream = io.BytesIO(f"{HEADER}\n{GOOD}\n1,2,cz,Šaty,,6,dresses,admin".encode("cp1250"))
    with pytest.raises(DataError) as caught:
        list(read_items(stream, "GLAMI-1M-train.csv"))
    assert str(caught.value) == "GLAMI-1M-train.csv is not UTF-8 (byte 0xe1 in line 2); convert it to UTF-8."


# Classes


def test_classes_of_both_tables_are_in_the_order_of_their_ids(archives: dict[str, Path]) -> None:
    """So that a class that one split lacks does not shift the others."""
    ids, names = zip(*glami.classes(6), strict=True)
    assert list(ids) == sorted(ids)
    assert ids[-1] > len(ids)
    for form, variant in (("zip", ""), ("folder", "paper"), ("test-only", "test-only")):
        (task,) = GlamiSource(archives[form], variant).tasks
        assert (task.name, task.classes) == ("category", names)


PAIRS = [(6, "kitchen"), (6, "dresses"), (53403, "dresses"), (132, "bikinis"), (7, "bikinis")]


@given(st.permutations(PAIRS))
def test_mapping_of_categories_does_not_depend_on_the_order_of_rows(order: Sequence[tuple[int, str]]) -> None:
    counts = dict(zip(PAIRS, (90, 10, 80, 50, 50), strict=True))
    known = Categories({pair: counts[pair] for pair in order})
    assert known.names == ("kitchen", "bikinis", "dresses")
    assert known.complaint(6, "kitchen") == known.complaint(7, "bikinis") == ""
    assert known.complaint(6, "dresses") == 'category 6 is "dresses", in most rows "kitchen"'
    assert known.complaint(132, "bikinis") == '"bikinis" is category 132, in most rows 7'


def test_second_id_of_a_name_is_rejected() -> None:
    known = Categories({(6, "kitchen"): 3, (9, "kitchen"): 1, (8, "dresses"): 1})
    assert known.names == ("kitchen", "dresses")
    assert known.complaint(9, "kitchen") == '"kitchen" is category 9, in most rows 6'


# Splits


GOLDEN = [400003, 400013, 400022, 400036, 400050, 400059, 400062, 400078, 400146, 400161]


def test_validation_split_never_changes() -> None:
    """Another rule would silently change the data set."""
    assert [image for image in range(400_000, 400_200) if training_split(image) == "validation"] == GOLDEN


def test_validation_has_five_per_cent_of_the_images() -> None:
    count = sum(training_split(image) == "validation" for image in range(0, 60_000, 3))
    assert count == pytest.approx(1000, abs=100)


@given(st.permutations(range(12)), st.integers(0, 3))
def test_splits_do_not_depend_on_the_order_of_rows(
    tmp_path_factory: pytest.TempPathFactory, order: Sequence[int], top: int
) -> None:
    """Otherwise a rewritten archive would mix the train and validation splits of two runs."""
    lines = [f"{n},{400_000 + n // 2 + 8 * top},cz,a,b,6,dresses,admin" for n in range(12)]
    folder = tmp_path_factory.mktemp("order")
    write_folder(folder, [lines[n] for n in order], ["99,99,cz,a,b,6,dresses,admin"])
    splits = {example.id: example.split for example in GlamiSource(folder).examples() if isinstance(example, Example)}
    assert splits == {str(n): training_split(400_000 + n // 2 + 8 * top) for n in range(12)} | {"99": "test"}


def test_rows_of_an_image_are_in_one_split(examples: dict[str, Example]) -> None:
    """As the rows of a product in several languages; otherwise validation images would be trained on."""
    of_image: dict[str, set[str]] = {}
    for example in examples.values():
        if example.split != "test":
            of_image.setdefault(example.cluster, set()).add(example.split)
        assert example.cluster == example.image
    assert all(len(splits) == 1 for splits in of_image.values())
    languages = Counter((example.cluster, example.split) for example in examples.values())
    assert max(languages.values()) > 1


def test_test_rows_whose_image_is_in_train_have_a_slice(examples: dict[str, Example]) -> None:
    """They keep their published split."""
    train = {example.image for example in examples.values() if example.split != "test"}
    for example in examples.values():
        seen = example.split == "test" and example.image in train
        assert example.slices["image_seen_in_train"] == ("yes" if seen else "no")
    assert examples["9000013"].slices["image_seen_in_train"] == "yes"


def test_models_do_not_see_the_label_source(examples: dict[str, Example]) -> None:
    """It is not known when a model is used, so a score of a model that sees it is misleading."""
    for example in examples.values():
        assert example.attributes == {}
        assert not any(source in example.text for source in ("admin", "custom-tag", "quality-check", "combined-tag"))


# Files


def write_folder(folder: Path, train: Sequence[str] | None, test: Sequence[str]) -> None:
    (folder / "images").mkdir(exist_ok=True)
    for split, lines in (("train", train), ("test", test)):
        if lines is not None:
            (folder / f"GLAMI-1M-{split}.csv").write_text("\n".join((HEADER, *lines)), encoding="utf-8")
            for line in lines:
                (folder / "images" / f"{line.split(',')[1]}.jpg").touch()


def test_zip_file_and_folder_give_the_same_data(archives: dict[str, Path]) -> None:
    """So that scores are comparable whether or not the file was unpacked."""
    stores = [prepared(path) for path in (archives["zip"], archives["folder"])]
    assert stores[0].fingerprint == stores[1].fingerprint
    assert stores[0].folder != stores[1].folder
    ways = [(archives["zip"], "test-only"), (archives["test-only"], "test-only"), (archives["folder"], "test-only")]
    assert len({prepared(path, variant).fingerprint for path, variant in ways}) == 1


def test_damaged_rows_are_rejected_with_their_reason(archives: dict[str, Path]) -> None:
    store = prepared(archives["zip"])
    rejected = pq.read_table(store.folder / REJECTED).to_pylist()
    assert sorted(row["reason"] for row in rejected) == sorted(row["why"] for row in glami.bad())
    assert all(row["where"].startswith("GLAMI-1M-train.csv, row ") for row in rejected)
    assert set(store.split_sizes) == {"train", "validation", "test"}
    assert min(store.split_sizes.values()) >= 12
    assert "test+train" in store.info["spanning"]


def test_images_of_any_mode_become_rgb(archives: dict[str, Path]) -> None:
    """The data set has grey, CMYK and RGBA images."""
    store = prepared(archives["zip"])
    keys = store.images["key"].to_pylist()
    by_mode = {mode: decode(store.image(keys.index(key))) for mode, key in COLOURED.items()}
    plain = decode(store.image(keys.index("9000001"))).reshape(-1, 3).mean(axis=0)
    for mode, pixels in by_mode.items():
        assert pixels.shape == (glami.HEIGHT, glami.WIDTH, 3)
        if mode != "grey":
            assert np.abs(pixels.reshape(-1, 3).mean(axis=0) - plain).max() < 12, mode


COLOURED = {"grey": "9000007", "CMYK": "9000008", "RGBA": "9000009"}


def test_images_are_unique_and_sorted_by_id(archives: dict[str, Path]) -> None:
    for form, variant in (("zip", ""), ("folder", ""), ("test-only", "test-only")):
        source = GlamiSource(archives[form], variant)
        keys = [int(key) for key, _ in source.images()]
        assert keys == sorted(set(keys))
        assert len(keys) == source.size


def test_last_member_of_a_name_counts(tmp_path: Path) -> None:
    """As after unpacking."""
    path = glami.write(tmp_path, 40, traps=False, form="test-only")
    with zipfile.ZipFile(path, "a") as archive, pytest.warns(UserWarning, match="Duplicate name"):
        archive.writestr("GLAMI-1M-dataset/images/4000000.jpg", b"another")
    assert dict(GlamiSource(path, "test-only").images())["4000000"]() == b"another"


def test_images_are_listed_without_reading_a_table(tmp_path: Path) -> None:
    """So that resuming takes seconds: a million rows need not be read."""
    path = glami.write(tmp_path, 40, traps=False, form="folder")
    (path / "GLAMI-1M-train.csv").write_bytes(b"")
    assert sum(1 for _ in GlamiSource(path).images()) == GlamiSource(path).size > 0


@pytest.mark.parametrize("top", ["", "GLAMI-1M-dataset", "data/glami 2022"])
@pytest.mark.parametrize("form", ["zip", "folder"])
def test_top_folder_may_have_any_name(tmp_path: Path, top: str, form: str) -> None:
    """Users unpack, rename and zip again."""
    path = glami.write(tmp_path, 40, traps=False, form=form, top=top)
    assert sum(isinstance(example, Example) for example in GlamiSource(path).examples()) == 40


def test_parent_folder_is_accepted(tmp_path: Path) -> None:
    glami.write(tmp_path, 40, traps=False, form="folder")
    assert sum(isinstance(example, Example) for example in GlamiSource(tmp_path).examples()) == 40


def test_files_of_other_programs_are_ignored(tmp_path: Path) -> None:
    """As __MACOSX, which archives made on a Mac have."""
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
    "PATH holds no GLAMI-1M-train.csv: it is the archive of the test split, or an incomplete download; use the data "
    "set glami1m:test-only for models that need no training, or get the full GLAMI-1M-dataset.zip."
)


@pytest.mark.parametrize("variant", ["", "paper"])
def test_archive_of_the_test_split_is_refused_for_other_variants(archives: dict[str, Path], variant: str) -> None:
    """Otherwise a run would fail after an hour of preparing, because there is nothing to train on."""
    assert message(archives["test-only"], variant) == NO_TRAIN


def test_missing_training_table_is_named(tmp_path: Path) -> None:
    """As reported in issue 1 of the authors' repository."""
    path = glami.write(tmp_path, 40, traps=False, form="folder", without=["GLAMI-1M-train.csv"])
    assert message(path) == NO_TRAIN
    assert GlamiSource(path, "test-only").size > 0


def test_other_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    expected = "PATH holds no GLAMI-1M-test.csv; give GLAMI-1M-dataset.zip, or the folder that it was unpacked into."
    assert message(tmp_path / "empty") == expected
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as archive:
        archive.writestr("a.txt", b"x")
    assert message(tmp_path / "other.zip") == expected
    assert message(tmp_path / "none.zip") == "There is no file or folder PATH."
    (tmp_path / "page.zip").write_bytes(b"<html>")
    assert message(tmp_path / "page.zip").startswith("PATH is not a complete zip file (its end is missing); a download")


def test_folder_with_two_data_sets_is_refused(tmp_path: Path) -> None:
    for top in ("a", "b"):
        glami.write(tmp_path, 40, traps=False, form="folder", top=top)
    words = "PATH holds a/GLAMI-1M-test.csv and b/GLAMI-1M-test.csv; give the folder that has only one of them."
    assert message(tmp_path) == words


@pytest.mark.parametrize("form", ["zip", "folder"])
def test_archive_without_images_is_refused(tmp_path: Path, form: str) -> None:
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


# Identity and card


def test_changed_content_changes_the_identity(tmp_path: Path, archives: dict[str, Path]) -> None:
    """Otherwise a corrected archive would go unnoticed."""
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


def test_data_that_agrees_with_the_card_is_a_release(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Unverified counts only warn; the number of classes must agree."""
    monkeypatch.setattr("mmeval.data.differences.MIN_SHARE", 0)
    path = glami.write(tmp_path, 640, number_of_classes=191)
    store = prepared(path, released=True)
    assert store.released
    assert "examples in test: the card says 116004, the data has 193" in store.info["differences"]
    assert store.slices == ("image_seen_in_train", "label_source", "market")


def test_other_number_of_classes_is_refused(archives: dict[str, Path]) -> None:
    with pytest.raises(DataError) as caught:
        prepared(archives["folder"], released=True)
    words = "glami1m differs from its data card (glami1m.md): examples: the card says 1108532, the data has 616, "
    words += "too few to be the release; number of classes of category: the card says 191, the data has 6; rejected "
    assert str(caught.value).startswith(words + "rows: GLAMI-1M-train.csv, row ")


def test_summary_of_the_variant_paper_warns_of_the_label_source(archives: dict[str, Path]) -> None:
    summary = spec().variants["paper"]
    assert "SHOWS THE MODEL WHO LABELLED EACH ROW" in summary
    assert "in the test too" in summary
    assert "can't be compared" in summary
    store = prepared(archives["zip"], "paper")
    assert store.attributes == {
        "label_source": ("admin", "combined-tag", "custom-tag", "quality-check", "unknown"),
    }
    assert prepared(archives["zip"]).attributes == {}


def test_card_has_the_published_facts() -> None:
    """A figure in the prose that the header contradicts misleads whoever reads only example."""
    card = read_card(glami1m.cards_folder() / "glami1m.md")
    assert (card.name, card.tasks, card.licence) == ("glami1m", {"category": 191}, "apache-2.0")
    assert card.splits == {"train+validation": 992_528, "test": 116_004}
    assert set(card.per_class["category"]["test"]) == set(card.per_class["category"]["train+validation"])
    for split, share in glami.SHARES.items():
        shares = dict(card.shares["train+validation" if split == "train" else split])
        assert shares.pop("within") == 0.15
        assert shares == dict(zip((LANGUAGES[geo] for geo in glami.NEW), share, strict=True))
    for path in ("splits.test", "splits.train+validation", "images", "shares.test", "per_class.category.test"):
        assert not card.verified(path)
    assert card.verified("tasks.category")
    assert card.verified("rejected")
    test_only = read_card(card.path, "test-only")
    assert test_only.splits == {"test": 116_004}
    assert set(test_only.shares) == set(test_only.per_class["category"]) == {"test"}


def test_download_has_the_digest_of_the_card() -> None:
    archive = spec().archive
    assert archive is not None
    full = archive.downloads[""]
    assert read_card(glami1m.cards_folder() / "glami1m.md").sources[full.name]["md5"] == full.md5
    assert set(archive.downloads) == {"", "test-only"}  # the default's file also serves the variant paper


def test_importing_the_data_set_imports_nothing_heavy() -> None:
    """So that `mmeval data` takes no seconds."""
    heavy = "{'torch', 'pandas', 'datasets', 'h5py'}"
    code = f"import sys, mmeval.datasets.glami1m; print(sorted({heavy} & {{*sys.modules}}))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_generated_texts_name_the_class(archives: dict[str, Path]) -> None:
    """The tests of the command line train on them."""
    with (archives["folder"] / "GLAMI-1M-train.csv").open(encoding="utf-8", newline="") as file:
        rows: list[dict[str, Any]] = list(csv.DictReader(file))
    assert {row["geo"] for row in rows} >= set(LANGUAGES)
    for row in rows[:400]:
        assert row["category_name"].replace("-", " ") in row["name"]

"""The whole audit, on data sets whose defects are known because they were put there."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image
from rich.console import Console

from mmeval import Example, Task
from mmeval.api.source import Rejected
from mmeval.audit import audit
from mmeval.audit.content import Audit, Share
from mmeval.audit.findings import findings, verdict
from mmeval.audit.terminal import terminal
from mmeval.data.store import Store
from tests.audit.conftest import jpeg, scene

Make = Callable[..., Store]
TASK = Task("dish", ("apple_pie", "fish_soup", "rice"))
WORDS = {
    "en": "a slow and quiet evening by the old harbour where our neighbours cooked something for everyone who came",
    "cs": "tichý podzimní večer u starého rybníka kde nám sousedé vařili znamenitou večeři pro všechny hosty zadarmo",
}


def sentence(language: str, key: str) -> str:
    """Words in an order of their own for each key."""
    words = WORDS[language].split()
    order = np.random.default_rng([ord(letter) for letter in key]).permutation(len(words))
    return " ".join(words[i] for i in order[:9])


def rows() -> Iterator[Example | Rejected]:
    for split, count in (("train", 16), ("validation", 4), ("test", 8)):
        for number in range(count):
            for language in ("cs", "en"):
                key = f"{split}{number}"
                dish = TASK.classes[number % 2] if split != "test" else TASK.classes[number % 3]
                yield Example(
                    f"{key}/{language}", sentence(language, key), language, split, {"dish": dish}, key, cluster=key
                )
    long = "a recipe from the coast with fresh herbs and lemon, for four people"
    yield Example("s0", long, "en", "train", {"dish": "fish_soup"}, "s0")
    yield Example("t0", long, "en", "test", {"dish": "fish_soup"}, "t0")
    yield Example("s1", f"1 {long} and more", "en", "train", {"dish": "fish_soup"}, "s1")
    yield Example("t1", f"1 {long} amd more", "en", "test", {"dish": "rice"}, "t1")
    yield Example("s2", "Best soup of the year", "en", "train", {"dish": "fish_soup"}, "s2")
    yield Example("t2", "BEST  soup - of the year!", "en", "test", {"dish": "rice"}, "t2")
    yield Example("leak", "grandmother's famous Apple Pie with cinnamon", "en", "test", {"dish": "apple_pie"}, None)
    yield Example("wrong", "better than any apple-pie: a bowl of plain rice", "en", "test", {"dish": "rice"}, None)
    yield Example("stray", "Sousedé nám vařili znamenitou večeři, a to zadarmo", "en", "test", {}, None)
    yield Example("noise1", "dinner for two", "en", "train", {"dish": "rice"}, None)
    yield Example("noise2", "Dinner for two.", "en", "train", {"dish": "apple_pie"}, None)
    yield Example("empty", "  ", "cs", "test", {"dish": "rice"}, None)
    yield Rejected("file.csv, row 7", '"soup" is no class of dish', "bad1")
    yield Rejected("file.csv, row 9", '"stew" is no class of dish', "bad2")


def images() -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for one in rows():
        if isinstance(one, Example) and one.image:
            found.setdefault(one.image, jpeg(scene(len(found))))
    found["t0"] = found["s0"]
    images = {key: scene(list(found).index(key)) for key in ("s1", "s2")}
    found["t1"] = jpeg(images["s1"], 50)
    found["t2"] = jpeg(images["s2"].resize((100, 110), Image.Resampling.LANCZOS))
    return found


@pytest.fixture
def store(planted: Make) -> Store:
    return planted(list(rows()), images(), (TASK,))


@pytest.fixture
def made(store: Store, tmp_path: Path) -> Audit:
    return audit(store, tmp_path)


def share(count: int, n: int) -> Share:
    return Share(count=count, n=n)


def test_twins_of_images_are_counted(made: Audit) -> None:
    """Identical, encoded again and halved, and nothing else."""
    assert made.images is not None
    test_train = made.images.between[0]
    assert (test_train.split, test_train.other) == ("test", "train")
    assert (test_train.same, test_train.near) == (share(1, 19), share(3, 19))
    assert test_train.languages["en"].near == share(3, 11)
    assert test_train.languages["cs"].near == share(0, 8)
    assert [one.near.count for one in made.images.between[1:]] == [0, 0]
    assert (made.images.units, made.images.distinct, made.images.same_sets) == (34, 33, 1)
    assert (made.images.near_sets, made.images.near_members, made.images.limits) == (2, 4, "")
    assert {split: one.near.count for split, one in made.images.within.items()} == dict.fromkeys(made.splits, 0)


def test_twins_of_texts_are_counted(made: Audit) -> None:
    assert made.texts is not None
    test_train = made.texts.between[0]
    assert (test_train.same.count, test_train.near.count) == (2, 3)
    assert test_train.languages["en"].near.count == 3
    assert made.texts.within["train"].same == share(2, 37)
    assert made.texts.conflicts["dish"].sets == 2
    assert made.texts.conflicts["dish"].wrong == 2
    assert made.texts.conflicts["dish"].examples[0][0] in ("dinner for two", "best soup of the year")
    assert made.texts.lookups["dish"].found.count == 2
    assert made.texts.lookups["dish"].right == share(1, 2)


def test_class_names_in_texts_are_counted(made: Audit) -> None:
    """Of the test texts with a label one names its class, one another's that is longer; the empty one names none."""
    one = made.names[0]
    assert (one.split, one.task) == ("test", "dish")
    assert (one.fires, one.precise, one.right) == (share(2, 22), share(1, 2), share(1, 22))
    assert one.languages["cs"].fires == share(0, 9)


def test_a_text_in_another_language_is_found(made: Audit) -> None:
    assert made.foreign is not None
    assert made.foreign["en"].others == {"cs": 1}
    assert made.foreign["en"].examples[0][0] == "stray"
    assert made.foreign["cs"].foreign.count == 0
    assert made.foreign["cs"].outcomes == share(28, 28)


def test_the_data_set_before_leaves_no_candidates_behind(planted: Make, tmp_path: Path) -> None:
    """Two audits of one process: the second one's languages must be known though the first had others."""
    task = (Task("t", ("a", "b")),)

    def foreign(language: str, text: str) -> Any:
        rows = [Example(f"{language}{n}", f"{text} {n}", language, "train", {"t": "a"}) for n in range(2)]
        found = audit(planted(rows, tasks=task), tmp_path).foreign
        assert found is not None
        return found[language].others

    assert foreign("lt", "šis tekstas parašytas lietuvių kalba ir yra pakankamai ilgas") == {}
    assert foreign("cs", "tento text je napsaný česky a je dostatečně dlouhý na to") == {}
    assert foreign("lt", "this text is written in English, which is another language") == {"en": 2}


def test_mixes_are_held_against_each_other(made: Audit) -> None:
    mix = made.mixes[0]
    assert mix.missing == {"train": [], "validation": ["rice"], "test": []}
    assert mix.shift is not None
    counts = ((17, 7), (19, 7), (1, 8))
    assert mix.shift.value == pytest.approx(0.5 * sum(abs(train / 37 - test / 22) for train, test in counts))
    assert mix.untrained["cs"] == share(3, 9)
    assert 0 < mix.shift.chance < mix.shift.value


def test_what_is_missing_and_was_rejected_is_told(made: Audit) -> None:
    cell = made.gaps.cells["test"]["cs"]
    assert (cell.rows, cell.no_text, cell.no_image) == (9, share(1, 9), share(1, 9))
    assert made.gaps.cells["test"]["en"].no_label["dish"] == share(1, 14)
    assert made.gaps.reasons == [('"…" is no class of dish', 2, "file.csv, row 7")]


def test_clusters_across_splits_are_a_finding(planted: Make, tmp_path: Path) -> None:
    """Fashion-Gen: views of one product in train and validation."""
    given = [Example(f"{i}", f"text {i}", "en", split, {}, cluster="p") for i, split in enumerate(("train", "test"))]
    texts = [one.text for one in findings(audit(planted(given), tmp_path))]
    assert "1 cluster (rows that belong together) has examples in test and train." in texts


def test_pairs_stand_in_the_table_with_their_splits(made: Audit, tmp_path: Path) -> None:
    table = pq.read_table(tmp_path / "duplicates.parquet").to_pylist()
    pairs = {(one["kind"], one["same"], frozenset((one["left_id"], one["right_id"]))) for one in table}
    expected = {
        ("image", True, frozenset(("s0", "t0"))),
        ("image", False, frozenset(("s1", "t1"))),
        ("image", False, frozenset(("s2", "t2"))),
        ("text", True, frozenset(("s0", "t0"))),
        ("text", False, frozenset(("s1", "t1"))),
        ("text", True, frozenset(("s2", "t2"))),
        ("text", True, frozenset(("noise1", "noise2"))),
    }
    assert expected <= pairs
    assert {one for one in pairs if one[0] == "image"} == {one for one in expected if one[0] == "image"}
    assert all({one["left_split"], one["right_split"]} == {"train", "test"} for one in table if one["kind"] == "image")
    shown = {(one.kind, frozenset((one.left["id"], one.right["id"]))) for one in made.shown}
    assert shown >= {(kind, one) for kind, _, one in expected if one != frozenset(("noise1", "noise2"))}


def test_the_record_is_read_again_as_it_was_written(made: Audit, tmp_path: Path) -> None:
    assert Audit.model_validate_json((tmp_path / "audit.json").read_text()) == made
    assert "NaN" not in (tmp_path / "audit.json").read_text()
    json.loads((tmp_path / "audit.json").read_text())


def test_the_worst_comes_first_and_is_said_in_words(made: Audit) -> None:
    found = findings(made)
    assert found[0].text == "Image duplicates in train: 15.8 % of test (3 of 19 examples); 5.3 % the very same."
    assert [one.level for one in found] == sorted((one.level for one in found), key=["bad", "look", "good"].index)
    assert verdict(made).text.startswith("2 findings can move scores; ")


def test_the_terminal_shows_the_main_findings_and_a_row_per_language(made: Audit) -> None:
    screen = Console(width=100, record=True, file=io.StringIO())
    screen.print(terminal(made))
    text = screen.export_text()
    assert "Image duplicates in train: 15.8 % of test (3 of 19 examples)" in text
    assert "27.3 %" in text
    assert len(text.splitlines()) < 45


SMALL: dict[str, list[Example]] = {
    "no images": [
        Example(f"{i}", f"some text {i}", "en", s, {"dish": "rice"}) for i, s in enumerate(("train", "test"))
    ],
    "no texts": [Example(f"{i}", "", "en", s, {"dish": "rice"}, "p") for i, s in enumerate(("train", "test"))],
    "nothing at all": [Example("1", " ", "en", "train", {})],
    "no test split": [Example(f"{i}", f"text {i}", "en", "train", {"dish": "rice"}, "p") for i in range(3)],
    "only a test split": [Example(f"{i}", f"text {i}", "en", "test", {"dish": "rice"}, "p") for i in range(3)],
    "no labels": [Example(f"{i}", f"text {i}", "en", s, {}, "p") for i, s in enumerate(("train", "test"))],
    "no language": [Example(f"{i}", f"some longer text {i}", "und", s, {}) for i, s in enumerate(("train", "test"))],
    "an unknown language": [Example(f"{i}", f"some longer text {i}", "tlh", "test", {}) for i in range(3)],
    "one example": [Example("1", "a text of one example", "en", "test", {"dish": "rice"}, "p")],
    "only symbols": [Example(f"{i}", text, "en", "train", {}) for i, text in enumerate(("!!!", "?!", "\u200b", "😀"))],
}


@pytest.mark.parametrize("kind", SMALL)
@pytest.mark.parametrize("tasks", [(TASK,), ()])
def test_a_data_set_that_lacks_something_is_audited_all_the_same(
    kind: str, tasks: tuple[Task, ...], planted: Make, tmp_path: Path
) -> None:
    given = SMALL[kind] if tasks else [replace(one, labels={}) for one in SMALL[kind]]
    imaged = {"p": jpeg(scene(1))} if any(one.image for one in given) else {}
    made = audit(planted(given, imaged, tasks), tmp_path)
    assert (made.images is None) == (not imaged)
    assert made.examples == len(given)
    page = (tmp_path / "audit.html").read_text()
    assert "nan" not in page.replace("nan,", "")
    assert verdict(made).text
    terminal(made)


def test_one_image_of_two_splits_leaks_without_any_copy(planted: Make, tmp_path: Path) -> None:
    """GLAMI-1M: rows of several languages share an image_id, perhaps across splits."""
    given = [
        Example(f"{i}", f"text {i}", lang, s, {}, "p") for i, (lang, s) in enumerate((("sk", "train"), ("cs", "test")))
    ]
    made = audit(planted(given, {"p": jpeg(scene(1))}), tmp_path)
    assert made.images is not None
    assert made.images.between[0].same == share(1, 1)
    assert made.images.same_sets == 0
    assert made.shown[0].left["language"] == "sk"


def test_a_image_that_no_example_has_is_no_twin(planted: Make, tmp_path: Path) -> None:
    """Rows that are rejected leave their images behind; an archive may have some that no row names."""
    examples = [Example(f"e{n}", "", "de", ("train", "test")[n], {"t": "a"}, f"p{n}") for n in range(2)]
    images = {f"p{n}": jpeg(scene(n)) for n in range(2)}
    left_over = {"q0": jpeg(scene(0), 60), "q1": jpeg(scene(1), 60), "q2": images["p0"]}
    found = audit(planted(examples, left_over | images, (Task("t", ("a", "b")),)), tmp_path).images
    assert found is not None
    assert (found.units, found.same_sets, found.near_sets) == (2, 0, 0)


def test_an_audit_twice_finds_the_same(store: Store, tmp_path: Path) -> None:
    first, second = (audit(store, tmp_path / name).model_dump(exclude={"seconds"}) for name in ("one", "two"))
    assert first == second


def test_a_million_equal_texts_of_one_template_do_not_hang(planted: Make, tmp_path: Path) -> None:
    given = [Example(f"{i}", f"No description of this product yet {i % 7}", "en", "train", {}) for i in range(3000)]
    made = audit(planted(given), tmp_path)
    assert made.texts is not None
    assert (made.texts.distinct, made.texts.within["train"].same) == (7, share(3000, 3000))
    assert pq.read_metadata(tmp_path / "duplicates.parquet").num_rows < 3 * 3000


def test_embeddings_are_taken_from_the_cache_and_never_computed(store: Store, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("MMEVAL_HOME", str(tmp_path / "home"))
    made = audit(store, tmp_path)
    assert made.embedded is not None
    assert (made.embedded.duplicates, made.embedded.note) == (
        None,
        "not computed: no embeddings of these images are cached",
    )
    assert not (tmp_path / "home" / "embeddings").exists()
    computed = audit(store, tmp_path, encoder="efficientnet-lite0:64").embedded
    assert computed is not None
    assert computed.duplicates is not None
    assert computed.duplicates.n == 11
    assert computed.duplicates.count >= 3
    assert audit(store, tmp_path).embedded == computed


def test_where_all_images_are_too_many_a_sample_is_compared(store: Store, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr("mmeval.audit.embedded.MOST_WORK", 19 * 1280 * 5)
    found = audit(store, tmp_path, encoder="efficientnet-lite0:64").embedded
    assert found is not None
    assert found.duplicates is not None
    assert (found.duplicates.n, found.note) == (5, "a sample by chance of 5 of 11 images")


@pytest.mark.parametrize(
    ("count", "n", "shown"),
    [
        (0, 9, "0 %"),
        (9, 9, "100 %"),
        (1, 100_000, "< 0.1 %"),
        (99_999, 100_000, "99.9 %"),
        (31, 1000, "3.1 %"),
        (0, 0, "–"),
    ],
)
def test_a_share_never_rounds_to_none_or_all(count: int, n: int, shown: str) -> None:
    assert share(count, n).percent == shown


@pytest.mark.slow  # draws the 1,906 images, unless another test has
def test_emoji14_has_its_33_sets_of_twins_and_none_across_splits(tmp_path: Path) -> None:
    """As its data card says; near duplicates do stand in different splits."""
    pytest.importorskip("resvg_py", reason="emoji14 is drawn by the packages of the extra demo")
    from mmeval.data.prepare.prepare import prepare
    from mmeval.plugin.manager import Manager

    made = audit(prepare(Manager().dataset("emoji14")), tmp_path)
    assert made.images is not None
    assert (made.images.units, made.images.distinct, made.images.same_sets) == (1906, 1872, 33)
    assert [one.same.count for one in made.images.between] == [0, 0, 0]
    assert 0 < made.images.between[0].near.value < 0.03
    assert made.mixes[1].missing["train"] == ["animal-amphibian"]
    assert np.all([one.foreign.value < 0.01 for one in (made.foreign or {}).values() if one.outcomes.count])
    assert (tmp_path / "audit.html").stat().st_size < 1_000_000

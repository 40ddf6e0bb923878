"""The audit, on data sets with planted defects."""

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
    """Nine words of a language, in an order that depends on the key."""
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
    encoded: dict[str, bytes] = {}
    for row in rows():
        if isinstance(row, Example) and row.image:
            encoded.setdefault(row.image, jpeg(scene(len(encoded))))
    encoded["t0"] = encoded["s0"]
    images = {key: scene(list(encoded).index(key)) for key in ("s1", "s2")}
    encoded["t1"] = jpeg(images["s1"], 50)
    encoded["t2"] = jpeg(images["s2"].resize((100, 110), Image.Resampling.LANCZOS))
    return encoded


@pytest.fixture
def store(planted: Make) -> Store:
    return planted(list(rows()), images(), (TASK,))


@pytest.fixture
def result(store: Store, tmp_path: Path) -> Audit:
    return audit(store, tmp_path)


def share(count: int, n: int) -> Share:
    return Share(count=count, n=n)


def test_duplicate_images_are_counted(result: Audit) -> None:
    """An identical, a re-encoded and a halved copy are duplicates, and no other image."""
    assert result.images is not None
    test_train = result.images.between[0]
    assert (test_train.split, test_train.other) == ("test", "train")
    assert (test_train.same, test_train.near) == (share(1, 19), share(3, 19))
    assert test_train.languages["en"].near == share(3, 11)
    assert test_train.languages["cs"].near == share(0, 8)
    assert [pair.near.count for pair in result.images.between[1:]] == [0, 0]
    assert (result.images.units, result.images.distinct, result.images.same_sets) == (34, 33, 1)
    assert (result.images.near_sets, result.images.near_members, result.images.limits) == (2, 4, "")
    assert {split: overlap.near.count for split, overlap in result.images.within.items()} == dict.fromkeys(
        result.splits, 0
    )


def test_duplicate_texts_are_counted(result: Audit) -> None:
    assert result.texts is not None
    test_train = result.texts.between[0]
    assert (test_train.same.count, test_train.near.count) == (2, 3)
    assert test_train.languages["en"].near.count == 3
    assert result.texts.within["train"].same == share(2, 37)
    assert result.texts.conflicts["dish"].sets == 2
    assert result.texts.conflicts["dish"].wrong == 2
    assert result.texts.conflicts["dish"].examples[0][0] in ("dinner for two", "best soup of the year")
    assert result.texts.lookups["dish"].coverage.count == 2
    assert result.texts.lookups["dish"].precision == share(1, 2)


def test_class_names_in_texts_are_counted(result: Audit) -> None:
    """One test text has the name of its class, one a longer name of another class."""
    rule = result.label_leakage[0]
    assert (rule.split, rule.task) == ("test", "dish")
    assert (rule.coverage, rule.precision, rule.accuracy) == (share(2, 22), share(1, 2), share(1, 22))
    assert rule.languages["cs"].coverage == share(0, 9)


def test_text_in_another_language_is_reported(result: Audit) -> None:
    assert result.foreign is not None
    assert result.foreign["en"].others == {"cs": 1}
    assert result.foreign["en"].examples[0][0] == "stray"
    assert result.foreign["cs"].foreign.count == 0
    assert result.foreign["cs"].judged == share(28, 28)


def test_candidate_languages_do_not_carry_over_to_the_next_audit(planted: Make, tmp_path: Path) -> None:
    """The identifier is loaded once per process, and an audit of another data set may have set its candidates."""
    task = (Task("t", ("a", "b")),)

    def foreign(language: str, text: str) -> Any:
        rows = [Example(f"{language}{n}", f"{text} {n}", language, "train", {"t": "a"}) for n in range(2)]
        texts = audit(planted(rows, tasks=task), tmp_path).foreign
        assert texts is not None
        return texts[language].others

    assert foreign("lt", "šis tekstas parašytas lietuvių kalba ir yra pakankamai ilgas") == {}
    assert foreign("cs", "tento text je napsaný česky a je dostatečně dlouhý na to") == {}
    assert foreign("lt", "this text is written in English, which is another language") == {"en": 2}


def test_class_distributions_are_compared(result: Audit) -> None:
    balance = result.class_balance[0]
    assert balance.missing == {"train": [], "validation": ["rice"], "test": []}
    assert balance.shift is not None
    counts = ((17, 7), (19, 7), (1, 8))
    assert balance.shift.value == pytest.approx(0.5 * sum(abs(train / 37 - test / 22) for train, test in counts))
    assert balance.untrained["cs"] == share(3, 9)
    assert 0 < balance.shift.chance < balance.shift.value


def test_missing_parts_and_rejected_rows_are_counted(result: Audit) -> None:
    cell = result.missing.cells["test"]["cs"]
    assert (cell.rows, cell.no_text, cell.no_image) == (9, share(1, 9), share(1, 9))
    assert result.missing.cells["test"]["en"].no_label["dish"] == share(1, 14)
    assert result.missing.reasons == [('"…" is no class of dish', 2, "file.csv, row 7")]


def test_clusters_in_several_splits_are_a_finding(planted: Make, tmp_path: Path) -> None:
    """As the views of a product of Fashion-Gen in train and validation."""
    given = [Example(f"{i}", f"text {i}", "en", split, {}, cluster="p") for i, split in enumerate(("train", "test"))]
    texts = [finding.text for finding in findings(audit(planted(given), tmp_path))]
    assert "1 cluster (rows that belong together) has examples in test and train." in texts


def test_table_has_all_pairs_with_their_splits(result: Audit, tmp_path: Path) -> None:
    table = pq.read_table(tmp_path / "duplicates.parquet").to_pylist()
    pairs = {(row["kind"], row["same"], frozenset((row["left_id"], row["right_id"]))) for row in table}
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
    assert {pair for pair in pairs if pair[0] == "image"} == {pair for pair in expected if pair[0] == "image"}
    assert all({row["left_split"], row["right_split"]} == {"train", "test"} for row in table if row["kind"] == "image")
    shown = {(pair.kind, frozenset((pair.left["id"], pair.right["id"]))) for pair in result.shown}
    assert shown >= {(kind, ids) for kind, _, ids in expected if ids != frozenset(("noise1", "noise2"))}


def test_audit_json_reads_back_unchanged(result: Audit, tmp_path: Path) -> None:
    assert Audit.model_validate_json((tmp_path / "audit.json").read_text()) == result
    assert "NaN" not in (tmp_path / "audit.json").read_text()
    json.loads((tmp_path / "audit.json").read_text())


def test_findings_are_sentences_and_the_most_serious_comes_first(result: Audit) -> None:
    sentences = findings(result)
    assert sentences[0].text == (
        "15.8 % of test examples (3 of 19) have an image with a duplicate in train; 5.3 % with an exact duplicate."
    )
    texts = [finding.text for finding in sentences]
    assert "No validation example has an image with a duplicate in train." in texts
    assert "2 texts have more than one dish; at least 2 of their 4 labels can't be predicted from the text." in texts
    assert (
        '2 rows were rejected when the data set was prepared; the most frequent reason (2): "…" is no class of dish.'
        in texts
    )
    levels = [finding.level for finding in sentences]
    assert levels == sorted(levels, key=["bad", "note", "good"].index)
    assert verdict(result).text.startswith("2 findings can change scores; ")


def test_terminal_shows_main_findings_and_a_row_per_language(result: Audit) -> None:
    screen = Console(width=100, record=True, file=io.StringIO())
    screen.print(terminal(result))
    text = screen.export_text()
    assert "15.8 % of test examples (3 of 19) have an image with a duplicate in train" in text
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
def test_incomplete_data_set_is_audited(kind: str, tasks: tuple[Task, ...], planted: Make, tmp_path: Path) -> None:
    given = SMALL[kind] if tasks else [replace(example, labels={}) for example in SMALL[kind]]
    encoded = {"p": jpeg(scene(1))} if any(example.image for example in given) else {}
    result = audit(planted(given, encoded, tasks), tmp_path)
    assert (result.images is None) == (not encoded)
    assert result.examples == len(given)
    page = (tmp_path / "audit.html").read_text()
    assert "nan" not in page.replace("nan,", "")
    assert verdict(result).text
    terminal(result)


def test_an_image_shared_by_two_splits_is_a_leak(planted: Make, tmp_path: Path) -> None:
    """As in GLAMI-1M, where rows of several languages share an image."""
    given = [
        Example(f"{i}", f"text {i}", lang, s, {}, "p") for i, (lang, s) in enumerate((("sk", "train"), ("cs", "test")))
    ]
    result = audit(planted(given, {"p": jpeg(scene(1))}), tmp_path)
    assert result.images is not None
    assert result.images.between[0].same == share(1, 1)
    assert result.images.same_sets == 0
    assert result.shown[0].left["language"] == "sk"


def test_images_without_an_example_are_not_counted(planted: Make, tmp_path: Path) -> None:
    """The images of rejected rows are in the Store, and an archive may have images that no row names."""
    examples = [Example(f"e{n}", "", "de", ("train", "test")[n], {"t": "a"}, f"p{n}") for n in range(2)]
    images = {f"p{n}": jpeg(scene(n)) for n in range(2)}
    left_over = {"q0": jpeg(scene(0), 60), "q1": jpeg(scene(1), 60), "q2": images["p0"]}
    duplicates = audit(planted(examples, left_over | images, (Task("t", ("a", "b")),)), tmp_path).images
    assert duplicates is not None
    assert (duplicates.units, duplicates.same_sets, duplicates.near_sets) == (2, 0, 0)


def test_audit_is_deterministic(store: Store, tmp_path: Path) -> None:
    first, second = (audit(store, tmp_path / name).model_dump(exclude={"seconds"}) for name in ("one", "two"))
    assert first == second


def test_equal_texts_of_one_template_make_few_pairs(planted: Make, tmp_path: Path) -> None:
    given = [Example(f"{i}", f"No description of this product yet {i % 7}", "en", "train", {}) for i in range(3000)]
    result = audit(planted(given), tmp_path)
    assert result.texts is not None
    assert (result.texts.distinct, result.texts.within["train"].same) == (7, share(3000, 3000))
    assert pq.read_metadata(tmp_path / "duplicates.parquet").num_rows < 3 * 3000


def test_embeddings_are_computed_only_on_request(store: Store, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("MMEVAL_HOME", str(tmp_path / "home"))
    result = audit(store, tmp_path)
    assert result.embedded is not None
    assert (result.embedded.duplicates, result.embedded.note) == (
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


def test_only_a_sample_of_too_many_embeddings_is_compared(store: Store, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr("mmeval.audit.embedded.MOST_WORK", 19 * 1280 * 5)
    embedded = audit(store, tmp_path, encoder="efficientnet-lite0:64").embedded
    assert embedded is not None
    assert embedded.duplicates is not None
    assert (embedded.duplicates.n, embedded.note) == (5, "a random sample of 5 of 11 images")


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
def test_partial_shares_never_round_to_0_or_100_percent(count: int, n: int, shown: str) -> None:
    assert share(count, n).percent == shown


@pytest.mark.slow  # draws the 1,906 images, unless another test has
def test_emoji14_has_33_sets_of_exact_duplicates_and_none_across_splits(tmp_path: Path) -> None:
    """As its data card says; near-duplicates are in different splits."""
    pytest.importorskip("resvg_py", reason="emoji14 is drawn by the packages of the extra demo")
    from mmeval.data.prepare.prepare import prepare
    from mmeval.plugin.manager import Manager

    result = audit(prepare(Manager().dataset("emoji14")), tmp_path)
    assert result.images is not None
    assert (result.images.units, result.images.distinct, result.images.same_sets) == (1906, 1872, 33)
    assert [pair.same.count for pair in result.images.between] == [0, 0, 0]
    assert 0 < result.images.between[0].near.value < 0.03
    assert result.class_balance[1].missing["train"] == ["animal-amphibian"]
    assert np.all([texts.foreign.value < 0.01 for texts in (result.foreign or {}).values() if texts.judged.count])
    assert (tmp_path / "audit.html").stat().st_size < 1_000_000

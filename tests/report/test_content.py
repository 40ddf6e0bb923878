"""The content that all views of a run share: best and worst languages, notes, and paths without folders."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pytest
from rich.console import Console

from mmeval.metrics.scores import SCHEMA
from mmeval.record import DataCheck
from mmeval.report.content import Content
from mmeval.report.html import html
from mmeval.report.markdown import markdown
from mmeval.report.terminal import terminal

Make = Callable[..., Content]
CHECK = {
    "split": "test",
    "languages": {"de": {"train": 80, "validation": 10, "test": 10}, "lv": {"train": 3, "validation": 0, "test": 0}},
    "classes": {"colour": 5, "shade": 6},
    "unscored_languages": {"lv": 3},
    "few_rows_languages": {"de": 10},
    "rare_classes": {"colour": {"test": {"red": 0, "": 1}}},
    "single_classes": {"colour": ["mauve"]},
    "rejected": {"rows": 143, "total": 1248, "reasons": [('the language "xx" is none', 143)]},
    "majority": {"colour": {"label": "blue", "top1": 0.3125, "mean_over_languages": 0.25}},
}


def tied(*values: float) -> dict[str, tuple[float, float, float]]:
    return {name: (value, 0.0, 1.0) for name, value in zip("abcdefgh", values, strict=False)}


def in_terminal(content: Content) -> str:
    file = io.StringIO()
    Console(width=200, file=file).print(terminal(content))
    return file.getvalue()


def every_view(content: Content) -> list[str]:
    return [markdown(content), html(content), in_terminal(content)]


def test_languages_that_tie_for_worst_are_all_named(content: Make) -> None:
    three = content(tied(0.5, 0.2, 0.2, 0.2))
    assert (three.best("colour"), three.worst("colour")) == (["a"], ["b", "c", "d"])
    assert "worst language (b, c, d)" in html(three)
    assert "worst language (4 languages tie)" in html(content(tied(0.5, 0.2, 0.2, 0.2, 0.2)))
    assert content(tied(0.5, 0.5)).worst("colour") == []


def test_best_and_worst_languages_are_chosen_per_column(content: Make) -> None:
    original = content(tied(0.4, 0.6))
    rows = original.scores.to_pylist()
    for row in rows:
        if row["metric"] == "macro_f1" and row["language"] in "ab":
            row["value"] = 1 - row["value"]
    other = Content(original.record, pa.Table.from_pylist(rows, schema=SCHEMA), [])
    assert (other.best("colour", "top1"), other.best("colour", "macro_f1")) == (["b"], ["a"])
    line = next(part for part in html(other).split("<tr") if part.startswith('><th scope="row" data-value="a"'))
    marks = re.findall(r'<td data-value="[0-9.]+" class="(best|worst)">', line)
    assert marks == ["worst", "worst", "best", "worst"]


def test_the_worst_language_has_the_highest_value_if_lower_is_better(content: Make) -> None:
    original = content(tied(0.4, 0.6), metrics=("top1", "brier"))
    rows = original.scores.to_pylist()
    for row in rows:
        if row["metric"] == "brier" and row["language"] == "worst":
            row["value"] = 0.6
    other = Content(original.record, pa.Table.from_pylist(rows, schema=SCHEMA), [])
    assert (other.worst("colour", "brier"), other.best("colour", "brier")) == (["b"], ["a"])


def test_languages_that_chance_explains_are_said_not_to_differ(content: Make) -> None:
    for p, text in ((0.3, "p = .30"), (0.06, "p = .060"), (0.096, "p = .10"), (0.05, "p = .050")):
        original = content(p=p)
        sentence = f"No language can be told from another in top-1 of colour, {text}; the worst, Arabic, is at .500."
        assert original.headline("colour") == sentence
        for view in every_view(original):
            assert sentence in " ".join(view.split())


def test_languages_that_tie_are_told_in_words(content: Make) -> None:
    assert "; the worst, German and English, are at .200." in content(
        {"ar": (0.5, 0, 1), "de": (0.2, 0, 1), "en": (0.2, 0, 1)}, p=0.3
    ).headline("colour")
    assert "; the worst, 4 languages that tie, are at .200." in content(tied(0.5, 0.2, 0.2, 0.2, 0.2), p=0.3).headline(
        "colour"
    )
    assert content(tied(0.5, 0.5), p=1.0).headline("colour").endswith("p = 1.00; all are at .500.")


def test_a_single_language_is_told_with_its_interval(content: Make) -> None:
    only = content({"en": (0.5, 0.4, 0.6)}, p=float("nan"))
    assert only.headline("colour") == ""
    assert only.lead("colour") == "English is at .500 in top-1 of colour (.400–.600); there is no other language."


def test_languages_that_differ_are_named_with_the_gap_and_its_interval(content: Make) -> None:
    headline = content(p=0.0004).headline("shade")
    assert headline == (
        "Languages differ in top-1 of shade, p < .001: the worst, Arabic, is at .500, .300 below the best (.000–1.000)."
    )


def test_an_interval_that_can_not_be_relied_on_has_a_star_and_a_note(content: Make) -> None:
    original = content(n=29)
    assert original.estimate("colour", "ar", "top1").interval == "0.450–0.550*"
    note = "* Too few examples, clusters, seeds or rows of a class for an interval to be relied on."
    assert original.notes == [note]
    assert all(note in view.replace("\\*", "*") for view in every_view(original))
    assert content(n=30).notes == []


def test_a_single_language_has_no_worst_language_and_no_gap(content: Make) -> None:
    for view in every_view(content({"en": (0.5, 0.4, 0.6)}, p=float("nan"))):
        head = view.split("In brackets")[0].split("Small numbers")[0].lower()
        assert "worst" not in head.replace('class="worst"', "").split("</style>")[-1]
        assert "gap" not in head.split("</style>")[-1]


def test_readme_and_report_show_the_data_check_and_every_view_the_baseline(content: Make) -> None:
    original = content(data_check=CHECK)
    readme, page, screen = every_view(original)
    for sentence in (
        "No test rows, so no score: lv (3 rows in other splits).",
        "Fewer than 30 test rows, so an unreliable score: de (10).",
        "143 of 1,248 rows were rejected (11.5 %)",
        "Classes of colour with 1 row in all splits together: mauve.",
        "Majority baseline of colour",
    ):
        assert sentence in readme
        assert sentence in page
    assert 'Classes of colour with fewer than 2 rows: in test red (0), "" (1).' in readme
    assert 'Majority baseline of colour, always "blue": top-1 0.312, mean over languages 0.250.' in screen
    assert "Data check" not in markdown(content())


@pytest.mark.parametrize(
    ("typed", "shown"),
    [
        ("mmeval run --dataset 'table:/home/ana/my shop/a b.csv'", "mmeval run --dataset 'table:a b.csv'"),
        ("mmeval run --source /home/ana/x/", "mmeval run --source x"),
        ("mmeval run --set text_encoder=hf:/home/ana/model", "mmeval run --set text_encoder=hf:model"),
        ("mmeval run --plugin /home/ana/m.py --metric ./n.py", "mmeval run --plugin m.py --metric ./n.py"),
        ("mmeval run --dataset table:../shops/ana/a.csv", "mmeval run --dataset table:a.csv"),
        ("mmeval run --source ../ana/x --images=imgs/ana", "mmeval run --source x --images=ana"),
        ("mmeval run --set recipe.path=/home/ana/model", "mmeval run --set recipe.path=model"),
        (
            "mmeval score ana/preds.csv --hierarchy item=trees/ana/i.csv",
            "mmeval score preds.csv --hierarchy item=i.csv",
        ),
        ("mmeval score '~/ana/p.csv' file:///home/ana/p", "mmeval score p.csv p"),
        ("mmeval run --dataset hf:owner/name --plugin clip", "mmeval run --dataset hf:owner/name --plugin clip"),
        ("mmeval run --dataset https://example.org/home/ana", "mmeval run --dataset https://example.org/home/ana"),
        ("mmeval run 'unbalanced /home/ana/x.csv", "mmeval run 'unbalanced x.csv"),
    ],
)
def test_pages_show_file_names_without_folders(typed: str, shown: str, content: Make) -> None:
    original = content(command=typed, data={"name": "a", "summary": "the table /home/ana/a.csv", "licence": "x"})
    assert original.command == shown
    assert original.record.command == typed
    if "https" not in typed:
        assert all("/home/ana" not in view for view in every_view(original))


def test_options_are_shown_without_folders(content: Make) -> None:
    original = content()
    config: dict[str, Any] = {"width": 16, "encoder": "hf:/home/ana/m", "inner": {"paths": ["/home/ana/a", 1]}}
    record = original.record.model_copy(update={"plan": original.record.plan.model_copy(update={"config": config})})
    other = Content(record, original.scores, [])
    assert other.options == {"width": 16, "encoder": "hf:m", "inner": {"paths": ["a", 1]}}
    assert "/home/ana" not in html(other)


def test_an_invalid_data_check_is_refused() -> None:
    with pytest.raises(ValueError, match="rows"):
        DataCheck.model_validate(CHECK | {"rejected": {"rows": -1, "total": 3}})


def test_metrics_without_a_column_are_listed_with_their_meaning(content: Make) -> None:
    original = content(metrics=("top1", "ece", "log_loss"))
    assert [metric.name for metric, _, _ in original.more_metrics("colour")] == ["ece", "log_loss"]
    readme, page, screen = every_view(original)
    for view in (readme, page):
        assert "calibration error" in view
        assert "How far confidence and accuracy lie apart" in view
    assert "calibration" not in screen
    assert content(metrics=("top1",)).more_metrics("colour") == []


def test_no_language_is_coloured_where_chance_explains_the_differences(content: Make) -> None:
    for p, coloured in ((0.049, True), (0.05, False)):
        page = html(content(p=p))
        assert ('class="best"' in page) is coloured
        assert (' class="worst">0' in page) is coloured

"""Tables of scores for papers: bold scores, their looks in Markdown, LaTeX, CSV and JSON, and inert texts."""

from __future__ import annotations

import csv
import io
import json
import os
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from mmeval.comparison.best import significantly_best
from mmeval.comparison.comparison import Comparison
from mmeval.escaping import latex as plain
from mmeval.report.content import Content, Estimate
from mmeval.report.latex import latex
from mmeval.report.markdown import score_tables
from mmeval.report.score_files import csv_text, json_report
from mmeval.report.score_table import Row, ScoreTable, language_table, model_table
from mmeval.runs.compare import compare_folders
from mmeval.runs.folder import RunFolder
from tests.report.score_runs import scored_run

Make = Callable[..., Content]
SNAPSHOTS = Path(__file__).parent / "snapshots"
NAN = float("nan")
HOSTILE = r"\input{/etc/passwd} <script> =cmd() | $x$ & % # _ ^ ~ { } [2em] *" + "\x1b[2J\u202e\n`a` \"b\" ''"


def same_as_snapshot(name: str, text: str) -> bool:
    """Compare a text with a file of ``snapshots``; ``MMEVAL_SNAPSHOTS=write`` writes the file."""
    path = SNAPSHOTS / name
    if os.environ.get("MMEVAL_SNAPSHOTS") == "write":
        path.write_text(text, encoding="utf-8")
    return path.read_text(encoding="utf-8") == text


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> list[RunFolder]:
    """A good model, and two that can't be told apart."""
    base = tmp_path_factory.mktemp("runs")
    accuracies = (("late-fusion", 0.95), ("embracenet", 0.6), ("clip", 0.62))
    return [scored_run(base / name, accuracy, seed) for seed, (name, accuracy) in enumerate(accuracies)]


@pytest.fixture(scope="module")
def comparison(folders: list[RunFolder]) -> Comparison:
    return compare_folders(folders)


@pytest.fixture(scope="module")
def contents(folders: list[RunFolder]) -> dict[str, Content]:
    return {folder.name: folder.content() for folder in folders}


def table(*, bold: tuple[int, ...] = (), text: str = "de", reliable: bool = True) -> ScoreTable:
    cells = (Estimate(0.5, 0.4, 0.6, 10, reliable), Estimate(NAN, NAN, NAN, 0))
    return ScoreTable(text, text, text, (text, "b"), (Row(text, cells, 10, bold), Row("mean", cells, summary=True)))


def test_a_table_of_one_run_looks_like_its_snapshot(content: Make) -> None:
    sample = content(tasks=("colour",), slices=("all",))
    shown = language_table(sample, "colour", sample.metrics("colour"))
    assert same_as_snapshot("languages.md", score_tables([shown]))
    assert same_as_snapshot("languages.tex", latex([shown], [sample.record.plan.signature]))
    assert same_as_snapshot("languages.csv", csv_text({"run": sample}, metrics=["top1", "macro_f1"]))


def test_a_table_of_several_runs_looks_like_its_snapshot(contents: dict[str, Content], comparison: Comparison) -> None:
    shown = model_table(contents, comparison)
    assert same_as_snapshot("models.md", score_tables([shown]))
    assert same_as_snapshot("models.tex", latex([shown]))


def test_nothing_is_bold_in_the_table_of_one_run(content: Make) -> None:
    shown = language_table(content(), "colour", ["top1", "macro_f1"])
    assert not any(row.bold for row in shown.rows)
    assert r"\textbf" not in latex([shown])


def test_only_a_run_that_beats_all_others_is_the_best(comparison: Comparison) -> None:
    best = significantly_best(comparison)
    assert set(best.values()) == {"late-fusion"}
    assert best["macro"] == "late-fusion"


def test_of_runs_that_tie_none_is_the_best(folders: list[RunFolder]) -> None:
    assert significantly_best(compare_folders(folders[1:])) == {}
    assert significantly_best(compare_folders([folders[1], folders[1]])) == {}


def test_two_runs_have_the_verdicts_of_compare(folders: list[RunFolder]) -> None:
    compared = compare_folders(folders[:2])
    verdicts = {each.language: compared.a for each in compared.languages if each.verdict == "a"}
    best = significantly_best(compared)
    assert {key: name for key, name in best.items() if key != "macro"} == verdicts
    assert verdicts


def test_a_second_run_that_ties_with_the_best_takes_the_bold_away(folders: list[RunFolder], tmp_path: Path) -> None:
    twin = scored_run(tmp_path / "twin", 0.95, seed=9)
    assert significantly_best(compare_folders([*folders, twin])) == {}


def test_the_best_run_is_significant_after_the_correction_for_all_languages_and_pairs(comparison: Comparison) -> None:
    """Three pairs in three languages are nine tests: .005 is significant after Holm, .02 is not."""

    def with_p(p: float) -> Comparison:
        pairs = [
            replace(
                pair,
                languages=tuple(replace(each, p=p, p_adjusted=p) for each in pair.languages),
                p_adjusted=1.0,
            )
            for pair in comparison.pairs
        ]
        return replace(comparison, pairs=tuple(pairs))

    assert significantly_best(with_p(0.02)) == {}
    assert set(significantly_best(with_p(0.005)).values()) == {"late-fusion"}


def test_where_lower_is_better_the_lower_run_is_the_best(folders: list[RunFolder]) -> None:
    compared = compare_folders(folders, metric="log_loss")
    assert compared.lower_is_better
    assert set(significantly_best(compared).values()) <= {"late-fusion"}
    turned = replace(compared, lower_is_better=False)
    assert "late-fusion" not in significantly_best(turned).values()


def test_the_longer_of_languages_and_models_runs_down_the_page(folders: list[RunFolder]) -> None:
    contents = {folder.name: folder.content() for folder in folders}
    models_down = model_table(contents, compare_folders(folders))
    assert models_down.corner == "model"
    assert [row.label for row in models_down.rows] == ["late-fusion", "embracenet", "clip"]
    del contents["clip"]
    languages_down = model_table(contents, compare_folders(folders[:2]))
    assert languages_down.corner == "language"
    assert [row.label for row in languages_down.rows][:3] == ["de", "et", "sl"]
    assert languages_down.columns == ("late-fusion", "embracenet")


def test_runs_of_one_model_are_told_apart_by_their_inputs(tmp_path: Path) -> None:
    folders = [
        scored_run(tmp_path / name, 0.7, model="clip", inputs=inputs)
        for name, inputs in (("one", "image"), ("two", "text"))
    ]
    contents = {folder.name: folder.content() for folder in folders}
    shown = model_table(contents, compare_folders(folders, ignored=("inputs",)))
    assert shown.columns == ("clip (image)", "clip (text)")


def test_latex_has_booktabs_and_subscripts() -> None:
    text = latex([table(bold=(0,), reliable=False)])
    assert [line for line in text.splitlines() if line.endswith("rule")] == [
        *(r"\toprule", r"\midrule", r"\midrule", r"\bottomrule")
    ]
    assert r"\textbf{0.500}$_{[0.400,\,0.600]}^{*}$ & -- \\" in text
    assert r"\hline" not in text


OURS = (
    *("begin", "end", "centering", "caption", "label", "toprule", "midrule", "bottomrule", "textbf"),
    *("textbackslash", "textasciicircum", "textasciitilde", "textless", "textgreater", "textbar", "symbol"),
)
COMMANDS = re.compile(r"\\(?:(?:" + "|".join(OURS) + r")(?![A-Za-z])|[&%$#_{},\\])")
"""Matches the commands that a table of ours may have, and escaped special characters."""


def test_latex_has_no_command_of_a_hostile_text() -> None:
    text = latex([table(text=HOSTILE)], [HOSTILE])
    body = "\n".join(line for line in text.splitlines() if not line.startswith("%"))
    assert "\\" not in COMMANDS.sub("", body)
    assert body.count("{") - body.count(r"\{") == body.count("}") - body.count(r"\}")
    # Each row of the table ends where it should: neither an argument nor another column.
    rows = [line for line in body.splitlines() if line.endswith(r"\\")]
    assert len(rows) == 3
    for row in rows:
        assert len(re.findall(r"(?<!\\)&", row)) == 3
        assert not re.match(r"\s*[\[*]", row)
    for character in "\x1b\u202e%$#_^~":
        assert not re.search(rf"(?<!\\){re.escape(character)}", plain(HOSTILE))


@pytest.mark.parametrize("character", [chr(code) for code in range(0x20, 0x7F) if not chr(code).isalnum()])
def test_each_special_character_of_tex_is_escaped(character: str) -> None:
    escaped = plain(f"a{character}b")
    if character in '\\&%$#_{}^~<>|"`*[]':
        assert escaped != f"a{character}b"
    else:
        assert escaped == f"a{character}b"


def test_csv_has_no_formula_and_all_digits(content: Make) -> None:
    sample = content({"=cmd()": (1 / 3, 0.25, NAN), "+1": (0.5, 0.4, 0.6), "-1": (0.5, 0.4, 0.6)}, tasks=("@x",))
    rows = list(csv.DictReader(io.StringIO(csv_text({"=run": sample}, metrics=["top1"]))))
    first = next(row for row in rows if row["language"] == "'=cmd()")
    assert (first["run"], first["task"]) == ("'=run", "'@x")
    assert float(first["value"]) == 1 / 3
    assert first["high"] == ""
    for row in rows:
        for value in row.values():
            assert not value.startswith(("=", "+", "-", "@", "\t", "\r"))


def test_csv_and_json_have_the_mean_over_seeds_of_every_metric(folders: list[RunFolder]) -> None:
    contents = {folder.name: folder.content() for folder in folders[:1]}
    rows = list(csv.DictReader(io.StringIO(csv_text(contents))))
    (run,) = json.loads(json_report(contents))["runs"]
    assert [row["metric"] for row in rows] == [score["metric"] for score in run["scores"]]
    assert {"top1", "macro_f1", "ece", "log_loss"} <= {row["metric"] for row in rows}
    top1 = [row for row in rows if (row["metric"], row["slice"]) == ("top1", "all")]
    assert {row["language"] for row in top1} == {"de", "et", "sl", "all", "macro", "weighted", "worst", "gap"}


def test_json_has_stable_keys_and_null_for_undefined_numbers(content: Make) -> None:
    data = json.loads(json_report({"run": content({"de": (NAN, NAN, NAN)})}), parse_constant=pytest.fail)
    assert list(data) == ["schema_version", "runs", "comparisons"]
    (run,) = data["runs"]
    assert list(run) == [
        *("run", "model", "model_version", "preset", "dataset", "fingerprint", "split", "inputs", "track", "seeds"),
        *("signature", "started", "headlines", "warnings", "efficiency", "citations", "scores"),
    ]
    score = run["scores"][0]
    assert list(score) == [
        *("task", "slice", "language", "metric", "value", "low", "high", "n", "reliable", "method", "p")
    ]
    assert score["value"] is None


def test_markdown_of_a_hostile_text_has_no_markup() -> None:
    text = score_tables([table(text=HOSTILE)])
    assert "<script>" not in text
    assert "\x1b" not in text
    assert all(len(re.findall(r"(?<!\\)\|", line)) == 5 for line in text.splitlines() if line.startswith("|"))

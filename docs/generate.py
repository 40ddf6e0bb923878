"""Generator of the pages' blocks that come from code, with cog.

``python docs/generate.py`` updates the pages; a test runs ``python docs/generate.py --check``.
"""
# ruff: noqa: ANN401 - Typer's types of commands and parameters are private

from __future__ import annotations

import ast
import enum
import re
import sys
import typing
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import griffe
import typer
from cogapp import Cog
from docstrings import markdown

import mmeval
import mmeval.nn
import mmeval.testing
from mmeval.api import hooks
from mmeval.api.spec import ModelSpec
from mmeval.cli.main import app
from mmeval.metrics.catalogue import CATALOGUE, describe
from mmeval.metrics.intervals import METHODS
from mmeval.nn.build import IMAGE, TEXT
from mmeval.plugin.listing import GROUPS, installed
from mmeval.plugin.manager import Manager

HERE = Path(__file__).parent
PLUGINS = HERE.parent / "plugins"
OPEN = re.compile(r"unverified|differences|leave(s)? open|is not|doesn't|is ours", re.IGNORECASE)
"""Headings of the sections of a model card that describe a paper's open questions and our differences from it."""
KINDS = {"images": IMAGE, "texts": TEXT}
VALUES = {int: "N", float: "NUMBER", Path: "PATH", str: "TEXT"}
"""Values of options in the reference of commands, by type."""
TRAINING_PATH = (
    ("mmeval/cli/run.py", "run", "parses the command"),
    ("mmeval/runs/pipeline.py", "run", "prepares, trains, predicts, scores, reports"),
    ("mmeval/runs/train.py", "run_seed", "builds, trains and saves the model of one training seed, and predicts"),
    ("mmeval/engine/runner.py", "TorchRunner.fit", "chooses the precision"),
    ("mmeval/engine/fit.py", "fit", "the training loop: steps, validation, checkpoint"),
)
"""File, function and purpose of each step from the command to the training step: at most five files."""


def include(path: str, language: str = "python") -> str:
    """Return a file of this folder as a code block."""
    return f"```{language}\n{(HERE / path).read_text(encoding='utf-8').rstrip()}\n```"


def api(module: str) -> str:
    """Return a directive of mkdocstrings for each name in ``__all__`` of ``module``."""
    names = __import__(module, fromlist=["__all__"]).__all__
    return "\n\n".join(f"::: {module}.{name}" for name in names if name != "__version__")


def commands() -> str:
    """Return a section for each command of ``mmeval`` but those of other plugins."""
    return "\n\n".join(command_sections(typer.main.get_command(app), "mmeval"))


def command_sections(command: Any, path: str) -> Iterator[str]:
    """Yield a section for a command and for each of its sub-commands: help, usage, and tables of its parameters."""
    parameters = [parameter for parameter in command.params if not getattr(parameter, "hidden", False)]
    arguments = [parameter for parameter in parameters if parameter.param_type_name == "argument"]
    options = [parameter for parameter in parameters if parameter.param_type_name == "option"]
    types = typing.get_type_hints(command.callback, include_extras=True) if command.callback else {}
    subcommands = {
        name: subcommand for name, subcommand in getattr(command, "commands", {}).items() if not subcommand.hidden
    }
    usage = [path, *(["[OPTIONS]"] if options else []), *(_usage(argument) for argument in arguments)]
    lines = [f"## `{path}`", "", _paragraphs(command.help or "")]
    lines += ["", "```text", " ".join([*usage, *(["COMMAND"] if subcommands else [])]), "```"]
    if subcommands:
        rows = [
            f"| [`{path} {name}`](#{_anchor(path, name)}) | {_summary(subcommand)} |"
            for name, subcommand in subcommands.items()
        ]
        lines += ["", "| command | purpose |", "|---|---|", *rows]
    if arguments:
        rows = [f"| `{_in_table(_usage(argument))}` | {_cell(argument, types)} |" for argument in arguments]
        lines += ["", "| argument | meaning |", "|---|---|", *rows]
    if options:
        rows = [
            f"| {_names(option)} | {_value(option, types.get(option.name))} | {_cell(option, types)} |"
            for option in options
        ]
        lines += ["", "| option | value | meaning |", "|---|---|---|", *rows]
    yield "\n".join(lines)
    for name, subcommand in subcommands.items():
        yield from command_sections(subcommand, f"{path} {name}")


def _anchor(path: str, name: str) -> str:
    return f"{path} {name}".replace(" ", "-")


def _summary(command: Any) -> str:
    return _paragraphs(command.help or "").partition("\n")[0]


def _usage(argument: Any) -> str:
    name = argument.metavar or argument.name.upper()
    name = f"{name}..." if argument.nargs != 1 and "..." not in name else name
    return name if argument.required else f"[{name}]"


def _names(option: Any) -> str:
    names = ", ".join(f"`{name}`" for name in option.opts)
    return names + "".join(f", `{name}`" for name in option.secondary_opts)


def _value(option: Any, annotation: Any) -> str:
    """Return the form of the option's value; empty for a switch."""
    if getattr(option, "is_flag", False):
        return ""
    if option.metavar:
        return f"`{_in_table(option.metavar)}`"
    annotation = getattr(annotation, "__origin__", annotation) if hasattr(annotation, "__metadata__") else annotation
    kinds = [annotation, *typing.get_args(annotation)]
    choices = next((kind for kind in kinds if isinstance(kind, type) and issubclass(kind, enum.Enum)), None)
    if choices is not None:
        return ", ".join(f"`{choice.value}`" for choice in choices)
    literal = next((kind for kind in kinds if typing.get_origin(kind) is typing.Literal), None)
    if literal is not None:
        return ", ".join(f"`{choice}`" for choice in typing.get_args(literal))
    return next((f"`{name}`" for kind, name in VALUES.items() if kind in kinds), "`TEXT`")


def _cell(parameter: Any, types: Mapping[str, Any]) -> str:
    """Return a parameter's help and its default."""
    # Older versions of Typer don't keep the help of an argument.
    stated = [getattr(stated, "help", None) for stated in getattr(types.get(parameter.name), "__metadata__", ())]
    text = _paragraphs(parameter.help or next(filter(None, stated), "")).replace("\n", " ")
    if isinstance(parameter.show_default, str):
        text += f" Default: {_paragraphs(parameter.show_default)}."
    elif parameter.show_default and not _is_empty(parameter.default) and not getattr(parameter, "is_flag", False):
        text += f" Default: `{_in_table(str(getattr(parameter.default, 'value', parameter.default)))}`."
    elif parameter.secondary_opts and parameter.default is True:
        text += f" Default: `{parameter.opts[0]}`."
    if getattr(parameter, "envvar", None):
        text += f" Environment variable: `{parameter.envvar}`."
    return text


def _is_empty(default: Any) -> bool:
    """Return whether there is no default to show; a function computes it when the command runs."""
    return default is None or default in ("", [], ()) or callable(default)


def _paragraphs(text: str) -> str:
    """Return help text as Markdown: lines joined within paragraphs, code in backticks kept, all else escaped."""
    paragraphs = [" ".join(paragraph.split()) for paragraph in text.replace("\b", "").split("\n\n")]
    return "\n\n".join(_escaped(paragraph) for paragraph in paragraphs)


def _escaped(text: str) -> str:
    parts = re.split(r"(`[^`]+`)", text)
    return "".join(
        _in_table(part) if index % 2 else re.sub(r"([\\*_\[\]<>|`#])", r"\\\1", part)
        for index, part in enumerate(parts)
    )


def _in_table(code: str) -> str:
    """Escape the vertical bar, which ends a cell even within code."""
    return code.replace("|", "\\|")


def metric_table() -> str:
    """Return the built-in metrics as a Markdown table."""
    rows = [
        f"| `{metric.name}` | {metric.title} | {metric.explanation} | {metric.source} |"
        for metric in (describe("top1"), describe("top5"), *list(CATALOGUE.values())[1:])
        if metric is not None
    ]
    return "\n".join(["| name | | meaning | source |", "|---|---|---|---|", *rows])


def interval_methods() -> str:
    """Return the methods of intervals as a Markdown table."""
    rows = [f"| `{name}` | {explanation} |" for name, explanation in METHODS.items()]
    return "\n".join(["| method | interval |", "|---|---|", *rows])


def hook_reference() -> str:
    """Return an entry for each hook, with its exact arguments."""
    loaded = griffe.load(hooks.__name__, search_paths=[str(HERE.parent)], docstring_parser="google")
    names = [name for name, value in vars(hooks).items() if hasattr(value, f"{hooks.PROJECT}_spec")]
    return "\n\n".join(
        f"### `{name}({', '.join(_parameters(loaded[name]))})`\n\n{_described(loaded[name])}" for name in names
    )


def groups() -> str:
    """Return the groups of entry points as a list."""
    return "\n".join(f"- `{group}`: a {kind.replace('dataset', 'data set')}" for kind, group in GROUPS.items())


def checks() -> str:
    """Return the rules of the contract as a table."""
    rows = [f"| `{check.name}` | {check.rule} | {check.consequence} |" for check in mmeval.testing.CHECKS.values()]
    return "\n".join(["| check | rule | if broken |", "|---|---|---|", *rows])


def training_path() -> str:
    """Return :data:`TRAINING_PATH` as a list with links to the lines at which the functions begin."""
    return "\n".join(
        f"{number}. [`{path}:{line}`](../{path}#L{line}) `{function}`: {purpose}"
        for number, (path, function, purpose) in enumerate(TRAINING_PATH, 1)
        for line in [_line_of(path, function)]
    )


def _line_of(path: str, function: str) -> int:
    """Return the line at which a function or method (``Class.method``) is defined."""
    node: ast.AST = ast.parse((HERE.parent / path).read_text(encoding="utf-8"))
    for name in function.split("."):
        node = next(child for child in ast.iter_child_nodes(node) if getattr(child, "name", None) == name)
    assert isinstance(node, ast.FunctionDef)
    return node.lineno


def models() -> str:
    """Return a section for each included model: its spec, and the open questions in its model card."""
    manager = Manager()
    names = [plugin.name for plugin in installed("model") if plugin.distribution == "mmeval-multilingual"]
    return "\n\n".join(_model(manager.model(name)) for name in names)


def encoder_kinds() -> str:
    """Return the forms of encoder names for images and for texts, as a list."""
    return "\n".join(
        f"- {modality}: {', '.join(f'`{text}`' for text, _ in kinds.values())}" for modality, kinds in KINDS.items()
    )


def kept_architectures() -> str:
    """Return the models of the Hub whose architectures mmeval includes, by kind of encoder, as a list."""
    from mmeval.nn.encoders.architectures import M_CLIP, SENTENCE_TRANSFORMERS, TRANSFORMERS

    kinds = {"hf": TRANSFORMERS, "st": SENTENCE_TRANSFORMERS, "m-clip": M_CLIP}
    return "\n".join(f"- `{kind}:` {', '.join(f'`{name}`' for name in names)}" for kind, names in kinds.items())


def _model(spec: ModelSpec) -> str:
    card = PLUGINS / spec.build.__module__.split(".")[0] / "README.md"
    presets = ", ".join(
        f"`{preset}`" + (" (default)" if preset == spec.default_preset else "") for preset in spec.presets
    )
    lines = [
        f"## {spec.name}",
        "",
        f"{spec.summary[0].upper()}{spec.summary[1:]}. [Model card](../plugins/{card.parent.name}/README.md).",
        "",
        f"- paper: {spec.paper}",
        f"- inputs: {', '.join(spec.inputs)}",
        f"- presets: {presets}",
        f"- licence: {spec.licence}",
    ]
    return "\n".join([*lines, *_open_questions(card)])


def _open_questions(card: Path) -> list[str]:
    sections = re.split(r"^## ", card.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
    parts: list[str] = []
    for section in sections:
        heading, _, body = section.partition("\n")
        if OPEN.search(heading):
            # Links of the card are relative to its own folder.
            moved = re.sub(r"\]\((?!https?:|#)([^)]+)\)", rf"](../plugins/{card.parent.name}/\1)", body.strip())
            parts += ["", f"### {heading.strip()}", "", moved]
    return parts


def _parameters(function: griffe.Object) -> Iterator[str]:
    starred = False
    for parameter in function.parameters:
        if parameter.name in ("self", "cls"):
            continue
        if parameter.kind is griffe.ParameterKind.keyword_only and not starred:
            starred = True
            yield "*"
        many = parameter.kind is griffe.ParameterKind.var_positional
        starred = starred or many
        name = f"*{parameter.name}" if many else parameter.name
        typed = f"{name}: {parameter.annotation}" if parameter.annotation else name
        yield typed + (f" = {parameter.default}" if parameter.default is not None and not many else "")


def _described(documented: griffe.Object) -> str:
    if documented.docstring is None:
        return ""
    parts = []
    for section in documented.docstring.parse("google", warnings=False):
        if section.kind is griffe.DocstringSectionKind.text:
            parts.append(markdown(section.value))
        elif section.kind is griffe.DocstringSectionKind.parameters:
            parts.append("\n".join(f"- `{item.name}`: {_line(item.description)}" for item in section.value))
        elif section.kind is griffe.DocstringSectionKind.returns:
            parts.append("Returns: " + " ".join(_line(item.description) for item in section.value))
        elif section.kind is griffe.DocstringSectionKind.raises:
            parts.append("\n".join(f"Raises `{item.annotation}`: {_line(item.description)}" for item in section.value))
    return "\n\n".join(parts)


def _line(text: str) -> str:
    return " ".join(markdown(text).split())


def main(*options: str) -> int:
    """Update the pages; with ``--check`` only compare them. Return the exit status."""
    pages = [str(page) for page in sorted(HERE.glob("*.md"))]
    mode = ["--check", "--diff"] if "--check" in options else ["-r"]
    # cog's default markers end in ]]], which types in the text contain as well.
    result: int = Cog().main(["cog", *mode, "-I", str(HERE), "--markers={{{cog }}} {{{end}}}", *pages])
    return result


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))

"""Generator of the pages' blocks that come from code, with cog.

``python docs/generate.py`` updates the pages; a test runs ``python docs/generate.py --check``.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import griffe
from cogapp import Cog

import mmeval
import mmeval.nn
import mmeval.testing
from mmeval.api import hooks
from mmeval.api.spec import ModelSpec
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
PUBLIC = ("mmeval", "mmeval.data.reading", "mmeval.nn", "mmeval.testing")
TRAINING_PATH = (
    ("mmeval/cli/run.py", "run", "parses the command"),
    ("mmeval/runs/pipeline.py", "run", "prepares, trains, predicts, scores, reports"),
    ("mmeval/runs/train.py", "run_seed", "builds, trains and saves the model of one training seed, and predicts"),
    ("mmeval/engine/runner.py", "TorchRunner.fit", "chooses the precision"),
    ("mmeval/engine/fit.py", "fit", "the training loop: steps, validation, checkpoint"),
)
"""File, function and purpose of each step from the command to the training step: at most five files."""
HIDDEN_BASES = {"Spec", "StrEnum", "_Frozen"}


def include(path: str, language: str = "python") -> str:
    """Return a file of this folder as a code block."""
    return f"```{language}\n{(HERE / path).read_text(encoding='utf-8').rstrip()}\n```"


def public(module: str) -> str:
    """Return an entry for each name in ``__all__`` of ``module``: signature, docstring, fields and methods."""
    loaded = griffe.load(module, search_paths=[str(HERE.parent)], docstring_parser="google")
    names = [name for name in __import__(module, fromlist=["__all__"]).__all__ if name != "__version__"]
    return "\n\n".join(_entry(f"{module}.{name}", _target(loaded, name)) for name in names)


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


def _target(module: griffe.Object, name: str) -> griffe.Object:
    member = module[name]
    return member.final_target if member.is_alias else member


def _entry(name: str, documented: griffe.Object) -> str:
    lines = [f"### `{name}`", ""]
    if documented.is_class:
        bases = [str(base) for base in documented.bases if str(base) not in HIDDEN_BASES]
        lines += [f"```python\nclass {documented.name}{'(' + ', '.join(bases) + ')' if bases else ''}\n```", ""]
    elif documented.is_function:
        lines += [f"```python\n{_signature(documented)}\n```", ""]
    elif documented.value is not None:
        lines += [
            f"```python\n{documented.name} = {documented.value}\n```" if len(str(documented.value)) < 60 else "",
            "",
        ]
    lines.append(_described(documented))
    if documented.is_class:
        lines += ["", *_members(documented)]
    return "\n".join(lines).rstrip()


def _members(documented: griffe.Object) -> Iterator[str]:
    for name, member in documented.members.items():
        if name.startswith("_") and name not in ("__call__", "__len__") and not _is_documented_init(member):
            continue
        if member.is_attribute and "property" in member.labels:
            yield f"- `{name}: {member.annotation}`: {_inline(member)}"
        elif member.is_attribute and member.annotation:
            default = f" = {member.value}" if member.value is not None else ""
            yield f"- `{name}: {member.annotation}{default}`" + (f": {_inline(member)}" if member.docstring else "")
        elif member.is_function and member.docstring:
            yield f"- `{_signature(member)}`: {_inline(member)}"


def _is_documented_init(member: griffe.Object) -> bool:
    return member.name == "__init__" and member.docstring is not None


def _signature(function: griffe.Object) -> str:
    returns = f" -> {function.returns}" if function.returns and function.name != "__init__" else ""
    return f"{function.name}({', '.join(_parameters(function))}){returns}"


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
            parts.append(_prose(section.value))
        elif section.kind is griffe.DocstringSectionKind.parameters:
            parts.append("\n".join(f"- `{item.name}`: {_line(item.description)}" for item in section.value))
        elif section.kind is griffe.DocstringSectionKind.returns:
            parts.append("Returns: " + " ".join(_line(item.description) for item in section.value))
        elif section.kind is griffe.DocstringSectionKind.raises:
            parts.append("\n".join(f"Raises `{item.annotation}`: {_line(item.description)}" for item in section.value))
    return "\n\n".join(parts)


def _inline(member: griffe.Object) -> str:
    return _line(re.sub(r"\n\n(Args|Returns|Raises):.*", "", member.docstring.value, flags=re.DOTALL))


def _line(text: str) -> str:
    return " ".join(_prose(text).split())


def _prose(text: str) -> str:
    """Convert a docstring's reStructuredText to Markdown: double backticks, roles, and code blocks after ``::``."""
    text = re.sub(r":(?:class|func|meth|data):`([^`]+)`", r"`\1`", text.replace("``", "`"))
    block = re.compile(r"^::\n\n((?:    .*\n|\n)+)", re.MULTILINE)
    return block.sub(lambda match: f"```python\n{_dedent(match[1])}```\n\n", text + "\n").strip()


def _dedent(block: str) -> str:
    return "\n".join(line.removeprefix("    ") for line in block.strip("\n").splitlines()) + "\n"


def main(*options: str) -> int:
    """Update the pages; with ``--check`` only compare them. Return the exit status."""
    pages = [str(page) for page in sorted(HERE.glob("*.md"))]
    mode = ["--check", "--diff"] if "--check" in options else ["-r"]
    # cog's default markers end in ]]], which types in the text contain as well.
    result: int = Cog().main(["cog", *mode, "-I", str(HERE), "--markers={{{cog }}} {{{end}}}", *pages])
    return result


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))

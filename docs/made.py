"""What the pages of this folder are made from.

``python docs/made.py`` makes them anew with cog; a test runs ``python docs/made.py --check``.
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
from mmeval.nn.build import IMAGE, TEXT
from mmeval.plugin.listing import GROUPS, installed
from mmeval.plugin.manager import Manager

HERE = Path(__file__).parent
PLUGINS = HERE.parent / "plugins"
OPEN = re.compile(r"unverified|differences|leave(s)? open|is not|doesn't|is ours", re.IGNORECASE)
"""Headings of a model card under which stands what a paper does not say, or what was done otherwise."""
KINDS = {"images": IMAGE, "texts": TEXT}
PUBLIC = ("mmeval", "mmeval.data.reading", "mmeval.nn", "mmeval.testing")
TRAINING_PATH = (
    ("mmeval/cli/run.py", "run", "parses the command"),
    ("mmeval/runs/pipeline.py", "run", "prepares, trains, predicts, scores, reports"),
    ("mmeval/runs/train.py", "run_seed", "builds, trains and saves the model of one training seed, and predicts"),
    ("mmeval/engine/runner.py", "TorchRunner.fit", "chooses the precision"),
    ("mmeval/engine/fit.py", "fit", "the training loop: steps, validation, checkpoint"),
)
"""At most five files; a test compares the page with the code."""
HIDDEN_BASES = {"Spec", "StrEnum", "_Frozen"}


def include(path: str, language: str = "python") -> str:
    """A file of this folder as a code block."""
    return f"```{language}\n{(HERE / path).read_text(encoding='utf-8').rstrip()}\n```"


def public(module: str) -> str:
    """Every name that ``module`` promises: signature, docstring, fields and methods."""
    loaded = griffe.load(module, search_paths=[str(HERE.parent)], docstring_parser="google")
    names = [name for name in __import__(module, fromlist=["__all__"]).__all__ if name != "__version__"]
    return "\n\n".join(_entry(f"{module}.{name}", _target(loaded, name)) for name in names)


def hook_reference() -> str:
    """Every hook with its exact arguments."""
    loaded = griffe.load(hooks.__name__, search_paths=[str(HERE.parent)], docstring_parser="google")
    names = [name for name, value in vars(hooks).items() if hasattr(value, f"{hooks.PROJECT}_spec")]
    return "\n\n".join(
        f"### `{name}({', '.join(_parameters(loaded[name]))})`\n\n{_described(loaded[name])}" for name in names
    )


def groups() -> str:
    """The groups of entry points."""
    return "\n".join(f"- `{group}`: a {kind}" for kind, group in GROUPS.items())


def checks() -> str:
    """The contract as a table."""
    rows = [f"| `{check.name}` | {check.rule} | {check.consequence} |" for check in mmeval.testing.CHECKS.values()]
    return "\n".join(["| check | rule | if broken |", "|---|---|---|", *rows])


def training_path() -> str:
    """The files that lead from the command to the training step, with the lines at which their functions begin."""
    return "\n".join(
        f"{number}. [`{path}:{line}`](../{path}#L{line}) `{function}`: {purpose}"
        for number, (path, function, purpose) in enumerate(TRAINING_PATH, 1)
        for line in [_line_of(path, function)]
    )


def _line_of(path: str, function: str) -> int:
    """The line at which a function or method (``Class.method``) is defined."""
    node: ast.AST = ast.parse((HERE.parent / path).read_text(encoding="utf-8"))
    for name in function.split("."):
        node = next(one for one in ast.iter_child_nodes(node) if getattr(one, "name", None) == name)
    assert isinstance(node, ast.FunctionDef)
    return node.lineno


def models() -> str:
    """Every model that mmeval ships: what its plugin declares, and what its model card says is open."""
    manager = Manager()
    names = [one.name for one in installed("model") if one.distribution == "mmeval-multilingual"]
    return "\n\n".join(_model(manager.model(name)) for name in names)


def encoder_kinds() -> str:
    """The kinds of encoders, as ``build`` knows them."""
    return "\n".join(
        f"- {what}: {', '.join(f'`{text}`' for text, _ in kinds.values())}" for what, kinds in KINDS.items()
    )


def kept_architectures() -> str:
    """The models of the Hub whose sizes are kept, by kind of encoder."""
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
    found = []
    for section in sections:
        heading, _, body = section.partition("\n")
        if OPEN.search(heading):
            # Links of the card are relative to its own folder.
            moved = re.sub(r"\]\((?!https?:|#)([^)]+)\)", rf"](../plugins/{card.parent.name}/\1)", body.strip())
            found += ["", f"### {heading.strip()}", "", moved]
    return found


def _target(module: griffe.Object, name: str) -> griffe.Object:
    found = module[name]
    return found.final_target if found.is_alias else found


def _entry(name: str, found: griffe.Object) -> str:
    lines = [f"### `{name}`", ""]
    if found.is_class:
        bases = [str(base) for base in found.bases if str(base) not in HIDDEN_BASES]
        lines += [f"```python\nclass {found.name}{'(' + ', '.join(bases) + ')' if bases else ''}\n```", ""]
    elif found.is_function:
        lines += [f"```python\n{_signature(found)}\n```", ""]
    elif found.value is not None:
        lines += [f"```python\n{found.name} = {found.value}\n```" if len(str(found.value)) < 60 else "", ""]
    lines.append(_described(found))
    if found.is_class:
        lines += ["", *_members(found)]
    return "\n".join(lines).rstrip()


def _members(found: griffe.Object) -> Iterator[str]:
    for name, member in found.members.items():
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


def _described(found: griffe.Object) -> str:
    if found.docstring is None:
        return ""
    parts = []
    for section in found.docstring.parse("google", warnings=False):
        if section.kind is griffe.DocstringSectionKind.text:
            parts.append(_prose(section.value))
        elif section.kind is griffe.DocstringSectionKind.parameters:
            parts.append("\n".join(f"- `{one.name}`: {_line(one.description)}" for one in section.value))
        elif section.kind is griffe.DocstringSectionKind.returns:
            parts.append("Returns: " + " ".join(_line(one.description) for one in section.value))
        elif section.kind is griffe.DocstringSectionKind.raises:
            parts.append("\n".join(f"Raises `{one.annotation}`: {_line(one.description)}" for one in section.value))
    return "\n\n".join(parts)


def _inline(member: griffe.Object) -> str:
    return _line(re.sub(r"\n\n(Args|Returns|Raises):.*", "", member.docstring.value, flags=re.DOTALL))


def _line(text: str) -> str:
    return " ".join(_prose(text).split())


def _prose(text: str) -> str:
    """Docstrings write code between double backticks, and blocks of it after two colons; Markdown does neither."""
    text = re.sub(r":(?:class|func|meth|data):`([^`]+)`", r"`\1`", text.replace("``", "`"))
    block = re.compile(r"^::\n\n((?:    .*\n|\n)+)", re.MULTILINE)
    return block.sub(lambda found: f"```python\n{_dedent(found[1])}```\n\n", text + "\n").strip()


def _dedent(block: str) -> str:
    return "\n".join(line.removeprefix("    ") for line in block.strip("\n").splitlines()) + "\n"


def main(*options: str) -> int:
    """Make the pages anew; with ``--check`` only say whether they would change."""
    pages = [str(page) for page in sorted(HERE.glob("*.md"))]
    how = ["--check", "--diff"] if "--check" in options else ["-r"]
    # Types end in ]]], cog's own marker.
    result: int = Cog().main(["cog", *how, "-I", str(HERE), "--markers={{{cog }}} {{{end}}}", *pages])
    return result


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))

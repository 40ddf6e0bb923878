"""A YAML loader for untrusted text, with limits on length, depth and expanded aliases."""

from __future__ import annotations

from typing import Any, NamedTuple

import yaml

LONGEST = 128 * 1024
"""Most characters; the longest header of mmeval's data cards has 6,600."""
DEEPEST = 20
"""Most levels of nested lists and mappings; PyYAML's composer recurses once per level."""
MOST_NODES = 50_000
"""Most keys and values with aliases expanded; nine nested lists of nine aliases each have 387 million."""
LONGEST_NUMBER = 64
"""Most characters of a number; parsing a base-60 number (``1:1:1:...``) takes quadratic time."""

LONGEST_MESSAGE = 160
NUMBERS = ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float")


class YamlError(ValueError):
    """Text that is not YAML or exceeds a limit; the message is a few words with line and column."""


class _Loader(yaml.SafeLoader):
    """A safe loader that refuses documents which are deep or large with all aliases expanded."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.depth = 0
        self.extents: dict[yaml.Node, _Extent] = {}

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:  # noqa: ANN401 - PyYAML's
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]
        if isinstance(event, yaml.AliasEvent):
            node = super().compose_node(parent, index)
            if node is not None and node not in self.extents:
                raise _refused(f"the alias *{event.anchor} refers to itself", event)
            return node
        self.depth += 1
        if self.depth > DEEPEST:
            raise _refused(f"more than {DEEPEST} levels deep", event)
        node = super().compose_node(parent, index)
        self.depth -= 1
        if node is not None:
            extent = self.extents[node] = self._extent(node)
            if extent.depth > DEEPEST or extent.nodes > MOST_NODES:
                bound = f"{DEEPEST} levels deep" if extent.depth > DEEPEST else f"{MOST_NODES:,} keys and values"
                raise _refused(f"more than {bound} with aliases expanded", event)
            if isinstance(node, yaml.ScalarNode) and node.tag in NUMBERS and len(node.value) > LONGEST_NUMBER:
                raise _refused("the number is too long", node)
        return node

    def _extent(self, node: yaml.Node) -> _Extent:
        if isinstance(node, yaml.ScalarNode):
            return _Extent(1, 1)
        pairs = node.value if isinstance(node, yaml.MappingNode) else [(child,) for child in node.value]
        extents = [self.extents[child] for pair in pairs for child in pair]
        return _Extent(1 + sum(e.nodes for e in extents), 1 + max((e.depth for e in extents), default=0))


class _Extent(NamedTuple):
    """How large a node is with aliases expanded."""

    nodes: int
    depth: int


def _refused(why: str, where: Any) -> yaml.composer.ComposerError:  # noqa: ANN401 - an event or a node
    return yaml.composer.ComposerError(None, None, why, where.start_mark)


def load(text: str) -> Any:  # noqa: ANN401 - whatever stands there
    """Return the document in ``text`` as plain data, like ``yaml.safe_load``.

    Raises:
        YamlError: the text is not YAML, longer than ``LONGEST``, deeper than ``DEEPEST``, or has more nodes than
            ``MOST_NODES``.
    """
    if len(text) > LONGEST:
        raise YamlError(f"it is longer than {LONGEST:,} characters")
    try:
        return yaml.load(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        parts = ((error.context, error.context_mark), (error.problem, error.problem_mark))
        raise YamlError(", ".join(f"{_short(problem)}{_place(mark)}" for problem, mark in parts if problem)) from None
    except yaml.YAMLError as error:
        raise YamlError(_short(error)) from None
    except (ValueError, LookupError, TypeError, AttributeError, ArithmeticError) as error:
        # The constructors of dates and numbers raise these for invalid values.
        raise YamlError(_short(error)) from None


def _short(error: object) -> str:
    return " ".join(str(error).split())[:LONGEST_MESSAGE]


def _place(mark: Any) -> str:  # noqa: ANN401 - of the Python scanner or of libyaml's
    return f" (line {mark.line + 1}, column {mark.column + 1})" if mark else ""

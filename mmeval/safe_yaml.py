"""YAML that a stranger may have written: length, depth, and what aliases repeat are bounded."""

from __future__ import annotations

from typing import Any, NamedTuple

import yaml

LONGEST = 128 * 1024
"""Characters; the longest header of the data cards here has 6,600."""
DEEPEST = 20
"""Lists and mappings within each other; PyYAML's composer calls itself once per level."""
MOST_NODES = 50_000
"""Keys and values, what an alias stands for counted each time: nine lists of nine aliases are 387 million."""
LONGEST_NUMBER = 64
"""Characters of a number: one to the base 60 (``1:1:1:...``) takes time that grows with its square."""

LONGEST_MESSAGE = 160
NUMBERS = ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float")


class YamlError(ValueError):
    """Text that is no YAML, or YAML that isn't read; the message is a few words and says where."""


class _Loader(yaml.SafeLoader):
    """Plain data that stays small when every alias is written out."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.depth = 0
        self.extents: dict[yaml.Node, _Extent] = {}

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:  # noqa: ANN401 - PyYAML's
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]
        if isinstance(event, yaml.AliasEvent):
            node = super().compose_node(parent, index)
            if node is not None and node not in self.extents:
                raise _refused(f"the alias *{event.anchor} stands in what it stands for", event)
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
                raise _refused(f"more than {bound} with its aliases written out", event)
            if isinstance(node, yaml.ScalarNode) and node.tag in NUMBERS and len(node.value) > LONGEST_NUMBER:
                raise _refused("the number is too long", node)
        return node

    def _extent(self, node: yaml.Node) -> _Extent:
        if isinstance(node, yaml.ScalarNode):
            return _Extent(1, 1)
        pairs = node.value if isinstance(node, yaml.MappingNode) else [(one,) for one in node.value]
        inner = [self.extents[one] for pair in pairs for one in pair]
        return _Extent(1 + sum(one.nodes for one in inner), 1 + max((one.depth for one in inner), default=0))


class _Extent(NamedTuple):
    """How large a node is with its aliases written out."""

    nodes: int
    depth: int


def _refused(why: str, where: Any) -> yaml.composer.ComposerError:  # noqa: ANN401 - an event or a node
    return yaml.composer.ComposerError(None, None, why, where.start_mark)


def load(text: str) -> Any:  # noqa: ANN401 - whatever stands there
    """The one document in ``text`` as plain data, as ``yaml.safe_load`` gives it.

    Raises:
        YamlError: it is no YAML, longer than ``LONGEST``, deeper than ``DEEPEST``, or larger than ``MOST_NODES``.
    """
    if len(text) > LONGEST:
        raise YamlError(f"it is longer than {LONGEST:,} characters")
    try:
        return yaml.load(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        parts = ((error.context, error.context_mark), (error.problem, error.problem_mark))
        raise YamlError(", ".join(f"{_short(what)}{_place(mark)}" for what, mark in parts if what)) from None
    except yaml.YAMLError as error:
        raise YamlError(_short(error)) from None
    except (ValueError, LookupError, TypeError, AttributeError, ArithmeticError) as error:
        # What constructors of dates and numbers say of nonsense.
        raise YamlError(_short(error)) from None


def _short(error: object) -> str:
    return " ".join(str(error).split())[:LONGEST_MESSAGE]


def _place(mark: Any) -> str:  # noqa: ANN401 - of the Python scanner or of libyaml's
    return f" (line {mark.line + 1}, column {mark.column + 1})" if mark else ""

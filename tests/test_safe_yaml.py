"""Untrusted YAML: read as by PyYAML, or refused in a few words."""

from __future__ import annotations

import tracemalloc

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from mmeval.safe_yaml import DEEPEST, LONGEST, YamlError, load

BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]\n" for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)
MERGES = "a: &a {k: v}\n" + "".join(
    f"{name}: &{name} {{{', '.join([f'<<: *{before}'] * 9)}}}\n"
    for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)
DEEP = "a0: &a0 [x]\n" + "".join(f"a{number + 1}: &a{number + 1} [*a{number}]\n" for number in range(40))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (BOMB, "more than 50,000 keys and values with aliases expanded (line 5, column 4)"),
        (MERGES, "more than 50,000 keys and values with aliases expanded"),
        (DEEP, f"more than {DEEPEST} levels deep with aliases expanded"),
        ("&a [*a]", "the alias *a refers to itself (line 1, column 5)"),
        ("&a {b: {? *a : c}}", "the alias *a refers to itself"),
        ("[*a]", "found undefined alias 'a' (line 1, column 2)"),
        ("[" * 3000, f"more than {DEEPEST} levels deep (line 1, column {DEEPEST + 1})"),
        ("- " * 3000, f"more than {DEEPEST} levels deep (line 1, column {2 * DEEPEST + 1})"),
        ("x: " + "{a: " * 3000, f"more than {DEEPEST} levels deep"),
        ("x" * (LONGEST + 1), f"it is longer than {LONGEST:,} characters"),
        ("x: 1" + ":1" * 50_000, "the number is too long (line 1, column 4)"),
        ("x: " + "9" * 5000, "the number is too long (line 1, column 4)"),
        ("x: 2024-99-99", "month must be in 1..12"),
        ("!!int", "string index out of range"),
        ("!!timestamp x", "'NoneType' object has no attribute 'groupdict'"),
        ("!!python/object/apply:os.getcwd []", "could not determine a constructor for the tag"),
        ("a: [", "while parsing a flow node (line 1, column 5), expected the node content, but found '<stream end>'"),
        ("a\x07", "unacceptable character"),
        ("--- a\n--- b", "expected a single document in the stream"),
    ],
)
def test_invalid_and_excessive_documents_raise_yaml_error(text: str, message: str) -> None:
    """An alias bomb took 35 s and 621 MB, and 3,000 brackets raised RecursionError."""
    tracemalloc.start()
    with pytest.raises(YamlError) as caught:
        load(text)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert str(caught.value).startswith(message)
    assert len(str(caught.value).splitlines()) == 1
    assert peak < 20_000_000


def test_aliases_are_resolved() -> None:
    """Data cards use aliases for what variants share."""
    text = "all: &all {a: [1, 2], b: x}\nsome: {<<: *all, b: y}\nagain: *all\n"
    assert load(text) == yaml.safe_load(text)


def test_the_deepest_allowed_document_is_read() -> None:
    text = "[" * DEEPEST + "]" * DEEPEST
    assert load(text) == yaml.safe_load(text)


@settings(max_examples=500, deadline=None)
@given(st.text(st.sampled_from("a1:- \n[]{},&*!#|>'\"?%@<~.\\_é"), max_size=30))
def test_any_text_is_read_as_by_pyyaml_or_refused(text: str) -> None:
    try:
        data = load(text)
    except YamlError:
        return
    assert repr(data) == repr(yaml.safe_load(text))

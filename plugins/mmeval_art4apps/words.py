"""Word lists of both packages: Python files of pySioGame, which are parsed and never run, and JSON of GCompris."""

from __future__ import annotations

import ast
import json
import warnings
from collections.abc import Mapping

from mmeval import DataError

PREFIX = "a4a_"
"""Begins the keys of pySioGame's lists: ``a4a_animals``."""
LARGEST_LIST = 256 << 10
"""Most bytes of a Python file; the published ones have up to 17,000."""
UNTRANSLATED = "<"
"""Begins an entry of pySioGame that nobody translated."""
_SURPRISE = "something other than word lists, which mmeval does not run"


def item_id(text: str) -> str:
    """Return the id of a drawing as all sources share it: ``guinea pig`` and ``merry-go-round`` get underscores."""
    return text.replace(" ", "_").replace("-", "_")


def usable_word(text: str) -> str:
    """Return a word without surrounding white space; empty if it is untranslated."""
    word = text.strip()
    return "" if word.startswith(UNTRANSLATED) else word


def python_lists(data: bytes, where: str) -> dict[str, list[str]]:
    """Return the lists of a Python file of pySioGame by category, without running any of it.

    The file may hold an empty dictionary ``d = dict()`` and assignments of lists of texts, ``d["a4a_food"] = [...]``.

    Raises:
        DataError: the file holds anything else, is too large, or is not Python.
    """
    if len(data) > LARGEST_LIST:
        raise DataError(f"{where} has more than {LARGEST_LIST:,} bytes; a word list is smaller.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of invalid escapes in the strings of a stranger
            module = ast.parse(data.decode("utf-8-sig"))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise DataError(f"{where} is not a Python file of word lists in UTF-8; get the package again.") from None
    lists: dict[str, list[str]] = {}
    for statement in module.body:
        if _is_empty_dictionary(statement):
            continue
        key, words = _assigned_list(statement)
        if key is None or words is None:
            raise DataError(f"{where}, line {statement.lineno} holds {_SURPRISE}; get the package again.")
        lists[key.removeprefix(PREFIX)] = words
    return lists


def _is_empty_dictionary(statement: ast.stmt) -> bool:
    """Return whether a statement is ``d = dict()``."""
    match statement:
        case ast.Assign(
            targets=[ast.Name(id="d")],
            value=ast.Call(func=ast.Name(id="dict"), args=[], keywords=[]),
        ):
            return True
    return False


def _assigned_list(statement: ast.stmt) -> tuple[str | None, list[str] | None]:
    """Return key and list of a statement ``d["key"] = ["word", ...]``; None if it is another statement."""
    match statement:
        case ast.Assign(
            targets=[ast.Subscript(value=ast.Name(id="d"), slice=ast.Constant(value=str(key)))],
            value=ast.List() as value,
        ):
            try:
                words = ast.literal_eval(value)
            except (ValueError, RecursionError, MemoryError):
                return None, None
            return (key, words) if all(isinstance(word, str) for word in words) else (None, None)
    return None, None


def json_words(data: bytes, where: str) -> dict[str, str]:
    """Return the words of a JSON file of GCompris by id, without untranslated ones.

    Keys are names of sound files such as ``merry-go-round.ogg``.

    Raises:
        DataError: the file is not a JSON object of texts.
    """
    try:
        content = json.loads(data)
    except (ValueError, RecursionError):
        raise DataError(f"{where} is not JSON; get the package again.") from None
    if not isinstance(content, dict) or not all(isinstance(text, str) for text in content.values()):
        raise DataError(f"{where} is not a JSON object of texts; get the package again.")
    words: dict[str, str] = {}
    for key, text in content.items():
        if word := usable_word(text):
            words.setdefault(item_id(key.rpartition(".")[0] or key), word)
    return words


def parallel_words(ids: Mapping[str, list[str]], lists: Mapping[str, list[str]], where: str) -> dict[str, str]:
    """Return the words of a language of pySioGame by id, without untranslated ones.

    Args:
        ids: ids by category, in the order of the words.
        lists: words by category.
        where: name of the file with the words, for messages.

    Raises:
        DataError: a list has another length than that of the ids, so that the words can't be matched.
    """
    words: dict[str, str] = {}
    for category, names in ids.items():
        texts = lists.get(category, [])
        if len(texts) != len(names):
            raise DataError(
                f"{where}: {category} has {len(texts)} words, but there are {len(names)} ids in a4a_words.py; "
                "get the package again."
            )
        for name, text in zip(names, texts, strict=True):
            if word := usable_word(text):
                words[item_id(name)] = word
    return words

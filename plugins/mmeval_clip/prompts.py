"""Class names and prompts per language."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from mmeval import ModelContext
from mmeval_clip.config import ClipConfig

FOLDER = Path(__file__).with_name("prompts")
ENGLISH = "en"
GLAMI = "A photo of a {}, a type of fashion product"
"""The prompt of GLAMI-1M's zero-shot baseline (arXiv 2211.14451)."""
OF_WOMEN_OR_MEN = re.compile(r"(?<![a-z])((?:wo)?men)-?s(?![a-z])")
"""Matches ``womens``, ``women-s``, ``mens`` and ``men-s`` as words of a slug."""
ANYWHERE = {"women-s": "women's", "womens": "women's", "men-s": "men's", "mens": "men's"}
"""Replacements of GLAMI-1M's baseline in a slug, one after another, within words too."""

Sentences = Mapping[str, Mapping[str, list[list[str]]]]
"""By task, then language: the sentences of each class's ensemble."""


def languages() -> tuple[str, ...]:
    """Return the languages that have a file of templates, sorted."""
    return tuple(sorted(path.stem for path in FOLDER.glob("*.yaml")))


@cache
def templates(language: str) -> Mapping[str, list[str]]:
    """Return a language's templates by domain, with ``{}`` for the class; the English ones if it has no file."""
    import yaml

    path = FOLDER / f"{language if language in languages() else ENGLISH}.yaml"
    by_domain: Mapping[str, list[str]] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return by_domain


def readable(name: str) -> str:
    """Turn a slug into words.

    ``womens-socks`` -> ``women's socks``, ``JACKETS & COATS`` -> ``jackets and coats``, ``apple_pie`` -> ``apple pie``.
    """
    text = name.strip()
    text = text.lower() if text.isupper() else text
    text = OF_WOMEN_OR_MEN.sub(r"\1's", text)
    return " ".join(text.replace("-", " ").replace("_", " ").replace("&", "and").split())


def glami(name: str) -> str:
    """Turn a slug into words as GLAMI-1M's baseline does (``eval_clip.py``): "and" becomes "or", hyphens become spaces.

    Underscores, ``&`` and capitals, which do not occur in GLAMI-1M's slugs, are treated as in :func:`readable`.
    """
    for old, new in ANYWHERE.items():
        name = name.replace(old, new)
    return readable(name).replace(" and ", " or ")


def names(context: ModelContext, task: str, language: str) -> tuple[str, ...]:
    """Return the names of a task's classes: the data card's in ``language``, else in English, else readable slugs."""
    (classes,) = (t.classes for t in context.tasks if t.name == task)
    by_language = context.class_names.get(task, {})
    chosen = by_language.get(language) or by_language.get(ENGLISH) or classes
    # A class without a name in the card has its slug here.
    return tuple(readable(name) if name == slug else name for name, slug in zip(chosen, classes, strict=True))


def sentences(config: ClipConfig, context: ModelContext) -> Sentences:
    """Return all prompts of a model, also in languages that its training split lacks: new examples may have them."""
    if config.prompt == "glami":
        return {
            task.name: {ENGLISH: [[GLAMI.replace("{}", glami(name))] for name in task.classes]}
            for task in context.tasks
        }
    known = (ENGLISH,) if config.prompt == "english" else languages()
    return {
        task.name: {
            language: [
                [template.replace("{}", name) for template in templates(language)[config.domain]]
                for name in names(context, task.name, language)
            ]
            for language in known
        }
        for task in context.tasks
    }


def prompt_language(known: Mapping[str, object], language: str) -> str:
    """Return the language of the prompts for an example in ``language``: the same, or English if it has no prompts."""
    return language if language in known else ENGLISH

"""What classes are called, and the sentences that are made of it, per language."""

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
"""``womens``, ``women-s``, ``mens`` or ``men-s`` as a word of a slug."""
ANYWHERE = {"women-s": "women's", "womens": "women's", "men-s": "men's", "mens": "men's"}
"""What GLAMI-1M's baseline replaces in a slug, one after the other, wherever it stands, within a word too."""

Sentences = Mapping[str, Mapping[str, list[list[str]]]]
"""By task, then language: for each class the sentences of its ensemble."""


def languages() -> tuple[str, ...]:
    """Languages that have a file of templates, sorted."""
    return tuple(sorted(path.stem for path in FOLDER.glob("*.yaml")))


@cache
def templates(language: str) -> Mapping[str, list[str]]:
    """Templates by domain in a language, those in English where it has no file; ``{}`` stands for the class."""
    import yaml

    path = FOLDER / f"{language if language in languages() else ENGLISH}.yaml"
    found: Mapping[str, list[str]] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return found


def readable(name: str) -> str:
    """A class name as one would say it: ``womens-socks`` -> ``women's socks``, ``JACKETS & COATS`` -> ``jackets and
    coats``, ``apple_pie`` -> ``apple pie``."""
    said = name.strip()
    said = said.lower() if said.isupper() else said
    said = OF_WOMEN_OR_MEN.sub(r"\1's", said)
    return " ".join(said.replace("-", " ").replace("_", " ").replace("&", "and").split())


def glami(name: str) -> str:
    """A slug as GLAMI-1M's baseline reads it (``eval_clip.py``): "and" is "or", hyphens are spaces.

    Underscores, ``&`` and capitals, which GLAMI-1M's slugs lack, are read as in :func:`readable`.
    """
    for written, meant in ANYWHERE.items():
        name = name.replace(written, meant)
    return readable(name).replace(" and ", " or ")


def names(context: ModelContext, task: str, language: str) -> tuple[str, ...]:
    """Names of a task's classes: the data card's in the language, else its English ones, else what the slug says."""
    (classes,) = (one.classes for one in context.tasks if one.name == task)
    given = context.class_names.get(task, {})
    chosen = given.get(language) or given.get(ENGLISH) or classes
    # A class that the card doesn't name comes as it is.
    return tuple(readable(one) if one == own else one for one, own in zip(chosen, classes, strict=True))


def sentences(config: ClipConfig, context: ModelContext) -> Sentences:
    """All prompts of a model, also in languages that its training split doesn't have: others may come."""
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


def spoken(known: Mapping[str, object], language: str) -> str:
    """The language whose prompts an example in ``language`` is compared with."""
    return language if language in known else ENGLISH

"""Generation of a data card from prepared data: for a table, or for data that differs from its card."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import yaml

from mmeval.data.stats import LanguageStats, stats
from mmeval.escaping import ACTIVE, markdown

if TYPE_CHECKING:
    from mmeval.data.request import Dataset

SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))
LARGER = "1M<n<10M"
UNKNOWN = "unknown"


QUOTED = re.compile(f"{ACTIVE.pattern}|\ufeff")
"""Characters that need double quotes in YAML: some end a line there, which PyYAML ignores outside of double quotes."""


class _Dumper(yaml.SafeDumper):
    """Puts texts with active characters into double quotes, where they can be escaped."""


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style='"' if QUOTED.search(text) else None)


_Dumper.add_representer(str, _text)


def card_of(data: Dataset) -> str:
    """Return a dataset card in the Hub's format that describes the Store; ``read_card`` can read it."""
    spec, store = data.spec, data.store
    counts = stats(store)
    header: dict[str, Any] = {
        "pretty_name": store.name,
        "language": list(store.languages),
        "license": data.licence,
        "multilinguality": "multilingual" if len(store.languages) > 1 else "monolingual",
        "size_categories": next((name for size, name in SIZES if counts.examples < size), LARGER),
        "task_categories": ["image-classification", "text-classification"],
        "tags": ["multimodal", "image-text"],
        "mmeval": {
            "name": store.name,
            "tasks": {task.name: list(task.classes) for task in store.tasks},
            **({"multilabel": multilabel} if (multilabel := [t.name for t in store.tasks if t.multilabel]) else {}),
            "splits": {split: store.split_sizes[split] for split in counts.splits},
            "per_language": {
                split: {row.language: row.splits[split] for row in counts.languages} for split in counts.splits
            },
            "images": store.image_count,
            "rejected": store.rejected_count,
            "fingerprint": store.fingerprint,
        },
    }
    dumped = yaml.dump(header, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120, default_flow_style=None)
    # PyYAML does not escape bidi controls, even in double quotes; all texts that have one are in double quotes.
    dumped = ACTIVE.sub(lambda match: f"\\u{ord(match[0]):04x}", dumped)
    body = [
        "",
        f"# {markdown(store.name)}",
        "",
        markdown(spec.summary),
        "",
        *_languages(counts.splits, counts.languages),
        "",
    ]
    body += ["| task | classes | commonest | rarest | without a label |", "|---|---:|---|---|---:|"]
    body += [
        f"| {markdown(row.task)} | {row.classes} | {_pair(row.commonest)} | {_pair(row.rarest)} | {row.unlabelled:,} |"
        for row in counts.tasks
    ]
    if store.info["differences"]:
        body += ["", "Differences from the published data:", ""]
        body += [f"- {markdown(text)}" for text in store.info["differences"]]
    return f"---\n{dumped}---\n" + "\n".join(body) + "\n"


def _languages(splits: tuple[str, ...], languages: Sequence[LanguageStats]) -> list[str]:
    """Return the lines of the table of languages."""
    rows = [
        f"| language | {' | '.join(map(markdown, splits))} | without image | without text |",
        f"|---|{'---:|' * (len(splits) + 2)}",
    ]
    for row in languages:
        counts = " | ".join(f"{row.splits[split]:,}" for split in splits)
        rows.append(f"| {markdown(row.language)} | {counts} | {row.without_image:,} | {row.without_text:,} |")
    return rows


def _pair(pair: tuple[str, int]) -> str:
    return f"{markdown(pair[0])} ({pair[1]:,})"

"""A data card made of the data itself, for a table, or for data that is not the release."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import yaml

from mmeval.data.stats import stats
from mmeval.escaping import ACTIVE, markdown

if TYPE_CHECKING:
    from mmeval.data.request import Dataset

SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))
LARGER = "1M<n<10M"
UNKNOWN = "unknown"


QUOTED = re.compile(f"{ACTIVE.pattern}|\ufeff")
"""What is escaped in YAML; some of it ends a line there, which PyYAML forgets outside of double quotes."""


class _Dumper(yaml.SafeDumper):
    """Texts with active characters in double quotes, where they can be escaped."""


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style='"' if QUOTED.search(text) else None)


_Dumper.add_representer(str, _text)


def card_of(data: Dataset) -> str:
    """A dataset card in the Hub's format that says what the Store holds; ``read_card`` reads it back."""
    spec, store = data.spec, data.store
    counted = stats(store)
    header: dict[str, Any] = {
        "pretty_name": store.name,
        "language": list(store.languages),
        "license": data.licence,
        "multilinguality": "multilingual" if len(store.languages) > 1 else "monolingual",
        "size_categories": next((name for size, name in SIZES if counted.examples < size), LARGER),
        "task_categories": ["image-classification", "text-classification"],
        "tags": ["multimodal", "image-text"],
        "mmeval": {
            "name": store.name,
            "tasks": {task.name: list(task.classes) for task in store.tasks},
            "splits": {split: store.split_sizes[split] for split in counted.splits},
            "per_language": {
                split: {one.language: one.splits[split] for one in counted.languages} for split in counted.splits
            },
            "images": store.image_count,
            "rejected": store.rejected_count,
            "fingerprint": store.fingerprint,
        },
    }
    said = yaml.dump(header, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120, default_flow_style=None)
    # YAML lets bidi controls stand even in double quotes; every text that has one is in such quotes.
    said = ACTIVE.sub(lambda found: f"\\u{ord(found[0]):04x}", said)
    body = [
        "",
        f"# {markdown(store.name)}",
        "",
        markdown(spec.summary),
        "",
        *_languages(counted.splits, counted.languages),
        "",
    ]
    body += ["| task | classes | commonest | rarest | without a label |", "|---|---:|---|---|---:|"]
    body += [
        f"| {markdown(one.task)} | {one.classes} | {_pair(one.commonest)} | {_pair(one.rarest)} | {one.unlabelled:,} |"
        for one in counted.tasks
    ]
    if store.info["differences"]:
        body += ["", "In what it differs from the published data:", ""]
        body += [f"- {markdown(text)}" for text in store.info["differences"]]
    return f"---\n{said}---\n" + "\n".join(body) + "\n"


def _languages(splits: tuple[str, ...], languages: Any) -> list[str]:  # noqa: ANN401 - of Stats
    rows = [
        f"| language | {' | '.join(map(markdown, splits))} | without image | without text |",
        f"|---|{'---:|' * (len(splits) + 2)}",
    ]
    for one in languages:
        counts = " | ".join(f"{one.splits[split]:,}" for split in splits)
        rows.append(f"| {markdown(one.language)} | {counts} | {one.without_image:,} | {one.without_text:,} |")
    return rows


def _pair(pair: tuple[str, int]) -> str:
    return f"{markdown(pair[0])} ({pair[1]:,})"

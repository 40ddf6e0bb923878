"""Amazon Berkeley Objects: 147,702 listings in many languages; product type, colour, material, pattern, style."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from mmeval import Archive, DatasetSpec, Source, cards_folder, hookimpl
from mmeval.datasets.abo.files import GET
from mmeval.datasets.abo.source import NAME, WITH_BULLETS, AboSource

MMEVAL_API = "1.0"


def open_source(path: Path, variant: str) -> AboSource:
    """Open the folder ``path`` that holds the unpacked archives."""
    return AboSource(path, bullets=variant == WITH_BULLETS)


def _lacks(source: Source) -> str:
    """Return which listings the folder lacks; empty if none."""
    assert isinstance(source, AboSource)
    return source.files.lacks


@hookimpl
def register_datasets(register: Callable[[DatasetSpec], None]) -> None:
    """Register the data set."""
    register(
        DatasetSpec(
            name=NAME,
            summary="147,702 listings in many languages; 5 tasks: product type, colour, material, pattern, style",
            card=cards_folder() / f"{NAME}.md",
            archive=Archive(open=open_source, get=GET, lacks=_lacks),
            variants={WITH_BULLETS: "the bullet points follow the name, one per line"},
            credit="Amazon Berkeley Objects (c) by Amazon.com, CC BY 4.0",
        )
    )

"""The data set art4apps: 579 drawings with their words in 44 language variants, and 12 categories as classes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from mmeval import Archive, DatasetSpec, Source, cards_folder, hookimpl

MMEVAL_API = "1.0"


def open_source(path: Path, variant: str) -> Source:
    """Open the folder that holds the two Debian packages or their unpacked files."""
    from mmeval_art4apps.source import Art4AppsSource

    return Art4AppsSource(path, variant)


@hookimpl
def register_datasets(register: Callable[[DatasetSpec], None]) -> None:
    """Register the data set with mmeval."""
    from mmeval_art4apps.names import CREDIT, GET, NAME, VARIANTS

    register(
        DatasetSpec(
            name=NAME,
            summary="579 drawings with their words in 44 language variants; task category (12 classes)",
            card=cards_folder() / f"{NAME}.md",
            archive=Archive(open=open_source, get=GET),
            variants=VARIANTS,
            credit=CREDIT,
        )
    )

"""emoji14: 1,906 emoji, named in 14 languages, drawn by OpenMoji, to be put into their Unicode groups."""

from __future__ import annotations

from collections.abc import Callable

from mmeval import DatasetSpec, Source, cards_folder, hookimpl

MMEVAL_API = "1.0"


def open_source() -> Source:
    """Open the packages that hold the data."""
    from mmeval_emoji.source import EmojiSource

    return EmojiSource()


@hookimpl
def register_datasets(register: Callable[[DatasetSpec], None]) -> None:
    """Offer the data set to mmeval."""
    register(
        DatasetSpec(
            name="emoji14",
            summary="1,906 emoji x 14 languages; tasks group (9 classes) and subgroup (98); images 192 px",
            card=cards_folder() / "emoji14.md",
            source=open_source,
            credit="All emojis designed by OpenMoji, the open-source emoji and icon project. License: CC BY-SA 4.0",
        )
    )

"""The data set emoji14: 1,906 emoji with names in 14 languages, images by OpenMoji, and Unicode groups as classes."""

from __future__ import annotations

from collections.abc import Callable

from mmeval import DatasetSpec, Source, cards_folder, hookimpl

MMEVAL_API = "1.0"


def open_source() -> Source:
    """Return the source, which reads the data from installed packages."""
    from mmeval_emoji.source import EmojiSource

    return EmojiSource()


@hookimpl
def register_datasets(register: Callable[[DatasetSpec], None]) -> None:
    """Register the data set with mmeval."""
    register(
        DatasetSpec(
            name="emoji14",
            summary="1,906 emoji x 14 languages; tasks group (9 classes) and subgroup (98); images 192 px",
            card=cards_folder() / "emoji14.md",
            source=open_source,
            credit="All emojis designed by OpenMoji, the open-source emoji and icon project. License: CC BY-SA 4.0",
        )
    )

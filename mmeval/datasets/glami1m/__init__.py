"""GLAMI-1M: 1.1 million fashion products of 13 European markets, in 191 categories."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from mmeval import Archive, DatasetSpec, Download, Source, cards_folder, hookimpl

MMEVAL_API = "1.0"
HUB = "glami/glami-1m"
BASE = f"https://huggingface.co/datasets/{HUB}/resolve/main"
FULL = Download(
    name="GLAMI-1M-dataset.zip",
    urls=(
        f"{BASE}/GLAMI-1M-dataset.zip",
        "https://zenodo.org/record/7326406/files/GLAMI-1M-dataset.zip?download=1",
    ),
    size=11_300_000_000,
    md5="500348bbf54595db81cba353acd50d78",
    hub=HUB,
)
TEST_ONLY = Download(
    name="GLAMI-1M-dataset--test-only.zip",
    urls=(f"{BASE}/GLAMI-1M-dataset--test-only.zip",),
    size=1_400_000_000,
    hub=HUB,
)
GET = (
    f"GLAMI-1M is free to use (Apache-2.0): get GLAMI-1M-dataset.zip (11.2 GB, md5 {FULL.md5}) from "
    f"https://huggingface.co/datasets/{HUB} or https://zenodo.org/record/7326406, and give the zip file as it is, or "
    "the folder that it was unpacked into. For glami1m:test-only, GLAMI-1M-dataset--test-only.zip (1.39 GB) is "
    "enough."
)


def open_source(path: Path, variant: str) -> Source:
    """Open the zip file, or the folder that it was unpacked into.

    Raises:
        DataError: the file or folder does not exist, is damaged, or lacks a table.
    """
    from mmeval.datasets.glami1m.source import GlamiSource

    return GlamiSource(path, variant)


@hookimpl
def register_datasets(register: Callable[[DatasetSpec], None]) -> None:
    """Register the data set."""
    register(
        DatasetSpec(
            name="glami1m",
            summary="1.1 million fashion products in 13 languages; task category (191 classes); images 228 x 298 px",
            card=cards_folder() / "glami1m.md",
            archive=Archive(open=open_source, get=GET, downloads={"": FULL, "test-only": TEST_ONLY}),
            variants={
                "test-only": "the test split only, for zero-shot models and others that need no training",
                "paper": "the three inputs of the published code: it SHOWS THE MODEL WHO LABELLED EACH ROW "
                "(label_source), in the test too, which no real use knows; its scores can't be compared with glami1m's",
            },
            credit="GLAMI-1M, Copyright 2022 and onwards Inspigroup s.r.o., Apache-2.0",
        )
    )

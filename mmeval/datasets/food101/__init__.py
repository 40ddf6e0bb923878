"""UPMC Food-101: images of dishes and the titles of the web pages that show them. Not ETHZ Food-101."""

from __future__ import annotations

from collections.abc import Callable

from mmeval import Archive, DatasetSpec, hookimpl
from mmeval.datasets.food101.source import CARD, GET, VARIANTS, Food101Source

MMEVAL_API = "1.0"


@hookimpl
def register_datasets(register: Callable[[DatasetSpec], None]) -> None:
    """Register the data set."""
    register(
        DatasetSpec(
            name="food101",
            summary="UPMC Food-101: 90,704 images of dishes with page titles; task dish (101 classes); English",
            card=CARD,
            archive=Archive(open=Food101Source, get=GET),
            variants=VARIANTS,
            default_variant="title",
        )
    )

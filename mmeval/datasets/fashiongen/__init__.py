"""Fashion-Gen: product images from several views, with descriptions by stylists and five tasks."""

from __future__ import annotations

from collections.abc import Callable

from mmeval import Archive, DatasetSpec, hookimpl
from mmeval.datasets.fashiongen.source import CARD, GET, VARIANTS, FashionGenSource

MMEVAL_API = "1.0"


@hookimpl
def register_datasets(register: Callable[[DatasetSpec], None]) -> None:
    """Register the data set."""
    register(
        DatasetSpec(
            name="fashiongen",
            summary="Fashion-Gen: 293,018 product images with descriptions; category, subcategory and 3 more",
            card=CARD,
            archive=Archive(open=FashionGenSource, get=GET),
            variants=VARIANTS,
        )
    )

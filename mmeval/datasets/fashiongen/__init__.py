"""Fashion-Gen: product images from several sides, with stylists' descriptions and five tasks."""

from __future__ import annotations

from collections.abc import Callable

from mmeval import Archive, DatasetSpec, hookimpl
from mmeval.datasets.fashiongen.source import CARD, GET, VARIANTS, FashionGenSource

MMEVAL_API = "1.0"


@hookimpl
def register_datasets(register: Callable[[DatasetSpec], None]) -> None:
    """Offer the data set to mmeval."""
    register(
        DatasetSpec(
            name="fashiongen",
            summary="Fashion-Gen: 293,018 product images with descriptions; category, subcategory and 3 more",
            card=CARD,
            archive=Archive(open=FashionGenSource, get=GET),
            variants=VARIANTS,
        )
    )

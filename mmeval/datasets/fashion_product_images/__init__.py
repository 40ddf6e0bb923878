"""Fashion Product Images (small): 44,072 products, English, seven tasks, from Parquet shards of the Hub."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from mmeval import Archive, DatasetSpec, cards_folder, hookimpl
from mmeval.datasets.fashion_product_images.source import GET, NAME, FashionProductsSource

MMEVAL_API = "1.0"


def open_source(path: Path, variant: str) -> FashionProductsSource:  # noqa: ARG001 - there are no variants
    """Open the Parquet file or the folder of shards ``path``."""
    return FashionProductsSource(path)


@hookimpl
def register_datasets(register: Callable[[DatasetSpec], None]) -> None:
    """Register the data set."""
    register(
        DatasetSpec(
            name=NAME,
            summary="44,072 products, English; 7 tasks: three levels of category, gender, colour, season, usage",
            card=cards_folder() / f"{NAME}.md",
            archive=Archive(open=open_source, get=GET),
            credit="Fashion Product Images (small) by Param Aggarwal, Kaggle; images: the products' sellers",
        )
    )

"""A page of examples with their images, to look at a data set."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from mmeval.report.html import environment

if TYPE_CHECKING:
    from mmeval.data.sample import Preview
    from mmeval.data.store import Store


def examples_page(store: Store, shown: Sequence[Preview], credit: str = "") -> str:
    """Render examples as one HTML file."""
    images = [store.image(one.image) if one.image >= 0 else None for one in shown]
    return (
        environment()
        .get_template("examples.html.jinja")
        .render(store=store, examples=list(zip(shown, images, strict=True)), credit=credit)
    )

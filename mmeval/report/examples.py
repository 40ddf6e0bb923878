"""An HTML page of examples with their images, for a look at a data set."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from mmeval.report.page import render

if TYPE_CHECKING:
    from mmeval.data.sample import Preview
    from mmeval.data.store import Store


def examples_page(store: Store, examples: Sequence[Preview], credit: str = "") -> str:
    """Render examples as a single HTML file; ``credit`` names the authors of the images, for the licence."""
    images = [store.image(example.image) if example.image >= 0 else None for example in examples]
    shown = list(zip(examples, images, strict=True))
    return render("examples.html.jinja", store=store, examples=shown, credit=credit)

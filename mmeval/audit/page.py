"""HTML page of an audit: one file."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from mmeval.audit.class_balance import MOST_RATIO
from mmeval.audit.content import Audit, Share
from mmeval.audit.findings import findings, leak, verdict
from mmeval.audit.methods import METHODS
from mmeval.data.images import decode
from mmeval.data.store import Store
from mmeval.report.page import environment

THUMBNAIL, QUALITY = 112, 78
"""Side in pixels and JPEG quality of the images on the page."""
MOST_NAMES = 12
"""Class names in a list; a longer list ends in an ellipsis."""


def page(audit: Audit, store: Store) -> str:
    """Return the page of an audit; images are read from the Store."""
    pairs = [
        (pair, _thumbnail(store, pair.left_row), _thumbnail(store, pair.right_row))
        for pair in audit.shown
        if pair.kind == "image"
    ]
    templates = environment("mmeval.audit")
    templates.globals |= {"tint": tint, "leak": lambda duplicates: leak(duplicates, audit), "counts": counts}
    return templates.get_template("audit.html.jinja").render(
        audit=audit,
        scored=list(audit.splits)[-1],
        verdict=verdict(audit),
        findings=findings(audit),
        tiles=tiles(audit),
        image_pairs=pairs,
        text_pairs=[pair for pair in audit.shown if pair.kind == "text"],
        methods=METHODS,
        MOST_NAMES=MOST_NAMES,
    )


def tiles(audit: Audit) -> list[tuple[str, str, str]]:
    """Return the most important numbers: title, share, counts."""
    scored, numbers = list(audit.splits)[-1], list[tuple[str, Share]]()
    for kind, duplicates in (("image", audit.images), ("text", audit.texts)):
        if (overlap := leak(duplicates, audit)) is not None:
            numbers.append((f"{scored} examples whose {kind} has a duplicate in train", overlap.near))
    if audit.label_leakage:
        best = max(audit.label_leakage, key=lambda rule: rule.accuracy.value)
        numbers.append((f"{best.task} labels predicted by the class name in the text", best.accuracy))
    if audit.foreign:
        shares = [texts.foreign for texts in audit.foreign.values()]
        share = Share(count=sum(part.count for part in shares), n=sum(part.n for part in shares))
        numbers.append(("texts in another language, of those long enough to judge", share))
    return [(title, share.percent, counts(share)) for title, share in numbers]


def counts(share: Share) -> str:
    """Return ``12 of 386``; empty for a share of nothing."""
    return f"{share.count:,} of {share.n:,}" if share.n else ""


def tint(ratio: float) -> str:
    """Return the colour of a cell: blue where the class is more frequent than in all languages, red where less."""
    strength = round(min(abs(ratio) / MOST_RATIO, 1) * 70)
    return f"color-mix(in srgb, var(--{'mark' if ratio > 0 else 'bad'}) {strength}%, transparent)"


def _thumbnail(store: Store, row: int) -> bytes:
    image_row = int(store.examples["image"][row].as_py())
    image = Image.fromarray(np.asarray(decode(store.image(image_row))))
    image.thumbnail((THUMBNAIL, THUMBNAIL))
    file = io.BytesIO()
    image.save(file, "JPEG", quality=QUALITY)
    return file.getvalue()

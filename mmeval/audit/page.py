"""The audit as one HTML file: no script, no request."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from mmeval.audit.content import Audit, Share
from mmeval.audit.findings import findings, leak, verdict
from mmeval.audit.methods import HOW
from mmeval.data.images import decode
from mmeval.data.store import Store
from mmeval.report.html import environment

THUMBNAIL, QUALITY = 112, 78
MOST_MISSING = 12


def page(audit: Audit, store: Store) -> str:
    """Render the page; images are read from the Store."""
    pairs = [
        (one, _thumbnail(store, one.left_row), _thumbnail(store, one.right_row))
        for one in audit.shown
        if one.kind == "image"
    ]
    made = environment("mmeval.audit")
    made.globals |= {"tint": tint, "leak": lambda duplicates: leak(duplicates, audit), "bare": bare}
    return made.get_template("audit.html.jinja").render(
        audit=audit,
        scored=list(audit.splits)[-1],
        verdict=verdict(audit),
        findings=findings(audit),
        tiles=tiles(audit),
        pairs=pairs,
        texts=[one for one in audit.shown if one.kind == "text"],
        how=HOW,
        MOST_MISSING=MOST_MISSING,
    )


def tiles(audit: Audit) -> list[tuple[str, str, str]]:
    """The few numbers that matter: what, how much, of how many."""
    scored, found = list(audit.splits)[-1], []
    for kind, duplicates in (("image", audit.images), ("text", audit.texts)):
        if (one := leak(duplicates, audit)) is not None:
            found.append((f"{scored} examples whose {kind} has a duplicate in train", one.near.percent, bare(one.near)))
    if audit.names:
        best = max(audit.names, key=lambda one: one.right.value)
        found.append((f"{best.task} right by the class name in the text", best.right.percent, bare(best.right)))
    if audit.foreign:
        counts = [one.foreign for one in audit.foreign.values()]
        share = Share(count=sum(one.count for one in counts), n=sum(one.n for one in counts))
        found.append(("of the texts that can be judged are in another language", share.percent, bare(share)))
    return found


def bare(share: Share) -> str:
    """``12 of 386``."""
    return f"{share.count:,} of {share.n:,}" if share.n else ""


def tint(ratio: float) -> str:
    """Colour of a cell of the chart: more than elsewhere is blue, less is red."""
    strength = round(min(abs(ratio) / 3, 1) * 70)
    return f"color-mix(in srgb, var(--{'mark' if ratio > 0 else 'bad'}) {strength}%, transparent)"


def _thumbnail(store: Store, row: int) -> bytes:
    image_row = int(store.examples["image"][row].as_py())
    image = Image.fromarray(np.asarray(decode(store.image(image_row))))
    image.thumbnail((THUMBNAIL, THUMBNAIL))
    file = io.BytesIO()
    image.save(file, "JPEG", quality=QUALITY)
    return file.getvalue()

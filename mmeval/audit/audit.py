"""Store -> audit."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path

from mmeval.audit.class_balance import mixes
from mmeval.audit.columns import rows_of
from mmeval.audit.content import Audit
from mmeval.audit.embedded import compare_embeddings
from mmeval.audit.images import compare_images
from mmeval.audit.label_leakage import name_baselines
from mmeval.audit.languages import foreign_texts
from mmeval.audit.missing import gaps
from mmeval.audit.page import page
from mmeval.audit.pairs import Pairs, write_pairs
from mmeval.audit.texts import compare_texts
from mmeval.data.store import Store
from mmeval.files import write_text
from mmeval.version import __version__

JSON, PAIRS, PAGE = "audit.json", "duplicates.parquet", "audit.html"


def audit(store: Store, folder: Path, *, encoder: str | None = None, credit: str = "") -> Audit:
    """Look for duplicates across splits, label leakage, missing parts and other faults that distort scores.

    Writes ``audit.json`` (the returned audit), ``duplicates.parquet`` (all duplicate pairs) and ``audit.html`` (one
    page without external resources) into ``folder``. Nothing in the Store is changed.

    Args:
        store: any prepared data set; what it lacks (images, texts, labels, a second split) is left out.
        folder: where to; made where it is missing.
        encoder: image encoder whose embeddings are computed where they aren't cached, as ``efficientnet-lite0:128``;
            by default only cached ones are used.
        credit: what the licence asks to be said beside images.

    Raises:
        UserError: no such encoder.
    """
    seconds: dict[str, float] = {}

    @contextlib.contextmanager
    def timed(stage: str) -> Iterator[None]:
        began = time.perf_counter()
        yield
        seconds[stage] = round(time.perf_counter() - began, 3)

    with timed("columns"):
        rows = rows_of(store)
    with timed("images"):
        images = compare_images(rows)
    with timed("embeddings"):
        embedded = compare_embeddings(rows, encoder) if images else None
    with timed("texts"):
        texts = compare_texts(rows)
    with timed("class names"):
        names = name_baselines(rows) if texts else []
    with timed("languages"):
        foreign, note = foreign_texts(rows) if texts else (None, "there are no texts")
    with timed("mix and gaps"):
        mixed, missing = mixes(rows), gaps(rows)
    with timed("pairs"):
        pairs = [Pairs(rows, "image", images)] if images else []
        pairs += [Pairs(rows, "text", texts)] if texts else []
        write_pairs(folder / PAIRS, pairs)
        shown = [one for some in pairs for one in some.shown()]
    made = Audit(
        name=store.name,
        fingerprint=store.fingerprint,
        released=store.released,
        version=__version__,
        credit=credit,
        examples=len(rows),
        splits={name: store.split_sizes[name] for name in rows.splits},
        languages=list(store.languages),
        images=images.duplicates if images else None,
        embedded=embedded,
        texts=texts.duplicates if texts else None,
        names=names,
        foreign=foreign,
        foreign_note=note,
        mixes=mixed,
        gaps=missing,
        shown=shown,
        seconds=seconds,
    )
    write_text(folder / PAGE, page(made, store))
    write_text(folder / JSON, made.model_dump_json(indent=1))
    return made

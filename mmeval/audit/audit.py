"""The audit of a Store: runs all checks and writes the report."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path

from mmeval.audit.class_balance import class_balances
from mmeval.audit.columns import read_rows
from mmeval.audit.content import Audit
from mmeval.audit.embedded import compare_embeddings
from mmeval.audit.images import compare_images
from mmeval.audit.label_leakage import label_leakage
from mmeval.audit.languages import identify_languages
from mmeval.audit.missing import missing_parts
from mmeval.audit.page import page
from mmeval.audit.pairs import DuplicatePairs, write_pairs
from mmeval.audit.texts import compare_texts
from mmeval.data.store import Store
from mmeval.files import write_text
from mmeval.version import __version__

JSON, PAIRS, PAGE = "audit.json", "duplicates.parquet", "audit.html"


def audit(store: Store, folder: Path, *, encoder: str | None = None, credit: str = "") -> Audit:
    """Search a Store for duplicates across splits, label leakage and other faults that distort scores.

    Writes ``audit.json`` (the returned audit), ``duplicates.parquet`` (all duplicate pairs) and ``audit.html`` (one
    page without external resources) into ``folder``. The Store is not changed.

    Args:
        store: any prepared data set; a check is left out where the images, texts, labels or splits that
            it needs are missing.
        folder: where the files are written; created if it is missing.
        encoder: image encoder, such as ``efficientnet-lite0:128``, whose embeddings are compared too, and computed
            unless cached. By default only cached embeddings are compared.
        credit: attribution that the licence requires beside images.

    Raises:
        UserError: there is no such encoder.
    """
    seconds: dict[str, float] = {}

    @contextlib.contextmanager
    def timed(stage: str) -> Iterator[None]:
        began = time.perf_counter()
        yield
        seconds[stage] = round(time.perf_counter() - began, 3)

    with timed("columns"):
        rows = read_rows(store)
    with timed("images"):
        images = compare_images(rows)
    with timed("embeddings"):
        embedded = compare_embeddings(rows, encoder) if images else None
    with timed("texts"):
        texts = compare_texts(rows)
    with timed("class names"):
        leakage = label_leakage(rows) if texts else []
    with timed("languages"):
        foreign, note = identify_languages(rows) if texts else (None, "there are no texts")
    with timed("class balance and missing parts"):
        balances, missing = class_balances(rows), missing_parts(rows)
    with timed("pairs"):
        pairs = [DuplicatePairs(rows, "image", images)] if images else []
        pairs += [DuplicatePairs(rows, "text", texts)] if texts else []
        write_pairs(folder / PAIRS, pairs)
        shown = [pair for kind in pairs for pair in kind.shown()]
    result = Audit(
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
        label_leakage=leakage,
        foreign=foreign,
        foreign_note=note,
        class_balance=balances,
        missing=missing,
        shown=shown,
        seconds=seconds,
    )
    write_text(folder / PAGE, page(result, store))
    write_text(folder / JSON, result.model_dump_json(indent=1))
    return result

"""Duplicates among the texts of a Store."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from mmeval.audit.columns import Rows
from mmeval.audit.content import Duplicates
from mmeval.audit.images import Compared
from mmeval.audit.minhash import near_texts
from mmeval.audit.neighbours import Ints, Links
from mmeval.audit.normalize import fold
from mmeval.audit.overlap import Coded, between, conflicts, lookups, within
from mmeval.console import progress


def compare_texts(rows: Rows) -> Compared | None:
    """Compare all texts; None where all are empty."""
    same, distinct = _folded(rows)
    if not len(distinct):
        return None
    links = near_texts(distinct)
    examples = Coded(same, same, rows.split)
    # One word in two languages may well be two things.
    languages = len(rows.languages)
    spoken = np.where(same < 0, -1, same * languages + rows.language)
    members = np.bincount(links.sets())
    counts = np.bincount(same[same >= 0])
    duplicates = Duplicates(
        units=int((same >= 0).sum()),
        distinct=len(distinct),
        same_sets=int((counts > 1).sum()),
        near_sets=int((members > 1).sum()),
        near_members=int(members[members > 1].sum()),
        largest=int(members.max()),
        within=within(examples, links, rows.splits),
        between=between(rows, examples, links),
        conflicts=conflicts(rows, spoken, lambda code: distinct[code // languages]),
        lookups=lookups(rows, same),
        limits="Of texts made from one template not all pairs were compared." if links.cut else "",
    )
    none = np.empty(0, np.int64)
    return Compared(duplicates, examples, links, Links(len(distinct), none, none, np.empty(0, np.float32), False))


def _folded(rows: Rows) -> tuple[Ints, list[str]]:
    """Code of each example's folded text, -1 for an empty one, and the different texts."""
    blocks = []
    with progress("Folding texts", len(rows), "texts") as advance:
        for _, texts in rows.texts():
            blocks.append(pa.array([fold(text) or None for text in texts], pa.large_string()))
            advance(len(texts))
    encoded = pa.chunked_array(blocks, pa.large_string()).combine_chunks().dictionary_encode()
    codes = encoded.indices.fill_null(-1).to_numpy().astype(np.int64)
    return codes, encoded.dictionary.to_pylist()

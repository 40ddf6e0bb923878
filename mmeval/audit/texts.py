"""Exact duplicates and near-duplicates among the texts of a Store."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from mmeval.audit.columns import Rows
from mmeval.audit.content import Duplicates
from mmeval.audit.images import DuplicateSearch
from mmeval.audit.minhash import near_duplicate_texts
from mmeval.audit.neighbours import Ints, NeighbourGraph
from mmeval.audit.normalize import normalize
from mmeval.audit.overlap import DuplicateCodes, conflicts, count_duplicates_between_splits, lookups, within
from mmeval.console import progress


def compare_texts(rows: Rows) -> DuplicateSearch | None:
    """Search for duplicates among the texts of examples; None if all texts are empty."""
    exact, distinct = _normalized(rows)
    if not len(distinct):
        return None
    graph = near_duplicate_texts(distinct)
    examples = DuplicateCodes(exact, exact, rows.split)
    # The same word may mean different things in two languages, so classes conflict only within a language.
    languages = len(rows.languages)
    by_language = np.where(exact < 0, -1, exact * languages + rows.language)
    members = np.bincount(graph.components())
    counts = np.bincount(exact[exact >= 0])
    duplicates = Duplicates(
        units=int((exact >= 0).sum()),
        distinct=len(distinct),
        same_sets=int((counts > 1).sum()),
        near_sets=int((members > 1).sum()),
        near_members=int(members[members > 1].sum()),
        largest=int(members.max()),
        within=within(examples, graph, rows.splits),
        between=count_duplicates_between_splits(rows, examples, graph),
        conflicts=conflicts(rows, by_language, lambda code: distinct[code // languages]),
        lookups=lookups(rows, exact),
        limits="Not all pairs of texts from the same template were compared." if graph.cut else "",
    )
    none = np.empty(0, np.int64)
    no_edges = NeighbourGraph(len(distinct), none, none, np.empty(0, np.float32), False)
    return DuplicateSearch(duplicates, examples, graph, no_edges)


def _normalized(rows: Rows) -> tuple[Ints, list[str]]:
    """Return the code of each example's normalized text ``[n]``, -1 for an empty one, and the text of each code."""
    blocks = []
    with progress("Normalizing texts", len(rows), "texts") as advance:
        for _, texts in rows.texts():
            blocks.append(pa.array([normalize(text) or None for text in texts], pa.large_string()))
            advance(len(texts))
    encoded = pa.chunked_array(blocks, pa.large_string()).combine_chunks().dictionary_encode()
    codes = encoded.indices.fill_null(-1).to_numpy().astype(np.int64)
    return codes, encoded.dictionary.to_pylist()

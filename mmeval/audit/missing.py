"""Missing texts, images and labels, and the rows that were rejected when the data set was prepared."""

from __future__ import annotations

import re
from collections import Counter

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mmeval.audit.columns import Rows
from mmeval.audit.content import Missing, MissingCounts, Share
from mmeval.data.store_files import REJECTED

MOST_REASONS = 8


def missing_parts(rows: Rows) -> Missing:
    """Count missing texts, images and labels by split and language, and the reasons of rejected rows."""
    text = rows.store.examples["text"]
    empty = pc.equal(pc.utf8_length(pc.utf8_trim_whitespace(text)), 0).to_numpy().astype(bool)
    cells: dict[str, dict[str, MissingCounts]] = {}
    for index, split in enumerate(rows.splits):
        for code, language in enumerate(rows.languages):
            here = np.flatnonzero((rows.split == index) & (rows.language == code))
            if len(here):
                cells.setdefault(split, {})[language] = MissingCounts(
                    rows=len(here),
                    no_text=Share(count=int(empty[here].sum()), n=len(here)),
                    no_image=Share(count=int((rows.image[here] < 0).sum()), n=len(here)),
                    no_label={
                        task: Share(count=int((labels[here] < 0).sum()), n=len(here))
                        for task, labels in rows.labels.items()
                    },
                )
    return Missing(
        cells=cells,
        rejected=rows.store.rejected_count,
        reasons=_reasons(rows),
        unknown=rows.store.unknown_labels,
        spanning=rows.store.info["spanning"],
    )


def _reasons(rows: Rows) -> list[tuple[str, int, str]]:
    """Return the most frequent reasons: reason, number of rows, file and row of the first.

    Quoted texts and numbers differ from row to row, so they are replaced before reasons are counted.
    """
    path = rows.store.folder / REJECTED
    if not path.is_file():
        return []
    counts: Counter[str] = Counter()
    first: dict[str, str] = {}
    for batch in pq.ParquetFile(str(path)).iter_batches(columns=["where", "reason"]):
        for where, reason in zip(batch["where"].to_pylist(), batch["reason"].to_pylist(), strict=True):
            general = re.sub(r'"[^"]*"', '"…"', re.sub(r"^\S+: ", "", reason))
            general = re.sub(r"\d[\d,.]*", "#", general)
            counts[general] += 1
            first.setdefault(general, where)
    return [(reason, count, first[reason]) for reason, count in counts.most_common(MOST_REASONS)]

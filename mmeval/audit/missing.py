"""What is missing in a Store, and what was rejected when it was prepared."""

from __future__ import annotations

import re
from collections import Counter

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mmeval.audit.columns import Rows
from mmeval.audit.content import Gap, Gaps, Share
from mmeval.data.store_files import REJECTED

REASONS = 8


def gaps(rows: Rows) -> Gaps:
    """Count what is missing, per split and language."""
    text = rows.store.examples["text"]
    empty = pc.equal(pc.utf8_length(pc.utf8_trim_whitespace(text)), 0).to_numpy().astype(bool)
    cells: dict[str, dict[str, Gap]] = {}
    for index, split in enumerate(rows.splits):
        for code, language in enumerate(rows.languages):
            here = np.flatnonzero((rows.split == index) & (rows.language == code))
            if len(here):
                cells.setdefault(split, {})[language] = Gap(
                    rows=len(here),
                    no_text=Share(count=int(empty[here].sum()), n=len(here)),
                    no_image=Share(count=int((rows.image[here] < 0).sum()), n=len(here)),
                    no_label={
                        task: Share(count=int((labels[here] < 0).sum()), n=len(here))
                        for task, labels in rows.labels.items()
                    },
                )
    return Gaps(
        cells=cells,
        rejected=rows.store.rejected_count,
        reasons=_reasons(rows),
        unknown=rows.store.unknown_labels,
        spanning=rows.store.info["spanning"],
    )


def _reasons(rows: Rows) -> list[tuple[str, int, str]]:
    """Kinds of reasons: what stands in quotes, and numbers, differ between rows of one kind."""
    path = rows.store.folder / REJECTED
    if not path.is_file():
        return []
    counts: Counter[str] = Counter()
    first: dict[str, str] = {}
    for batch in pq.ParquetFile(str(path)).iter_batches(columns=["where", "reason"]):
        for where, reason in zip(batch["where"].to_pylist(), batch["reason"].to_pylist(), strict=True):
            kind = re.sub(r'"[^"]*"', '"…"', re.sub(r"^\S+: ", "", reason))
            kind = re.sub(r"\d[\d,.]*", "#", kind)
            counts[kind] += 1
            first.setdefault(kind, where)
    return [(kind, count, first[kind]) for kind, count in counts.most_common(REASONS)]
